"""What is measured of tiles before they are judged: plain figures of a stack of tiles, all tiles at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]

LEVELS = 256

SEA_RATIO = (5, 4)
SEA_GREEN_RATIO = (11, 10)
"""A pixel is sea-blue when blue is at least 5/4 of red and 11/10 of green, …"""

SEA_LEVELS = 4
"""… and, as ratios mean little in the dark, blue lies at least so many levels above red."""

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


def measure(tiles: Pixels, masked: Values) -> Figures:
    """The figures of tiles `[n, H, W, C] uint8`; `masked`, `[n]`, is known only to who read them."""
    planes = [tiles[..., channel].astype(np.int16) for channel in range(tiles.shape[3])]
    total, largest, smallest = luminance_sums(tiles), planes[0].copy(), planes[0].copy()
    for plane in planes[1:]:
        np.maximum(largest, plane, out=largest)
        np.minimum(smallest, plane, out=smallest)
    unknown = np.full(len(tiles), np.nan)
    spread = largest - smallest
    colour = len(planes) == 3
    return Figures(
        masked=masked,
        detail=_detail(total) / len(planes),
        entropy=_entropy(total // len(planes)),
        filler=_share((largest == 0) | (smallest == LEVELS - 1)) if len(planes) >= 3 else unknown,
        sea=_share(_sea_blue(*planes)) if colour else unknown,
        colour=spread.mean(axis=(1, 2), dtype=np.float64) if colour else unknown,
        cloud=_share((smallest >= CLOUD_LEVELS) & (spread <= CLOUD_COLOUR_LEVELS)) if colour else unknown,
        saturated=_share(largest == LEVELS - 1),
    )


def luminance_sums(tiles: Pixels) -> NDArray[np.int16]:
    """The sum over channels, `[n, H, W]`; of at most 16 channels it is below 4096."""
    total = tiles[..., 0].astype(np.int16)
    for channel in range(1, tiles.shape[3]):
        total += tiles[..., channel]
    return total


def _share(pixels: NDArray[np.bool_]) -> Values:
    share: Values = np.count_nonzero(pixels, axis=(1, 2)) / (pixels.shape[1] * pixels.shape[2])
    return share


def _sea_blue(red: NDArray[np.int16], green: NDArray[np.int16], blue: NDArray[np.int16]) -> NDArray[np.bool_]:
    over_red = blue * SEA_RATIO[1] >= red * SEA_RATIO[0]
    over_green = blue * SEA_GREEN_RATIO[1] >= green * SEA_GREEN_RATIO[0]
    return over_red & over_green & (blue >= red + SEA_LEVELS)


def _detail(total: NDArray[np.int16]) -> Values:
    """Mean of the mean differences downwards and to the right, of the sum over channels."""
    if min(total.shape[1:]) < 2:
        return np.zeros(len(total))
    down = np.abs(total[:, 1:] - total[:, :-1]).mean(axis=(1, 2), dtype=np.float64)
    right = np.abs(total[:, :, 1:] - total[:, :, :-1]).mean(axis=(1, 2), dtype=np.float64)
    return np.asarray((down + right) / 2, np.float64)


def _entropy(luminance: NDArray[np.int16]) -> Values:
    count = len(luminance)
    bins = luminance.reshape(count, -1).astype(np.int32) + np.arange(count, dtype=np.int32)[:, None] * LEVELS
    occurrences = np.bincount(bins.ravel(), minlength=count * LEVELS).reshape(count, LEVELS)
    shares = occurrences / bins.shape[1]
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1), np.float64)
