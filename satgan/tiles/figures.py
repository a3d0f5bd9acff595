"""What is measured of tiles before they are judged: plain figures of a stack of tiles, all tiles at once."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]

LEVELS = 256

SEA_RED_PART = 4
SEA_GREEN_PART = 10
"""A pixel is sea-blue when blue leads red by at least a fourth of red and green by a tenth of green, …"""

SEA_LEVELS = 4
"""… and, as parts mean little in the dark, red by at least so many levels."""

CLOUD_LEVELS = 200
CLOUD_COLOUR_LEVELS = 24
"""A pixel is cloud-white when no channel is darker than the one, and channels differ by no more than the other."""


class Figures(NamedTuple):
    """Figures of n tiles, each `[n] float64`. Shares are 0 to 1; those that need colour are NaN without three channels.

    masked: share of pixels that the source's nodata value, mask or alpha rules out.
    detail: mean luminance difference of neighbouring pixels [levels of 255].
    entropy: of the luminance histogram [bits, 0 to 8].
    filler: share of pixels that are pure black or pure white in every channel (three channels and more).
    sea: share of sea-blue pixels.
    colour: mean of largest minus smallest channel [levels of 255].
    cloud: share of cloud-white pixels.
    saturated: share of pixels with a channel at 255.
    """

    masked: Values
    detail: Values
    entropy: Values
    filler: Values
    sea: Values
    colour: Values
    cloud: Values
    saturated: Values


def measure(planes: Pixels, masked: Values, luminance: NDArray[np.int16]) -> Figures:
    """The figures of tiles that lie channel by channel.

    Args:
        planes: `[C, n, H, W] uint8`.
        masked: `[n]`, known only to who read them.
        luminance: `luminance_sums` of the planes.
    """
    channels, count = planes.shape[:2]
    flat = planes.reshape(channels, count, -1)
    largest, smallest = flat.max(axis=0), flat.min(axis=0)
    unknown = np.full(count, np.nan)
    spread = largest - smallest
    colour = channels == 3
    return Figures(
        masked=masked,
        detail=_detail(luminance) / channels,
        entropy=_entropy(luminance, channels),
        filler=_share((largest == 0) | (smallest == LEVELS - 1)) if channels >= 3 else unknown,
        sea=_share(_sea_blue(*flat)) if colour else unknown,
        colour=_mean(spread) if colour else unknown,
        cloud=_share((smallest >= CLOUD_LEVELS) & (spread <= CLOUD_COLOUR_LEVELS)) if colour else unknown,
        saturated=_share(largest == LEVELS - 1),
    )


def luminance_sums(planes: Pixels) -> NDArray[np.int16]:
    """The sum over channels of `[C, n, H, W]`: `[n, H, W]`; of at most 16 channels it is below 4096."""
    total: NDArray[np.int16] = planes[0].astype(np.int16)
    for plane in planes[1:]:
        total += plane
    return total


def _share(pixels: NDArray[np.bool_]) -> Values:
    """Of `[n, pixels]`; eight of them at a time, as counting is far slower one by one."""
    counts = np.add.reduce(np.bitwise_count(np.packbits(pixels, axis=1)), axis=1, dtype=np.int64)
    return np.asarray(counts / pixels.shape[1], np.float64)


def _mean(values: NDArray[Any]) -> Values:
    """Of all but the first axis; levels are below 4096, so sums of a million of them fit 32 bits, which is faster."""
    pixels = math.prod(values.shape[1:])
    sums = np.add.reduce(values.reshape(len(values), -1), axis=1, dtype=np.uint32 if pixels <= 2**20 else np.uint64)
    return np.asarray(sums / pixels, np.float64)


def _sea_blue(red: Pixels, green: Pixels, blue: Pixels) -> NDArray[np.bool_]:
    found = _leads(blue, red, SEA_RED_PART, SEA_LEVELS)
    found &= _leads(blue, green, SEA_GREEN_PART, 1)
    return found


def _leads(leader: Pixels, other: Pixels, part: int, levels: int) -> NDArray[np.bool_]:
    """Where a channel lies above the other by at least `1 / part` of that and by `levels` (1 or more).

    In whole numbers lead ≥ other / part is lead > (other - 1) // part, which bytes can hold.
    """
    lead = np.maximum(leader, other)
    lead -= other
    least = np.maximum(other, np.uint8(part * (levels - 1) + 1))
    least -= np.uint8(1)
    least //= np.uint8(part)
    return np.asarray(lead > least)


def _detail(total: NDArray[np.int16]) -> Values:
    """Mean of the mean differences downwards and to the right, of the sum over channels."""
    if min(total.shape[1:]) < 2:
        return np.zeros(len(total))
    down, right = total[:, 1:] - total[:, :-1], total[:, :, 1:] - total[:, :, :-1]
    return np.asarray((_mean(np.abs(down, out=down)) + _mean(np.abs(right, out=right))) / 2, np.float64)


def _entropy(total: NDArray[np.int16], channels: int) -> Values:
    luminance = (total.view(np.uint16) // np.uint16(channels)).reshape(len(total), -1)
    occurrences = np.array([np.bincount(tile, minlength=LEVELS) for tile in luminance]).reshape(-1, LEVELS)
    shares = occurrences / luminance.shape[1]
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1), np.float64)
