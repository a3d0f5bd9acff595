"""The plain loop: the same pair of networks trained as a user would write it otherwise (pytorch/examples dcgan).

Eager float32, tiles `[B, C, S, S]` contiguous, `nn.BatchNorm2d`, `torch.optim.Adam` with its defaults, one update of
the discriminator on the sum of both losses and one of the generator per step. No history, no L2, no lanes. Of satgan
it takes only the config and the ladder's geometry, so that it stays a reference of its own.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from satgan.config import Config
from satgan.gan.networks import ladder
from satgan.groups import GanConfig


class Losses(NamedTuple):
    """Of one step, as they were before each update."""

    real: float
    fake: float
    generator: float


class PlainLoop:
    """Both networks with PyTorch's own initial weights, and their two Adams.

    Args:
        config: networks, rates and betas are taken from it.
        device: where.
    """

    def __init__(self, config: Config, device: torch.device) -> None:
        recipe = config.recipe
        betas = (recipe.beta1, recipe.beta2)
        self.generator = plain_generator(config.gan).to(device)
        self.discriminator = plain_discriminator(config.gan).to(device)
        self.generator_adam = torch.optim.Adam(
            self.generator.parameters(), lr=recipe.generator_learning_rate, betas=betas
        )
        self.discriminator_adam = torch.optim.Adam(
            self.discriminator.parameters(), lr=recipe.discriminator_learning_rate, betas=betas
        )

    def step(self, tiles: Tensor, noise: Tensor) -> Losses:
        """One update of each network.

        Args:
            tiles: real, `[B, C, S, S] float32` in [-1, 1].
            noise: `[B, Z] float32`.
        """
        real_label, fake_label = (
            torch.ones(len(tiles), device=tiles.device),
            torch.zeros(len(tiles), device=tiles.device),
        )
        self.discriminator_adam.zero_grad()
        real_loss = _loss(self.discriminator(tiles), real_label)
        real_loss.backward()  # type: ignore[no-untyped-call]
        fakes = self.generator(noise)
        fake_loss = _loss(self.discriminator(fakes.detach()), fake_label)
        fake_loss.backward()  # type: ignore[no-untyped-call]
        self.discriminator_adam.step()

        self.generator_adam.zero_grad()
        generator_loss = _loss(self.discriminator(fakes), real_label)
        generator_loss.backward()  # type: ignore[no-untyped-call]
        self.generator_adam.step()
        return Losses(real_loss.item(), fake_loss.item(), generator_loss.item())


def plain_generator(config: GanConfig) -> nn.Sequential:
    """Noise `[B, Z]` to tiles `[B, C, S, S]`, the layers of `satgan.gan.networks.Generator`."""
    layers: list[nn.Module] = [
        nn.Linear(config.noise_size, config.filters[0] * config.stem**2, bias=False),
        nn.Unflatten(1, (config.filters[0], config.stem, config.stem)),
    ]
    for rung in ladder(config):
        layers += [
            nn.BatchNorm2d(rung.deep_filters, affine=config.affine_norm),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(
                rung.deep_filters, rung.shallow_filters, rung.kernel_size, rung.stride,
                padding=(rung.kernel_size - 1) // 2,
                output_padding=rung.kernel_size % 2 if rung.stride == 2 else 0,
                bias=config.biases,
            ),
        ]  # fmt: skip
    return nn.Sequential(*layers, nn.Tanh())


def plain_discriminator(config: GanConfig) -> nn.Sequential:
    """Tiles `[B, C, S, S]` to logits `[B, 1]`, the layers of `satgan.gan.networks.Discriminator`."""
    layers: list[nn.Module] = []
    for number, rung in enumerate(reversed(ladder(config))):
        layers.append(
            nn.Conv2d(
                rung.shallow_filters, rung.deep_filters, rung.kernel_size, rung.stride,
                padding=(rung.kernel_size - 1) // 2, bias=config.biases,
            )
        )  # fmt: skip
        if number:
            layers.append(nn.BatchNorm2d(rung.deep_filters, affine=config.affine_norm))
        layers.append(nn.LeakyReLU(config.discriminator_leak, inplace=True))
    layers.append(nn.Flatten())
    widths = (config.filters[0] * config.stem**2, *config.dense_head, 1)
    for inputs, outputs in pairwise(widths):
        layers += [
            nn.Linear(inputs, outputs, bias=config.biases),
            nn.LeakyReLU(config.discriminator_leak, inplace=True),
        ]
    return nn.Sequential(*layers[:-1])


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.squeeze(1), labels)
