"""Batch norm per lane (S23): a lane normalises with its own batch; running averages move by the mean over lanes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5
MOMENTUM = 0.1
"""Share of a step's statistics in the running averages."""


class BatchNorm(nn.Module):
    """Batch norm over `[B, C, H, W]` whose batch statistics can be read after each forward pass.

    In training mode it normalises with the batch and leaves the batch's mean and variance in `batch_mean` and
    `batch_variance`; it never moves `running_mean` and `running_variance` itself. In evaluation mode it uses those.

    Args:
        channels: C.
        affine: whether a trainable scale (from 1) and shift (from 0) follow.
    """

    running_mean: Tensor
    running_variance: Tensor
    batch_mean: Tensor
    batch_variance: Tensor

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels)) if affine else None
        self.shift = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))
        self.register_buffer("batch_mean", torch.zeros(channels), persistent=False)
        self.register_buffer("batch_variance", torch.ones(channels), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """`[B, C, H, W]` in and out."""
        if not self.training:
            return F.batch_norm(
                maps, self.running_mean, self.running_variance, self.scale, self.shift, False, 0.0, EPSILON
            )
        # With momentum 1 the "running" buffers that F.batch_norm moves become the batch's own statistics.
        return F.batch_norm(maps, self.batch_mean, self.batch_variance, self.scale, self.shift, True, 1.0, EPSILON)


def _norms(network: nn.Module) -> list[BatchNorm]:
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


def statistics_size(network: nn.Module) -> int:
    """Length of `batch_statistics(network)`."""
    return sum(2 * norm.batch_mean.numel() for norm in _norms(network))


def batch_statistics(network: nn.Module) -> Tensor:
    """Means and variances of the last batch, all layers in one float32 vector `[S]`."""
    return _joined(network, [part for norm in _norms(network) for part in (norm.batch_mean, norm.batch_variance)])


def set_running_statistics(network: nn.Module, statistics: Tensor) -> None:
    """Copies a vector laid out like `batch_statistics` into the running averages."""
    position = 0
    for norm in _norms(network):
        for running in (norm.running_mean, norm.running_variance):
            running.copy_(statistics[position : position + running.numel()])
            position += running.numel()


def running_statistics(network: nn.Module) -> Tensor:
    """The running averages as one vector laid out like `batch_statistics`."""
    return _joined(network, [part for norm in _norms(network) for part in (norm.running_mean, norm.running_variance)])


def _joined(network: nn.Module, parts: list[Tensor]) -> Tensor:
    """The parts in one new vector; an empty one where a network has no norms."""
    return torch.cat(parts) if parts else torch.zeros(0, device=next(network.parameters()).device)
