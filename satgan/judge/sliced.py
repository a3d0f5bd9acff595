"""Sliced Wasserstein distance of patches of a Laplacian pyramid, as PGGAN defines it.

Karras et al., Progressive Growing of GANs (ICLR 2018), section 5, and the code beside it: 128 patches of 7 × 7 per
image and level, each channel of a level normalised over the whole set, 4 × 128 random directions, times 1,000. Levels
go from the tile's size down to 16 pixels. mmagic's definition differs in the pyramid (zeros beyond the edges, pixels
repeated before enlarging), so its published rows compare in magnitude, not in digits.
"""

from itertools import pairwise

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


def level_sizes(size: int) -> list[int]:
    """Sizes of the pyramid's levels in pixels: halved down to 16, or until a size is odd."""
    sizes = [size]
    while sizes[-1] % 2 == 0 and sizes[-1] // 2 >= SMALLEST_LEVEL:
        sizes.append(sizes[-1] // 2)
    return sizes


def laplacian_pyramid(tiles: Tiles) -> list[Floats]:
    """What each level adds to the next coarser one, the coarsest last; `[N, C, s, s] float32` for each level.

    Binomial 5 × 5 filters, mirrored at the edges (the edge pixel is not repeated). The filters are separable, so a
    level is reached by one small matrix from the left and from the right.

    Args:
        tiles: `[N, S, S, C] uint8`.
    """
    sizes = level_sizes(tiles.shape[1])
    levels = [np.ascontiguousarray(tiles.transpose(0, 3, 1, 2), dtype=np.float32)]
    for above, below in pairwise(sizes):
        blur = _blur_matrix(above)
        down, up = blur[::2], 2 * blur[:, ::2]
        assert len(down) == below
        levels.append(filter_both_ways(down, levels[-1]))
        levels[-2] -= filter_both_ways(up, levels[-1])
    return levels


def filter_both_ways(matrix: Floats, images: Floats) -> Floats:
    """A separable filter, as a matrix, along both sides of images `[N, C, s, s]`."""
    filtered: Floats = np.matmul(np.matmul(matrix, images, dtype=np.float32), matrix.T, dtype=np.float32)
    return filtered


def _blur_matrix(size: int) -> Floats:
    """`[size, size]`: the binomial filter as a matrix, mirrored at the edges."""
    matrix = np.zeros((size, size), np.float32)
    for row in range(size):
        for offset, weight in enumerate(BINOMIAL, start=-2):
            column = abs(row + offset)
            matrix[row, min(column, 2 * (size - 1) - column)] += weight
    return matrix


def descriptors(tiles: Tiles, side: int) -> list[Floats]:
    """Normalised patches of each level, `[128 · N, C · 49] float32`.

    Args:
        tiles: `[N, S, S, C] uint8`, S at least 7.
        side: which of two sets that are compared; patches are taken at other places in each.
    """
    parts: list[list[Floats]] = [[] for _ in level_sizes(tiles.shape[1])]
    for first in range(0, len(tiles), TILES_AT_ONCE):
        for level, images in enumerate(laplacian_pyramid(tiles[first : first + TILES_AT_ONCE])):
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


def sliced_distance(first: Floats, second: Floats, level: int) -> float:
    """1,000 × the sliced Wasserstein-1 distance of two sets of descriptors.

    Args:
        first: `[n, d] float32`.
        second: `[n, d] float32`.
        level: its number, from which the directions follow.
    """
    assert first.shape == second.shape, (first.shape, second.shape)
    results = []
    for repeat in range(REPEATS):
        directions = generator(0, Purpose.JUDGE, step=level, lane=0, part=repeat).standard_normal(
            (first.shape[1], DIRECTIONS)
        )
        directions /= np.sqrt(np.sum(directions**2, axis=0))
        rows = directions.T.astype(np.float32)
        one, two = rows @ first.T, rows @ second.T
        one.sort(axis=1)  # along contiguous memory, where NumPy sorts float32 with vector instructions
        two.sort(axis=1)
        one -= two
        results.append(np.abs(one, out=one).mean(axis=1).mean(dtype=np.float64))
    return float(np.mean(results)) * 1e3


def sliced_distances(first: Tiles, second: Tiles) -> dict[int, float]:
    """The distance at each level, by the level's size in pixels; their mean is the published average.

    Args:
        first: `[N, S, S, C] uint8`, commonly the reals.
        second: as many tiles of the same shape.
    """
    levels = zip(descriptors(first, 0), descriptors(second, 1), strict=True)
    distances = [sliced_distance(one, two, level) for level, (one, two) in enumerate(levels)]
    return dict(zip(level_sizes(first.shape[1]), distances, strict=True))
