"""Tiles for tests: textured, in colour, each different and told apart by its first pixel rows."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from satgan.tiles.decode import decode_tile
from satgan.tiles.figures import Figures, luminance_sums, measure
from satgan.tiles.inspect import DEFAULT_LIMITS, Limits, Rejection, judge, wrong_shape

Pixels = NDArray[np.uint8]


def textured(count: int, size: int = 16, channels: int = 3, seed: int = 0) -> Pixels:
    """`[count, size, size, channels] uint8` noise that every inspection passes; no two tiles are equal."""
    shape = (count, size, size, channels)
    return np.random.Generator(np.random.Philox(seed)).integers(0, 256, shape, dtype=np.uint8)


def named(tiles: Pixels) -> list[tuple[str, Pixels]]:
    """(name, tile) pairs in order."""
    return [(f"tile-{number:05d}", tile) for number, tile in enumerate(tiles)]


def read_tile(path: Path) -> Pixels:
    """The pixels of a small image file, `[H, W, C] uint8`."""
    return decode_tile(path.read_bytes(), str(path)).pixels


def figures_of(tiles: Pixels, masked: NDArray[np.float64] | None = None) -> Figures:
    """The figures of tiles `[n, H, W, C]`, of which nothing is masked unless told."""
    planes = np.ascontiguousarray(np.moveaxis(tiles, 3, 0))
    return measure(planes, np.zeros(len(tiles)) if masked is None else masked, luminance_sums(planes))


def verdict_on(tile: Pixels, size: int, channels: int, limits: Limits = DEFAULT_LIMITS) -> Rejection | None:
    """The first reason not to take a tile `[H, W, C]` into a set of this size and channels, or None."""
    return wrong_shape(tile, size, channels) or judge(figures_of(tile[None]), limits)[0]
