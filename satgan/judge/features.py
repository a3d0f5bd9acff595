"""FRD: Fréchet distance on features of a random convolution network with a fixed seed. It is not the FID.

Random features need no download and no training. Shallow ones see texture, checkerboards and saturation, deep ones
layout and which kinds of tiles are there (random networks as feature extractors: Saxe et al., ICML 2011).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import conv2d

from satgan.randomness import Purpose, generator

Tiles = NDArray[np.uint8]
Features = NDArray[np.float64]
Weights = NDArray[np.float32]

WIDTHS = (16, 32, 64)
"""Filters of the first layers; every further layer has as many as the last of these."""

SHALLOW_LAYER = 1
SMALLEST_MAP = 12
"""Layers of stride 2 follow until a map has at most so many rows."""

PIXELS_AT_ONCE = 2**19
FEWEST_TO_FIT = 32


class Layer(NamedTuple):
    """3 × 3 filters `[out, in, 3, 3]` and biases `[out]`, float32."""

    weights: Weights
    biases: Weights


class Extracted(NamedTuple):
    """Features of N tiles: mean and deviation over space of each map of a layer, `[N, 2 · filters] float64`."""

    shallow: Features
    deep: Features


def fit_encoder(tiles: Tiles) -> list[Layer]:
    """A random network whose every response has mean 0 and deviation 1 over these tiles.

    The filters are a function of the fixed seed alone. Without the scaling, which plays batch norm's part, deep random
    responses of all tiles are nearly alike.

    Args:
        tiles: `[N, S, S, C] uint8`, reals; the first 2**19 pixels' worth of them are used, at least 32 tiles.
    """
    size, channels = tiles.shape[1], tiles.shape[3]
    fitting = tiles[: max(FEWEST_TO_FIT, PIXELS_AT_ONCE // (size * size))]
    maps = _first_map(fitting)
    layers: list[Layer] = []
    while not layers or maps.shape[2] > SMALLEST_MAP or len(layers) <= SHALLOW_LAYER:
        number = len(layers)
        width = WIDTHS[min(number, len(WIDTHS) - 1)]
        filters = generator(0, Purpose.JUDGE, step=number, lane=3).standard_normal((width, channels, 3, 3), np.float32)
        response = conv2d(maps, torch.from_numpy(filters), stride=_stride(number), padding=1)
        mean = response.mean(dim=(0, 2, 3)).numpy()
        scale = 1 / np.maximum(response.std(dim=(0, 2, 3)).numpy(), 1e-6)
        layers.append(Layer(filters * scale[:, None, None, None], -mean * scale))
        maps, channels = _apply(maps, layers[-1], number), width
    return layers


def extract(tiles: Tiles, encoder: Sequence[Layer]) -> Extracted:
    """The features of tiles `[N, S, S, C] uint8`, computed in float32 on the CPU by torch's own threads."""
    at_once = max(1, PIXELS_AT_ONCE // (tiles.shape[1] * tiles.shape[2]))
    parts = [_extract(tiles[first : first + at_once], encoder) for first in range(0, len(tiles), at_once)]
    shallow, deep = zip(*parts, strict=True)
    return Extracted(np.concatenate(shallow), np.concatenate(deep))


def _extract(tiles: Tiles, encoder: Sequence[Layer]) -> Extracted:
    maps, pooled = _first_map(tiles), []
    for number, layer in enumerate(encoder):
        maps = _apply(maps, layer, number)
        if number in (SHALLOW_LAYER, len(encoder) - 1):
            deviations, means = torch.std_mean(maps, dim=(2, 3), correction=0)
            pooled.append(torch.cat([means, deviations], dim=1).numpy().astype(np.float64))
    return Extracted(pooled[0], pooled[-1])


def _first_map(tiles: Tiles) -> torch.Tensor:
    """Bytes as centred numbers `[N, C, S, S] float32`, channels_last; the encoder's own scaling does the rest."""
    return torch.from_numpy(tiles.astype(np.float32)).permute(0, 3, 1, 2).div_(127.5).sub_(1)


def _apply(maps: torch.Tensor, layer: Layer, number: int) -> torch.Tensor:
    weights, biases = torch.from_numpy(layer.weights), torch.from_numpy(layer.biases)
    return conv2d(maps, weights, biases, stride=_stride(number), padding=1).relu_()


def _stride(number: int) -> int:
    return 1 if number == 0 else 2


def frechet_distance(first: Features, second: Features) -> float:
    """Fréchet distance of two normal distributions fitted to the features (Dowson and Landau 1982):
    |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½).

    The trace of the root is the sum of the roots of the eigenvalues of S1^½ S2 S1^½, which is symmetric, so that
    nothing becomes complex and a singular covariance does no harm.

    Args:
        first: `[N, d] float64`.
        second: `[M, d] float64`.
    """
    shift = first.mean(axis=0) - second.mean(axis=0)
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0)).sum()
    return float(max(0.0, shift @ shift + np.trace(one) + np.trace(two) - 2 * shared))
