"""Tiles for tests: textured, in colour, each different and told apart by its first pixel rows."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def textured(count: int, size: int = 16, channels: int = 3, seed: int = 0) -> Pixels:
    """`[count, size, size, channels] uint8` noise that every inspection passes; no two tiles are equal."""
    shape = (count, size, size, channels)
    return np.random.Generator(np.random.Philox(seed)).integers(0, 256, shape, dtype=np.uint8)


def named(tiles: Pixels) -> list[tuple[str, Pixels]]:
    """(name, tile) pairs in order."""
    return [(f"tile-{number:05d}", tile) for number, tile in enumerate(tiles)]
