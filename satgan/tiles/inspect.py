"""Which tiles are no use to a GAN, and why (S07). Rejected tiles are listed, never just dropped.

The limits were set by looking at tiles of NASA Blue Marble, and by what they keep of real imagery cut at 64 × 64: all
of 889 NAIP (5 m), 1,906 of 1,907 and 905 of 905 OpenAerialMap (0.27 and 0.53 m), 616 of 618 Sentinel-2 (100 m), all of
10,000 MNIST digits. What they keep is far from most limits: of all these tiles the cloudiest has 39 % cloud-white
pixels, the most saturated 27 %, the most filled 4 %, the least entropy in colour is 3.2 bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from satgan.errors import ConfigError, nearest
from satgan.tiles.figures import Figures, Pixels, Values

NODATA_SHARE = 0.1
FLAT_LEVELS = 1.75
"""The smoothest NAIP tile has 1.76."""

ENTROPY_BITS = 2.5
"""For tiles of three and more channels: handwritten digits are mostly paper, 0.4 bits and more."""

SEA_SHARE = 0.95
MONO_LEVELS = 1.0
"""In real colour tiles it is 5.9 and more."""

CLOUD_SHARE = 0.7
SATURATED_SHARE = 0.5

NEAR_DUPLICATE_CORRELATION = 0.93
"""See `duplicates.py`."""


WRONG_SIZE = "wrong-size"


class Rejection(NamedTuple):
    """Why a tile is not taken: a slug, the figure that was measured and the limit it missed, where there are any.

    Reasons: `undecodable`, `wrong-size` [pixels], `wrong-channels` [channels], those of `LIMITS`, and `duplicate`.
    `detail` says more: what the decoder said, or which tile this one repeats.
    """

    reason: str
    figure: float | None = None
    threshold: float | None = None
    detail: str | None = None


class Limit(NamedTuple):
    """A reason to reject: at which value, and whether from there on upwards (a share too large) or below it."""

    default: float
    upwards: bool
    about: str


MONO = "mono-among-colour"

LIMITS = {
    "nodata": Limit(NODATA_SHARE, True, "share of pixels without data: masked, or filled with pure black or white"),
    "flat": Limit(FLAT_LEVELS, False, "mean difference of neighbouring pixels [levels of 255]"),
    "low-entropy": Limit(ENTROPY_BITS, False, "entropy of the luminance histogram [bits], three channels and more"),
    "sea": Limit(SEA_SHARE, True, "share of sea-blue pixels"),
    "cloud": Limit(CLOUD_SHARE, True, "share of cloud-white pixels"),
    "saturated": Limit(SATURATED_SHARE, True, "share of pixels with a channel at 255"),
    MONO: Limit(MONO_LEVELS, False, "mean of largest minus smallest channel [levels of 255], in a set with colour"),
    "near-duplicate": Limit(NEAR_DUPLICATE_CORRELATION, True, "correlation with a tile taken before"),
}
"""Reasons in the order in which they are tried; the first that applies is the one that is told.

The last two depend on the other tiles: mono tiles are rejected only where a tile in colour is taken, so a set of grey
imagery that is stored as RGB is welcome, and a grey source among colour ones is not.
"""

EXACT_DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Limits:
    """The limits of one inspection: value by reason. A reason that is missing is not looked for."""

    values: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({reason: limit.default for reason, limit in LIMITS.items()})
    )
    duplicates: bool = True

    def __getstate__(self) -> dict[str, object]:
        return {"values": dict(self.values), "duplicates": self.duplicates}


DEFAULT_LIMITS = Limits()
NO_LIMITS = Limits(values={}, duplicates=False)
LAND_LIMITS = Limits({reason: LIMITS[reason].default for reason in ("flat", "sea", MONO)}, False)
"""Those of the embedded demo: its white is ice, and its tiles overlap on purpose."""


def limits_from(given: Mapping[str, str]) -> Limits:
    """The default limits with some of them changed.

    Args:
        given: by reason a number, or `off`; `duplicate` can only be `off`.

    Raises:
        ConfigError: no such reason, or not a number.
    """
    values: dict[str, float] = dict(DEFAULT_LIMITS.values)
    duplicates = True
    for reason, text in given.items():
        if reason not in (*LIMITS, EXACT_DUPLICATE):
            raise ConfigError(f"no tile is rejected for {reason!r}", nearest(reason, (*LIMITS, EXACT_DUPLICATE)))
        if text == "off":
            values.pop(reason, None)
            duplicates = duplicates and reason != EXACT_DUPLICATE
        else:
            values[reason] = _number(reason, text)
    return Limits(values, duplicates)


def _number(reason: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not value >= 0 or reason == EXACT_DUPLICATE:
        raise ConfigError(f"the limit {reason}={text} is no number from 0 up", f"write {reason}=off, or a number")
    return value


def judge(figures: Figures, limits: Limits = DEFAULT_LIMITS) -> list[Rejection | None]:
    """For each tile the first reason not to take it, or None; duplicates are looked for elsewhere.

    Who is rejected as mono among colour has passed everything else, so that it may still be taken among its like.
    """
    verdicts: list[Rejection | None] = [None] * len(figures.masked)
    for reason, values in _tried(figures):
        limit = limits.values.get(reason)
        if limit is None:
            continue
        for number in np.flatnonzero(values >= limit if LIMITS[reason].upwards else values < limit):
            verdicts[number] = verdicts[number] or Rejection(reason, float(values[number]), limit)
    return verdicts


def _tried(figures: Figures) -> tuple[tuple[str, Values], ...]:
    """Reasons with the figures that they look at. A blank tile is flat first; then its colour may tell filler."""
    grey = np.isnan(figures.filler)
    return (
        ("nodata", figures.masked),
        ("flat", figures.detail),
        ("nodata", figures.masked + np.where(grey, 0.0, figures.filler)),
        ("low-entropy", np.where(grey, np.nan, figures.entropy)),
        ("sea", figures.sea),
        ("cloud", figures.cloud),
        ("saturated", figures.saturated),
        (MONO, figures.colour),
    )


def wrong_shape(tile: Pixels, size: int, channels: int) -> Rejection | None:
    """Whether a tile `[H, W, C]` has another size or other channels than its set."""
    height, width, found_channels = tile.shape
    if (height, width) != (size, size):
        return Rejection(WRONG_SIZE, height if height != size else width, size)
    if found_channels != channels:
        return Rejection("wrong-channels", found_channels, channels)
    return None
