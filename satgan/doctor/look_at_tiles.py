"""A tile set, or a folder of tiles, as the rules look at it. Every tile is read and judged once."""

from collections.abc import Callable

import numpy as np

from satgan.doctor.records import TilesRecord
from satgan.tiles.commands import inspect
from satgan.tiles.samples import ACCEPTED

OUTSIDE_PERCENT = 0.5
"""Of the pixels, left out at either end of the range: a few are black or white in any imagery."""


def look_at_tiles(url: str, tell: Callable[[int, int | None], None] = lambda count, total: None) -> TilesRecord:
    """The record of a set, a folder or a prefix; the range is that of some of its tiles, the same ones each time.

    Args:
        url: where it lies.
        tell: told how many more tiles were judged, and how many there are where that is known.

    Raises:
        StoreError, TilesError, CorruptData: as `satgan tiles inspect` does.
    """
    found = inspect(url, progress=tell)
    chosen = found.samples.get(ACCEPTED) or [sample for group in found.samples.values() for sample in group]
    pixels = np.concatenate([sample.pixels.ravel() for sample in chosen] or [np.array([0, 255], np.uint8)])
    lowest, highest = np.percentile(pixels, [OUTSIDE_PERCENT, 100 - OUTSIDE_PERCENT])
    return TilesRecord(url, found.tiles, found.rejected, float(lowest), float(highest))
