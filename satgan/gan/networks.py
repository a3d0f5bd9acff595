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

from satgan.gan.normalization import new_norm
from satgan.groups import GanConfig
from satgan.kinds import Norm
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
    smoothing = [max(1, config.filters[-1] // 2)] * config.smoothing_layers
    widths = (*config.filters, *smoothing, config.channels)
    rungs: list[Convolution] = []
    size: int = config.stem
    for number, (deep, shallow) in enumerate(pairwise(widths)):
        stride = 2 if number < config.doublings else 1
        # A stride-1 layer keeps the size only with an odd kernel.
        kernel = config.kernel_size if stride == 2 or config.kernel_size % 2 else config.kernel_size - 1
        rungs.append(Convolution(deep, shallow, kernel, stride, size, size * stride))
        size *= stride
    return rungs


def _reference(norm: Norm, shape: tuple[int, ...]) -> Tensor | None:
    """Room for the reference batch of virtual batch norm; saved with the network."""
    return torch.zeros(shape) if norm == "virtual" else None


def _with(reference: Tensor | None, batch: Tensor) -> Tensor:
    """The batch after the reference batch, if there is one."""
    if reference is None:
        return batch
    joined = torch.cat([reference, batch])
    return joined.contiguous(memory_format=torch.channels_last) if joined.dim() == 4 else joined


def _without(reference: Tensor | None, maps: Tensor) -> Tensor:
    """The maps of the batch alone. Without a reference batch nothing is cut: even a whole slice costs its gradient."""
    return maps if reference is None else maps[reference.shape[0] :]


def _leaky(maps: Tensor, leak: float) -> Tensor:
    return F.leaky_relu(maps, leak) if leak else F.relu(maps)


class Generator(nn.Module):
    """Noise `[B, Z]` to tiles `[B, C, S, S]` in [-1, 1]: project and reshape, transposed convolutions, tanh (S17).

    A norm and ReLU, plain or leaky (S22), follow every layer but the last (S26). With virtual batch norm a reference
    batch of noise, `reference` `[R, Z]`, passes before the batch (S23).
    """

    reference: Tensor | None

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.stem, self.stem_filters, self.leak = config.stem, config.filters[0], config.generator_leak
        about = (config.affine_norm, config.virtual_batch)
        self.register_buffer("reference", _reference(config.generator_norm, (config.virtual_batch, config.noise_size)))
        self.projection = nn.Linear(config.noise_size, self.stem_filters * config.stem**2, bias=False)
        self.projection_norm = new_norm(config.generator_norm, self.stem_filters, *about)
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
        self.norms = nn.ModuleList(new_norm(config.generator_norm, rung.shallow_filters, *about) for rung in rungs[:-1])

    def forward(self, noise: Tensor) -> Tensor:
        """`[B, Z]` to `[B, C, S, S]`."""
        noise = _with(self.reference, noise)
        maps = self.projection(noise).view(-1, self.stem, self.stem, self.stem_filters).permute(0, 3, 1, 2)
        maps = _leaky(self.projection_norm(maps), self.leak)
        for convolution, norm in zip(self.convolutions, self.norms, strict=False):
            maps = _leaky(norm(convolution(maps)), self.leak)
        return torch.tanh(self.convolutions[-1](_without(self.reference, maps)))


class Discriminator(nn.Module):
    """Tiles `[B, C, S, S]` to logits `[B]` (above 0: called real): the generator's ladder backwards (S16).

    Leaky ReLU everywhere (S22), a norm after every convolution but the first (S26), strides instead of pooling (S21),
    then dense layers. With virtual batch norm a reference batch of real tiles, `reference` `[R, C, S, S]`, passes
    before the batch (S23).
    """

    reference: Tensor | None

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.leak = config.discriminator_leak
        rungs = ladder(config)[::-1]
        tiles = (config.virtual_batch, config.channels, config.size, config.size)
        self.register_buffer("reference", _reference(config.discriminator_norm, tiles))
        about = (config.affine_norm, config.virtual_batch)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(
                rung.shallow_filters, rung.deep_filters, rung.kernel_size, rung.stride,
                padding=(rung.kernel_size - 1) // 2, bias=config.biases,
            )
            for rung in rungs
        )  # fmt: skip
        self.norms = nn.ModuleList(new_norm(config.discriminator_norm, rung.deep_filters, *about) for rung in rungs[1:])
        widths = (config.filters[0] * config.stem**2, *config.dense_head, 1)
        self.head = nn.ModuleList(
            nn.Linear(inputs, outputs, bias=config.biases)
            for inputs, outputs in pairwise(widths)
        )  # fmt: skip

    def forward(self, tiles: Tensor) -> Tensor:
        """`[B, C, S, S]` to `[B]`."""
        tiles = _with(self.reference, tiles)
        maps = F.leaky_relu(self.convolutions[0](tiles), self.leak)
        for convolution, norm in zip(self.convolutions[1:], self.norms, strict=True):
            maps = F.leaky_relu(norm(convolution(maps)), self.leak)
        features = _without(self.reference, maps).permute(0, 2, 3, 1).flatten(1)
        for dense in self.head[:-1]:
            features = F.leaky_relu(dense(features), self.leak)
        logits: Tensor = self.head[-1](features)
        return logits.squeeze(1)


def share_reference(network: Generator | Discriminator, other: Generator | Discriminator) -> None:
    """Makes the network use the very reference batch of another of its kind (S23)."""
    network.reference = other.reference


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
