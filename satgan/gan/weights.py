"""A network's parameters in one vector: one message per update, one Adam kernel, one average.

Biases and norms lie in front, then the weights from the first layer to the last: a backward pass finishes the vector
from its end to its beginning (message.py). Convolution weights lie in `channels_last` order, in which the networks
compute (S11). A bias that would put all weights out of alignment lies beside its own.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

ALIGNMENT = 16
"""Numbers: tensors that begin at a multiple of so many are read fastest."""


def parameter_count(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def in_order(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """(name, parameter) as they lie in the vector."""

    def lies_behind(name: str, parameter: nn.Parameter) -> bool:
        is_odd = parameter.numel() % ALIGNMENT > 0
        return parameter.dim() >= 2 or (is_odd and name.endswith("bias"))

    return sorted(network.named_parameters(), key=lambda named: lies_behind(*named))


def named_views(network: nn.Module, vector: Tensor) -> Iterator[tuple[str, Tensor]]:
    """(name, view of `vector` in the parameter's shape) for each parameter of the network.

    Args:
        vector: `[P]`, P = `parameter_count(network)`; weights, gradients or an Adam's moments.
    """
    position = 0
    for name, parameter in in_order(network):
        part = vector[position : position + parameter.numel()]
        position += parameter.numel()
        if parameter.dim() == 4:
            first, second, height, width = parameter.shape
            yield name, part.view(first, height, width, second).permute(0, 3, 1, 2)
        else:
            yield name, part.view(parameter.shape)


@torch.no_grad()
def gather_weights(network: nn.Module) -> Tensor:
    """The parameters, copied into a new vector `[P]`."""
    vector = torch.empty(parameter_count(network), device=next(network.parameters()).device)
    for (_, parameter), (_, view) in zip(in_order(network), named_views(network, vector), strict=True):
        view.copy_(parameter)
    return vector


def bind_weights(network: nn.Module, weights: Tensor) -> None:
    """Makes the parameters views of `weights`: whoever changes the vector changes the network."""
    for (_, parameter), (_, view) in zip(in_order(network), named_views(network, weights), strict=True):
        parameter.data = view


def bind_gradient(network: nn.Module, gradient: Tensor) -> None:
    """Makes the parameters' gradients views of `gradient`: backward passes add into the vector."""
    for (_, parameter), (_, view) in zip(in_order(network), named_views(network, gradient), strict=True):
        parameter.grad = view


def weight_mask(network: nn.Module) -> Tensor:
    """`[P]`: 1 for weights, 0 for biases and norms; what L2 regularizes (S24)."""
    mask = torch.zeros(parameter_count(network), device=next(network.parameters()).device)
    for _, view in named_views(network, mask):
        view.fill_(1.0 if view.dim() >= 2 else 0.0)
    return mask


def weight_slices(network: nn.Module) -> Iterator[tuple[str, slice]]:
    """(layer, its weights' place in the vector of all parameters) for each layer; biases and norms apart."""
    position = 0
    for name, parameter in in_order(network):
        if parameter.dim() >= 2:
            yield name.removesuffix(".weight"), slice(position, position + parameter.numel())
        position += parameter.numel()
