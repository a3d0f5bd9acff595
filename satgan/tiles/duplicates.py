"""Exact and near duplicates among any number of tiles, in memory of 24 bytes a tile.

Each tile has a 128-bit digest of its bytes and a 64-bit perceptual hash: which of 8 × 8 mean luminances rise to their
right neighbour. Tiles whose hashes share a quarter and differ in few bits are candidates; what decides is the
correlation of their luminances over all pixels, that these differ little, and that their mean colours are alike. So
the same place on another date, or half a tile further on, is no duplicate: of tiles64 no such pair reaches 0.8. The
same tile saved again as JPEG, a little brighter or noisier, is one.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from satgan.tiles.figures import Pixels, luminance_sums
from satgan.tiles.inspect import EXACT_DUPLICATE, Limits, Rejection

GRID = 8
CANDIDATE_BITS = 8
QUARTER_BITS = 16
NEIGHBOURS = 8
"""Tiles that share a quarter of their hash are compared with so many of those that follow in sorted order."""

COLOUR_LEVELS = 6.0
"""Mean colours of near duplicates differ by no more in any channel."""

DIFFERENCE_LEVELS = 12.0
"""Luminances of near duplicates differ by no more (root of mean square); two strokes of ink of one form differ more."""

PAIRS_AT_ONCE = 128


Take = Callable[[NDArray[np.int64]], Pixels]


class Prints(NamedTuple):
    """What is kept of each of n tiles: `[n, 2] uint64` digests of the bytes, `[n] uint64` perceptual hashes."""

    digests: NDArray[np.uint64]
    hashes: NDArray[np.uint64]


def prints_of(tiles: Pixels, luminance: NDArray[np.int16]) -> Prints:
    """Digests and hashes of tiles `[n, H, W, C]`, contiguous, and their `luminance_sums`."""
    digests = b"".join(xxhash.xxh3_128_digest(tile.data) for tile in tiles)
    return Prints(np.frombuffer(digests, np.uint64).reshape(-1, 2), _hashes(luminance))


def _hashes(luminance: NDArray[np.int16]) -> NDArray[np.uint64]:
    height, width = luminance.shape[1:]
    rows = np.linspace(0, height, GRID, endpoint=False).astype(int)
    columns = np.linspace(0, width, GRID + 1, endpoint=False).astype(int)
    # reduceat over the rows would be six times slower
    bands = [luminance[:, top : max(bottom, top + 1)] for top, bottom in pairwise([*rows, height])]
    total = np.stack([np.add.reduce(band, axis=1, dtype=np.int32) for band in bands], axis=1)
    sums = np.add.reduceat(total, columns, axis=2).astype(np.float64)
    means = sums / np.diff(np.append(columns, width)).clip(1)
    bits = (means[:, :, 1:] > means[:, :, :-1]).reshape(-1, GRID * GRID)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def find_duplicates(prints: Prints, take: Take, limits: Limits) -> dict[int, tuple[Rejection, int]]:
    """Tiles that repeat one before them: by number the rejection, and the number of the tile that is repeated.

    Args:
        prints: of the n tiles.
        take: gives the tiles of these numbers, `[m, H, W, C] uint8`.
        limits: whether exact ones are looked for, and from which correlation on tiles are near duplicates.
    """
    found = _exact(prints.digests) if limits.duplicates else {}
    least = limits.values.get("near-duplicate")
    if least is None:
        return found
    for first, second, correlation in sorted(_near(prints, take, least), key=lambda pair: pair[1]):
        if first not in found and second not in found:
            found[second] = Rejection("near-duplicate", correlation, least), first
    return found


def _exact(digests: NDArray[np.uint64]) -> dict[int, tuple[Rejection, int]]:
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # a stable sort: equal digests keep their order
    repeats = np.append(False, (digests[order[1:]] == digests[order[:-1]]).all(axis=1)) if len(order) else order > 0
    leaders = order[np.maximum.accumulate(np.where(repeats, 0, np.arange(len(order))))]
    rejection = Rejection(EXACT_DUPLICATE)
    return {int(order[at]): (rejection, int(leaders[at])) for at in np.flatnonzero(repeats)}


def _near(prints: Prints, take: Take, least: float) -> Iterator[tuple[int, int, float]]:
    """(earlier, later, correlation) of pairs that are near duplicates."""
    pairs = _candidates(prints.hashes)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        first, second = pairs[start : start + PAIRS_AT_ONCE].T
        correlations = _correlations(take(first), take(second))
        for at in np.flatnonzero(correlations >= least):
            yield int(first[at]), int(second[at]), float(correlations[at])


def _candidates(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Pairs (earlier, later) of tiles whose hashes share a quarter and differ in few bits: `[m, 2]`."""
    found = [np.empty((0, 2), np.int64)]
    for quarter in range(64 // QUARTER_BITS):
        shift, back = np.uint64(quarter * QUARTER_BITS), np.uint64((64 - quarter * QUARTER_BITS) % 64)
        turned = (hashes << shift) | (hashes >> back) if quarter else hashes
        order = np.argsort(turned, kind="stable")
        turned = turned[order]
        keys = turned >> np.uint64(64 - QUARTER_BITS)
        for step in range(1, min(NEIGHBOURS + 1, len(order))):
            alike = (keys[step:] == keys[:-step]) & (np.bitwise_count(turned[step:] ^ turned[:-step]) <= CANDIDATE_BITS)
            found.append(np.stack([order[:-step][alike], order[step:][alike]], axis=1))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _correlations(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Of the luminances of pairs of tiles `[n, H, W, C]`; -1 where they, or the mean colours, are too far apart."""
    colours = [tiles.mean(axis=(1, 2), dtype=np.float64) for tiles in (first, second)]
    left, right = (_luminances(tiles) for tiles in (first, second))
    left, right = left - left.mean(axis=1, keepdims=True), right - right.mean(axis=1, keepdims=True)
    far = np.abs(colours[0] - colours[1]).max(axis=1) > COLOUR_LEVELS
    far |= np.square(left - right).mean(axis=1) > DIFFERENCE_LEVELS**2
    norms = np.sqrt(np.square(left).sum(axis=1) * np.square(right).sum(axis=1))
    return np.where(far | (norms == 0), -1.0, (left * right).sum(axis=1) / np.where(norms == 0, 1, norms))


def _luminances(tiles: Pixels) -> NDArray[np.float64]:
    sums = luminance_sums(np.moveaxis(tiles, 3, 0)).reshape(len(tiles), -1)
    return np.asarray(sums / tiles.shape[3], np.float64)
