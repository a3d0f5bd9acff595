"""What a lane tells the others: one flat vector per update, in parts that are ready one after the other.

A backward pass goes from a network's last layer to its first, so the gradient is ready from its end to its beginning;
a part can be on its way while the layers before it are still being computed.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from satgan.gan.normalization import statistics_size
from satgan.gan.weights import ALIGNMENT, bind_gradient, in_order, parameter_count

FIGURES = (
    "real_loss", "fake_loss", "history_loss", "generator_loss", "reals_called_fake", "fakes_called_real",
)  # fmt: skip
"""What a message carries beside gradient and statistics: losses as means, misjudged tiles as counts of the batch."""

PART_NUMBERS = 2**20
"""A part holds at least so many, but for the last: fewer would take longer to send one by one."""


class Message:
    """One flat float32 vector `[F + S + P]`: figures, batch statistics and the gradient of one lane, in that order.

    `parts` are its slices in the order in which a backward pass makes them ready; the last one has the figures and the
    statistics too.
    """

    def __init__(self, network: nn.Module) -> None:
        device = next(network.parameters()).device
        self.vector = torch.zeros(message_size(network), device=device)
        self.figures, self.statistics, self.gradient = split_message(self.vector, network)
        bind_gradient(network, self.gradient)
        self._network = network
        self.parts, self._part_of_parameters = parts_of(network)
        self._parameters_in = [self._part_of_parameters.count(part) for part in range(len(self.parts))]
        self._missing: list[int] = []
        self._coming = 0

    def begin(self, backward_passes: int = 1) -> None:
        """Empties it for so many backward passes, after which it is complete."""
        self.vector.zero_()
        self._coming = 0
        self._missing = [backward_passes * count for count in self._parameters_in]

    def tell_parts(self, tell: Callable[[int], None]) -> Callable[[], None]:
        """From now on calls `tell` with the number of each part but the last as soon as it is complete, in order, on
        the thread and the stream that compute it. What is returned ends that: until then the network is not freed."""

        def accumulated(parameter: Tensor, part: int) -> None:
            self._missing[part] -= 1
            while self._coming < len(self.parts) - 1 and not self._missing[self._coming]:
                self._coming += 1
                tell(self._coming - 1)

        hooks: list[Any] = []
        if len(self.parts) > 1:
            for (_, parameter), part in zip(in_order(self._network), self._part_of_parameters, strict=True):
                hook = partial(accumulated, part=part)
                hooks.append(parameter.register_post_accumulate_grad_hook(hook))  # type: ignore[no-untyped-call]

        def end() -> None:
            for hook in hooks:
                hook.remove()

        return end

    def set_figure(self, name: str, value: Tensor) -> None:
        """Notes a scalar under its name in FIGURES."""
        self.figures[FIGURES.index(name)] = value.detach()


class Combine(Protocol):
    """Adds what all lanes of all workers have, in one order, whoever holds which lane."""

    def now(self, tensors: list[Tensor]) -> Tensor:
        """The sum of `[M]` of all lanes; each worker gives those of its lanes, ascending."""
        ...

    def of(self, messages: Sequence[Message]) -> Callable[[], Tensor]:
        """What returns the sum `[F + S + P]` of all lanes' messages, once this worker's lanes have computed theirs. It
        may be under way by then; it stands until the lanes begin the next ones."""
        ...


def message_size(network: nn.Module) -> int:
    """F + S + P, with what aligns the gradient."""
    return _gradient_start(network) + parameter_count(network)


def split_message(vector: Tensor, network: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Views of a message vector: figures `[F]`, statistics `[S]`, gradient `[P]`."""
    figures, statistics = len(FIGURES), statistics_size(network)
    return vector[:figures], vector[figures : figures + statistics], vector[_gradient_start(network) :]


def parts_of(network: nn.Module) -> tuple[list[slice], list[int]]:
    """Slices of a network's messages, in the order in which they are ready; and of each parameter, as they lie in the
    vector, its slice's number.

    A slice ends where a parameter does, so a large parameter makes a large slice. The last one, behind which nothing is
    computed any more, has the first weights and all that lies before them.
    """
    parts: list[slice] = []
    numbers: list[int] = []
    parameters = [parameter for _, parameter in in_order(network)]
    first = next(place for place, parameter in enumerate(parameters) if parameter.dim() >= 2)
    start = end = message_size(network)
    for place, parameter in reversed(list(enumerate(parameters))):
        numbers.insert(0, len(parts))
        start -= parameter.numel()
        if place > first and end - start >= PART_NUMBERS:
            parts.append(slice(start, end))
            end = start
    return [*parts, slice(0, end)], numbers


def _gradient_start(network: nn.Module) -> int:
    return -(-(len(FIGURES) + statistics_size(network)) // ALIGNMENT) * ALIGNMENT
