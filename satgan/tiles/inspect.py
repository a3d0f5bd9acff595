"""A first inspection: which tiles are no use to a GAN, and why (S07). Rejected tiles are listed, never just dropped.

The thresholds were set by looking at tiles of NASA Blue Marble, and by what they keep of real imagery cut at 64 × 64:
all of 889 NAIP (5 m), 1,906 of 1,907 and 905 of 905 OpenAerialMap (0.27 and 0.53 m), 616 of 618 Sentinel-2 (100 m),
all of 10,000 MNIST digits. Of Blue Marble they reject every tile that is sea but for a trace of coast, and 79 % of
those within the ice sheets.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

REJECTED_NAME = "rejected.parquet"

MONO_LEVELS = 1.0
"""Mean of largest minus smallest channel, in levels of 255; in real colour tiles it is 5.9 and more."""

FLAT_LEVELS = 1.75
"""Mean luminance difference of neighbouring pixels, in levels of 255; the smoothest NAIP tile has 1.76."""

SEA_SHARE = 0.95
"""Share of pixels that are blue: `SEA_RATIO` times brighter in blue than in red, `SEA_GREEN_RATIO` than in green."""

SEA_RATIO = 1.25
SEA_GREEN_RATIO = 1.1
SEA_LEVELS = 4
"""In the dark, where ratios mean little, blue must also lie so many levels above red."""


class Rejection(NamedTuple):
    """Why a tile is not taken: a slug, the figure that was measured and the threshold it missed, where there are any.

    Reasons: `undecodable`, `wrong-size` [pixels], `wrong-channels` [channels], `flat` [levels], `sea` [share of
    pixels], `mono-among-colour` [levels].
    """

    reason: str
    figure: float | None = None
    threshold: float | None = None


def inspect_tile(tile: NDArray[np.uint8], size: int, channels: int) -> Rejection | None:
    """The first reason not to take a tile, or None. `sea` and `mono-among-colour` apply to three channels only.

    Args:
        tile: `[H, W, C] uint8`.
        size: the set's tile height and width [pixels].
        channels: the set's channel count.
    """
    height, width, found_channels = tile.shape
    if (height, width) != (size, size):
        return Rejection("wrong-size", height if height != size else width, size)
    if found_channels != channels:
        return Rejection("wrong-channels", found_channels, channels)
    detail = _detail_levels(tile)
    if detail < FLAT_LEVELS:
        return Rejection("flat", detail, FLAT_LEVELS)
    return _colour_rejection(tile) if channels == 3 else None


def _detail_levels(tile: NDArray[np.uint8]) -> float:
    luminance = tile.mean(axis=2, dtype=np.float32)
    down, right = np.abs(np.diff(luminance, axis=0)), np.abs(np.diff(luminance, axis=1))
    return float(down.mean() + right.mean()) / 2 if min(luminance.shape) > 1 else 0.0


def _colour_rejection(tile: NDArray[np.uint8]) -> Rejection | None:
    red, green, blue = np.moveaxis(tile.astype(np.float32), 2, 0)
    blue_pixels = (blue >= SEA_RATIO * red) & (blue >= SEA_GREEN_RATIO * green) & (blue >= red + SEA_LEVELS)
    sea_share = float(blue_pixels.mean())
    if sea_share >= SEA_SHARE:
        return Rejection("sea", sea_share, SEA_SHARE)
    colour_levels = float((tile.max(axis=2) - tile.min(axis=2)).mean())
    if colour_levels < MONO_LEVELS:
        return Rejection("mono-among-colour", colour_levels, MONO_LEVELS)
    return None


def write_rejected(rejected: Iterable[tuple[str, Rejection]], path: Path) -> None:
    """List rejected tiles in a Parquet file: name, reason, figure, threshold; an empty list gives an empty table."""
    import pyarrow
    from pyarrow import parquet

    rows = [(name, *rejection) for name, rejection in rejected]
    kinds = {"name": pyarrow.string(), "reason": pyarrow.string(), "figure": pyarrow.float64()}
    schema = pyarrow.schema({**kinds, "threshold": pyarrow.float64()})
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    parquet.write_table(pyarrow.table([list(column) for column in columns], schema=schema), path)


def count_rejected(data: bytes) -> dict[str, int]:
    """How many tiles a written list rejects for each reason, most frequent first."""
    import pyarrow
    from pyarrow import parquet

    reasons = parquet.read_table(pyarrow.BufferReader(data), columns=["reason"])["reason"].value_counts().to_pylist()
    return {entry["values"]: entry["counts"] for entry in sorted(reasons, key=lambda entry: -entry["counts"])}
