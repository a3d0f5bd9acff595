"""Generator and discriminator, built from one ladder of convolutions that the discriminator climbs backwards.

B batch · Z noise size · C channels · S size (tile height and width). Tiles are `[B, C, S, S]` in [-1, 1],
`channels_last` in memory (S11).
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from satgan.config import GanConfig
from satgan.gan.normalization import BatchNorm
from satgan.randomness import Purpose, generator


class Convolution(NamedTuple):
    """A rung of the ladder, as the generator climbs it: `narrow` maps `small` pixels wide become `large` wide."""

    deep_filters: int
    shallow_filters: int
    kernel_size: int
    stride: int
    small: int
    large: int


def ladder(config: GanConfig) -> list[Convolution]:
    """The convolutions from the stem to the tile: first the doublings, then the stride-1 smoothing layers (S27)."""
    widths = (*config.filters, config.channels)
    rungs: list[Convolution] = []
    size: int = config.stem
    for number, (deep, shallow) in enumerate(pairwise(widths)):
        stride = 2 if number < config.doublings else 1
        # A stride-1 layer keeps the size only with an odd kernel.
        kernel = config.kernel_size if stride == 2 or config.kernel_size % 2 else config.kernel_size - 1
        rungs.append(Convolution(deep, shallow, kernel, stride, size, size * stride))
        size *= stride
    return rungs


class Generator(nn.Module):
    """Noise `[B, Z]` to tiles `[B, C, S, S]` in [-1, 1]: project and reshape, transposed convolutions, tanh (S17).

    Batch norm and ReLU follow every layer but the last (S26).
    """

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.stem, self.stem_filters = config.stem, config.filters[0]
        self.projection = nn.Linear(config.noise_size, self.stem_filters * config.stem**2, bias=False)
        self.projection_norm = BatchNorm(self.stem_filters, config.affine_norm)
        rungs = ladder(config)
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(
                rung.deep_filters, rung.shallow_filters, rung.kernel_size, rung.stride,
                padding=(rung.kernel_size - 1) // 2,
                output_padding=rung.kernel_size % 2 if rung.stride == 2 else 0,
                bias=config.biases,
            )
            for rung in rungs
        )  # fmt: skip
        self.norms = nn.ModuleList(BatchNorm(rung.shallow_filters, config.affine_norm) for rung in rungs[:-1])

    def forward(self, noise: Tensor) -> Tensor:
        """`[B, Z]` to `[B, C, S, S]`."""
        maps = self.projection(noise).view(-1, self.stem, self.stem, self.stem_filters).permute(0, 3, 1, 2)
        maps = F.relu(self.projection_norm(maps))
        for convolution, norm in zip(self.convolutions, self.norms, strict=False):
            maps = F.relu(norm(convolution(maps)))
        return torch.tanh(self.convolutions[-1](maps))


class Discriminator(nn.Module):
    """Tiles `[B, C, S, S]` to logits `[B]` (above 0: called real): the generator's ladder backwards (S16).

    Leaky ReLU everywhere (S22), batch norm after every convolution but the first (S26), strides instead of
    pooling (S21), then dense layers.
    """

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.leak = config.leak
        rungs = ladder(config)[::-1]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(
                rung.shallow_filters, rung.deep_filters, rung.kernel_size, rung.stride,
                padding=(rung.kernel_size - 1) // 2, bias=config.biases,
            )
            for rung in rungs
        )  # fmt: skip
        self.norms = nn.ModuleList(BatchNorm(rung.deep_filters, config.affine_norm) for rung in rungs[1:])
        widths = (config.filters[0] * config.stem**2, *config.dense_head, 1)
        self.head = nn.ModuleList(
            nn.Linear(inputs, outputs, bias=config.biases)
            for inputs, outputs in pairwise(widths)
        )  # fmt: skip

    def forward(self, tiles: Tensor) -> Tensor:
        """`[B, C, S, S]` to `[B]`."""
        maps = F.leaky_relu(self.convolutions[0](tiles), self.leak)
        for convolution, norm in zip(self.convolutions[1:], self.norms, strict=True):
            maps = F.leaky_relu(norm(convolution(maps)), self.leak)
        features = maps.permute(0, 2, 3, 1).flatten(1)
        for dense in self.head[:-1]:
            features = F.leaky_relu(dense(features), self.leak)
        logits: Tensor = self.head[-1](features)
        return logits.squeeze(1)


@torch.no_grad()
def initialise(network: nn.Module, seed: int, number: int) -> None:
    """Glorot-uniform weights (S19), zero biases (S18), scales 1 and shifts 0.

    Args:
        network: on any device; drawn on the CPU, so that CPU and GPU start alike.
        seed: the run's seed.
        number: 0 for the generator, 1 for the discriminator.
    """
    for position, (name, parameter) in enumerate(network.named_parameters()):
        if parameter.dim() < 2:
            parameter.fill_(1.0 if name.endswith("scale") else 0.0)
            continue
        fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(parameter)
        bound = (6.0 / (fan_in + fan_out)) ** 0.5
        stream = generator(seed, Purpose.WEIGHTS, step=position, lane=number)
        drawn = stream.uniform(-bound, bound, size=tuple(parameter.shape)).astype(np.float32)
        parameter.copy_(torch.from_numpy(drawn))
