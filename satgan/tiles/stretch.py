"""From 16-bit and float rasters to bytes: one stretch for a whole source, chosen from a sample of its pixels."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.errors import ConfigError

Pixels = NDArray[np.uint8]
SAMPLE_BLOCKS_A_SIDE = 8
SAMPLE_BLOCK_PIXELS = 512
"""Looked at are at most 8 × 8 blocks of the file, evenly spread, and of each at most 512 × 512 pixels."""


class StretchRule(NamedTuple):
    """How the ends of a stretch are found: `percentiles` of each band over the source, or the `values` themselves."""

    kind: str = "percentiles"
    low: float = 2.0
    high: float = 98.0


class Stretch(NamedTuple):
    """Per band the value that becomes 0 and the one that becomes 255; values beyond are clipped."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def apply(self, bands: NDArray[Any]) -> Pixels:
        """`[C, h, w]` of any real type as bytes, rounded; not-a-numbers become 0."""
        low, high = (np.array(ends, np.float64)[:, None, None] for ends in self)
        scale = np.where(high > low, 255 / np.where(high > low, high - low, 1), 0)
        # float64 keeps every 32-bit integer apart; float32 would do for 16 bits, and is twice as fast
        kind = np.float32 if bands.dtype.itemsize <= 2 else np.float64
        numbers = (bands.astype(kind) - low.astype(kind)) * scale.astype(kind)
        np.nan_to_num(numbers, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
        stretched: Pixels = np.rint(np.clip(numbers, 0, 255, out=numbers), out=numbers).astype(np.uint8)
        return stretched


def parse_stretch(text: str) -> StretchRule:
    """A rule from the command line: `2,98` are percentiles, `values:0,3000` the ends themselves.

    Raises:
        ConfigError: neither, percentiles beyond 0 to 100, or ends that do not rise.
    """
    kind, colon, ends = text.rpartition(":")
    remedy = "write two percentiles, say 2,98, or the values that become black and white, say values:0,3000"
    try:
        low, high = (float(end) for end in ends.split(","))
    except ValueError:
        raise ConfigError(f"the stretch {text!r} is not two numbers", remedy) from None
    if not low < high or kind not in ("", "values") or (not colon and not 0 <= low < high <= 100):
        raise ConfigError(f"the stretch {text!r} cannot be used", remedy)
    return StretchRule("values" if colon else "percentiles", low, high)


def choose_stretch(rule: StretchRule, samples: list[NDArray[Any]]) -> Stretch:
    """The stretch that a rule gives.

    Args:
        rule: how the ends are found.
        samples: per band the valid values of the sample, in any order; a band without any is stretched from 0 to 1.
    """
    if rule.kind == "values":
        return Stretch((rule.low,) * len(samples), (rule.high,) * len(samples))
    ends = [
        np.percentile(values.astype(np.float64), [rule.low, rule.high]) if len(values) else (0.0, 1.0)
        for values in samples
    ]
    return Stretch(tuple(float(low) for low, _ in ends), tuple(float(high) for _, high in ends))
