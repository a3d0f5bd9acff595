"""One of the two networks, as every worker holds it: weights, Adams, running statistics."""

from collections.abc import Sequence

import torch
from torch import Tensor

from satgan.gan.adam import Adam
from satgan.gan.message import split_message
from satgan.gan.networks import Discriminator, Generator
from satgan.gan.normalization import MOMENTUM, running_statistics
from satgan.gan.observe import Observation
from satgan.gan.weights import bind_weights, gather_weights, weight_mask


class Player:
    """One of the two networks: the weights that all lanes share, its Adams and its running statistics.

    Args:
        network: initialised; its parameters become views of `weights`.
        adams: names of the losses that have an Adam of their own.
        learning_rate, betas: Adam's.
        l2: constant of the regularizer.
    """

    def __init__(
        self, network: Generator | Discriminator, adams: Sequence[str], learning_rate: float,
        betas: tuple[float, float], l2: float,
    ) -> None:  # fmt: skip
        self.network = network
        self.weights = gather_weights(network)
        bind_weights(network, self.weights)
        self.running = running_statistics(network)
        self.l2 = l2
        self.observation: Observation | None = None
        self._penalty = weight_mask(network) * l2
        self.adams = {name: Adam(self.weights, learning_rate, betas) for name in adams}

    @torch.no_grad()
    def update(self, adam: str, total: Tensor, lanes: int) -> Tensor:
        """One Adam step on the mean over lanes of a summed message plus the L2 term; returns the mean figures `[F]`.

        Args:
            adam: which Adam.
            total: sum of all lanes' messages `[F + S + P]`; changed in place.
            lanes: how many were summed.
        """
        figures, statistics, gradient = split_message(total.div_(lanes), self.network)
        if self.observation is not None and adam != "fake":
            self.observation.note(gradient, statistics)
        self.adams[adam].step(gradient.addcmul_(self.weights, self._penalty))
        return figures.clone()  # the message itself is written anew by the next update

    def set_learning_rate(self, rate: float) -> None:
        """Of all its Adams, from the next update on."""
        for adam in self.adams.values():
            adam.set_learning_rate(rate)

    @torch.no_grad()
    def move_running(self, total: Tensor) -> None:
        """Moves the running statistics toward those in a message that `update` has averaged (S23)."""
        self.running.lerp_(split_message(total, self.network)[1], MOMENTUM)

    @torch.no_grad()
    def regularizer(self) -> float:
        """The L2 term of the loss: half the constant times the sum of the squared weights (S24)."""
        return float(0.5 * torch.dot(self._penalty * self.weights, self.weights))
