"""What the scores need to know of a set of tiles."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.errors import TilesError
from satgan.judge.diversity import ms_ssim
from satgan.judge.features import Extracted, Layer, extract
from satgan.judge.histogram import Histogram, histogram
from satgan.judge.memory import Thumbnails, thumbnails
from satgan.judge.spectrum import Spectrum, log_power
from satgan.kinds import FEWEST_JUDGED

Tiles = NDArray[np.uint8]

SMALLEST_SIZE = 16


class Description(NamedTuple):
    """N tiles `[N, S, S, C] uint8` and all that the scores take from them, but for the patches of the sliced
    distance, which would be larger than the tiles and cost little to take again."""

    tiles: Tiles
    spectrum: Spectrum
    histogram: Histogram
    features: Extracted
    thumbnails: Thumbnails
    ms_ssim: float


def describe(tiles: Tiles, encoder: Sequence[Layer]) -> Description:
    """All that the scores take from tiles `[N, S, S, C] uint8`, N at least 2."""
    return Description(
        tiles, log_power(tiles), histogram(tiles), extract(tiles, encoder), thumbnails(tiles), ms_ssim(tiles)
    )


def check_tiles(tiles: Tiles, what: str, like: Tiles | None = None) -> None:
    """Refuses what is no tiles, too few of them, or tiles of another shape than those they are compared with.

    Args:
        tiles: what was given.
        what: its name in messages.
        like: tiles whose size and channels they must have.

    Raises:
        TilesError: with what was found.
    """
    shape = " × ".join(map(str, tiles.shape))
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[1] != tiles.shape[2]:
        raise TilesError(f"{what}: {tiles.dtype} {shape}", "give uint8 tiles, number × size × size × channels")
    if tiles.shape[1] < SMALLEST_SIZE:
        found = f"{what} of {tiles.shape[1]} × {tiles.shape[1]} pixels"
        raise TilesError(found, f"the judge needs tiles of {SMALLEST_SIZE} pixels or more")
    if like is not None and tiles.shape[1:] != like.shape[1:]:
        expected = " × ".join(map(str, like.shape[1:]))
        found = f"{what} are {' × '.join(map(str, tiles.shape[1:]))}, the real tiles {expected}"
        raise TilesError(found, "compare tiles of the same size and channels")
    if len(tiles) < FEWEST_JUDGED:
        raise TilesError(f"{what}: {len(tiles)}", f"the judge needs {FEWEST_JUDGED} or more on each side")
