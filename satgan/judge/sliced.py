"""Sliced Wasserstein distance of patches of a Laplacian pyramid, as PGGAN defines it, and as mmagic does.

Karras et al., Progressive Growing of GANs (ICLR 2018), section 5, and the code beside it: 128 patches of 7 × 7 per
image and level, each channel of a level normalised over the whole set, 4 × 128 random directions, times 1,000. Levels
go from the tile's size down to 16 pixels. mmagic's (mmagic/evaluation/metrics/swd.py), by which the published rows of
DCGANs were computed, differs in the pyramid alone.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from satgan.randomness import Purpose, generator

Tiles = NDArray[np.uint8]
Floats = NDArray[np.float32]

PATCH = 7
PATCHES_PER_TILE = 128
REPEATS = 4
DIRECTIONS = 128
SMALLEST_LEVEL = 16
TILES_AT_ONCE = 64
BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


class Pyramid(NamedTuple):
    """How the levels of a pyramid come about.

    Attributes:
        filters: of a size in pixels, as matrices: to the next smaller level, `[size / 2, size]`, and back.
        middle: the grey level that is taken off first, so that a filter's zeros beyond the edges are this grey.
        most_levels: no more than these; None for any number.
    """

    filters: Callable[[int], tuple[Floats, Floats]]
    middle: float
    most_levels: int | None


def level_sizes(size: int, most: int | None = None) -> list[int]:
    """Sizes of the pyramid's levels in pixels: halved down to 16, or until a size is odd, or there are `most`."""
    sizes = [size]
    while sizes[-1] % 2 == 0 and sizes[-1] // 2 >= SMALLEST_LEVEL and len(sizes) != most:
        sizes.append(sizes[-1] // 2)
    return sizes


def filter_both_ways(matrix: Floats, images: Floats) -> Floats:
    """A separable filter, as a matrix, along both sides of images `[N, C, s, s]`."""
    filtered: Floats = np.matmul(np.matmul(matrix, images, dtype=np.float32), matrix.T, dtype=np.float32)
    return filtered


def _blur_matrix(size: int, edges: Literal["reflect", "constant"]) -> Floats:
    """`[size, size]`: the binomial filter as a matrix; beyond the edges is the image mirrored (the edge pixel is not
    repeated), or zeros."""
    reach = len(BINOMIAL) // 2
    beyond = np.pad(np.eye(size, dtype=np.float32), ((reach, reach), (0, 0)), mode=edges)
    matrix: Floats = np.sum([weight * beyond[at : at + size] for at, weight in enumerate(BINOMIAL)], axis=0)
    return matrix


def _pggan_filters(size: int) -> tuple[Floats, Floats]:
    """Mirrored at the edges; enlarged by spreading the pixels with zeros between them."""
    blur = _blur_matrix(size, "reflect")
    return blur[::2], 2 * blur[:, ::2]


def _mmagic_filters(size: int) -> tuple[Floats, Floats]:
    """Zeros beyond the edges; enlarged by repeating each pixel."""
    blur = _blur_matrix(size, "constant")
    return blur[::2], blur @ np.repeat(np.eye(size // 2, dtype=np.float32), 2, axis=0)


PGGAN = Pyramid(_pggan_filters, middle=0, most_levels=None)
MMAGIC = Pyramid(_mmagic_filters, middle=127.5, most_levels=4)
"""mmagic scales tiles to -1 to 1 first; each channel is normalised afterwards, so only what is 0 matters."""


def laplacian_pyramid(tiles: Tiles, pyramid: Pyramid = PGGAN) -> list[Floats]:
    """What each level adds to the next coarser one, the coarsest last; `[N, C, s, s] float32` for each level.

    Binomial 5 × 5 filters. They are separable, so a level is reached by one small matrix from the left and from the
    right.

    Args:
        tiles: `[N, S, S, C] uint8`.
        pyramid: PGGAN's or mmagic's.
    """
    levels = [np.ascontiguousarray(tiles.transpose(0, 3, 1, 2), dtype=np.float32) - np.float32(pyramid.middle)]
    for above, below in pairwise(level_sizes(tiles.shape[1], pyramid.most_levels)):
        down, up = pyramid.filters(above)
        assert len(down) == below
        levels.append(filter_both_ways(down, levels[-1]))
        levels[-2] -= filter_both_ways(up, levels[-1])
    return levels


def descriptors(tiles: Tiles, side: int, pyramid: Pyramid = PGGAN) -> list[Floats]:
    """Normalised patches of each level, `[128 · N, C · 49] float32`.

    Args:
        tiles: `[N, S, S, C] uint8`, S at least 7.
        side: which of two sets that are compared; patches are taken at other places in each.
        pyramid: PGGAN's or mmagic's.
    """
    parts: list[list[Floats]] = [[] for _ in level_sizes(tiles.shape[1], pyramid.most_levels)]
    for first in range(0, len(tiles), TILES_AT_ONCE):
        for level, images in enumerate(laplacian_pyramid(tiles[first : first + TILES_AT_ONCE], pyramid)):
            parts[level].append(_patches(images, side, level, first))
    return [_normalised(np.concatenate(part)) for part in parts]


def _patches(images: Floats, side: int, level: int, first: int) -> Floats:
    """128 patches of each image at random places: `[128 · n, C, 7, 7]`."""
    chance = generator(0, Purpose.JUDGE, step=first, lane=1 + side, part=level)
    tops, lefts = chance.integers(images.shape[2] - PATCH + 1, size=(2, len(images), PATCHES_PER_TILE))
    windows = sliding_window_view(images, (PATCH, PATCH), axis=(2, 3))
    chosen = windows[np.arange(len(images))[:, None], :, tops, lefts]
    return chosen.reshape(-1, *chosen.shape[2:])


def _normalised(patches: Floats) -> Floats:
    """Mean 0 and deviation 1 in each channel over the set, then flat: `[n, C · 49]`. A constant channel becomes 0."""
    over = (0, 2, 3)
    patches -= patches.mean(axis=over, keepdims=True, dtype=np.float64).astype(np.float32)
    deviations = np.sqrt(np.mean(np.square(patches), axis=over, keepdims=True, dtype=np.float64))
    patches /= np.where(deviations > 0, deviations, 1).astype(np.float32)
    return patches.reshape(len(patches), -1)


class SlicedSide:
    """Tiles as the sliced distance sees them.

    Args:
        tiles: `[N, S, S, C] uint8`.
        number: which of two sets that are compared, 0 (commonly the reals) or 1.
        pyramid: PGGAN's or mmagic's.
        keeps: the sorted projections, for further comparisons: 0.26 MB a tile and level.
    """

    def __init__(self, tiles: Tiles, number: int, pyramid: Pyramid = PGGAN, keeps: bool = False) -> None:
        self.levels = level_sizes(tiles.shape[1], pyramid.most_levels)
        self._descriptors = descriptors(tiles, number, pyramid)
        self._keeps = keeps
        self._kept: dict[tuple[int, int], Floats] = {}

    def projections(self, level: int, repeat: int) -> Floats:
        """Its patches along each of 128 random directions, in ascending order, `[128, 128 · N] float32`; read only.

        Args:
            level: number of the pyramid's level.
            repeat: which 128 directions.
        """
        found = self._kept.get((level, repeat))
        if found is None:
            patches = self._descriptors[level]
            found = _directions(patches.shape[1], level, repeat) @ patches.T
            found.sort(axis=1)  # along contiguous memory, where NumPy sorts float32 with vector instructions
            if self._keeps:
                self._kept[level, repeat] = found
        return found


def _directions(length: int, level: int, repeat: int) -> Floats:
    """128 random ones of length 1, `[128, length] float32`."""
    chance = generator(0, Purpose.JUDGE, step=level, lane=0, part=repeat)
    directions = chance.standard_normal((length, DIRECTIONS))
    directions /= np.sqrt(np.sum(directions**2, axis=0))
    return directions.T.astype(np.float32)


def sliced_distances(first: SlicedSide, second: SlicedSide) -> dict[int, float]:
    """1,000 × the sliced Wasserstein-1 distance at each level, by the level's size in pixels; their mean is the
    published average.

    Args:
        first: number 0, commonly the reals.
        second: number 1, as many tiles of the same shape.
    """
    return {size: _distance(first, second, level) for level, size in enumerate(first.levels)}


def _distance(first: SlicedSide, second: SlicedSide, level: int) -> float:
    results = []
    for repeat in range(REPEATS):
        apart = first.projections(level, repeat) - second.projections(level, repeat)
        results.append(np.abs(apart, out=apart).mean(axis=1).mean(dtype=np.float64))
    return float(np.mean(results)) * 1e3
