"""Power spectra: blur, noise and the checkerboard that strided layers leave."""

import numpy as np
from numpy.typing import NDArray

Tiles = NDArray[np.uint8]
Spectrum = NDArray[np.float64]

QUANTISATION_POWER = 1 / 12
"""Variance of the rounding to bytes: below it a spectrum says nothing, so it is added before the logarithm."""

PIXELS_AT_ONCE = 2**22
RING_BINS = 2.5
"""Half the width of the ring that a stride frequency is compared with, in bins."""

STRIDE_FREQUENCIES = tuple(
    (down, right) for right in (0.0, 0.25, 0.5) for down in (0.0, 0.25, 0.5, -0.25)
    if (down, right) != (0.0, 0.0) and (down >= 0 or right == 0.25)
)  # fmt: skip
"""Cycles per pixel, (vertical, horizontal), at which layers of stride 2 and 4 repeat themselves; each once."""


def log_power(tiles: Tiles) -> Spectrum:
    """Mean over the tiles of the logarithm of the power spectrum.

    Each channel loses its mean and gets a Hann window, so that the tile's edges do not look like detail. The mean of
    logarithms, not the logarithm of the mean: a few tiles of high contrast must not speak for all.

    Args:
        tiles: `[N, S, S, C] uint8`.

    Returns:
        `[C, S, S // 2 + 1] float64`, natural logarithm of grey levels squared; the half plane of `numpy.fft.rfft2`.
    """
    size, channels = tiles.shape[1], tiles.shape[3]
    window = np.sin(np.pi * np.arange(size) / size) ** 2
    frame = (np.outer(window, window) / np.sum(window**2)).astype(np.float32)
    total = np.zeros((channels, size, size // 2 + 1))
    at_once = max(1, PIXELS_AT_ONCE // (size * size * channels))
    for first in range(0, len(tiles), at_once):
        part = np.ascontiguousarray(tiles[first : first + at_once].transpose(0, 3, 1, 2), dtype=np.float32)
        part -= part.mean(axis=(2, 3), keepdims=True)
        waves = np.fft.rfft2(part * frame)
        power = waves.real**2 + waves.imag**2
        total += np.log(power + np.float32(QUANTISATION_POWER)).sum(axis=0, dtype=np.float64)
    return total / len(tiles)


def radial_distance(first: Spectrum, second: Spectrum) -> float:
    """Mean over channels and rings of equal frequency of |difference of log power|; 0 is equal, unit nepers of power.

    Args:
        first: `[C, S, S // 2 + 1]` of `log_power`.
        second: of the same shape.
    """
    return float(np.mean(np.abs(radial_means(second - first))))


def radial_means(spectrum: Spectrum) -> Spectrum:
    """Means over the rings of 1, 2, 3, … waves per tile, without the mean level: `[C, rings] float64`."""
    size = spectrum.shape[1]
    rings = np.rint(_radii(size) * size).astype(np.int64).ravel()
    sizes = np.maximum(np.bincount(rings), 1)
    return np.stack([np.bincount(rings, channel.ravel()) / sizes for channel in spectrum])[:, 1:]


def checkerboard_index(spectrum: Spectrum) -> Spectrum:
    """How far the stride frequencies stand out of their surroundings: log power less the median of its ring.

    Args:
        spectrum: `[C, S, S // 2 + 1]` of `log_power`.

    Returns:
        `[C, 9] float64`, one per `STRIDE_FREQUENCIES`; about 0 in imagery without a grid.
    """
    size, radii = spectrum.shape[1], _radii(spectrum.shape[1])
    last = spectrum.shape[2] - 1  # in tiles of odd size the highest frequency lies between two bins
    places = [(round(down * size) % size, min(round(right * size), last)) for down, right in STRIDE_FREQUENCIES]
    quiet = np.ones(radii.shape, bool)
    for row, column in places:  # the window spreads a line over its neighbours
        quiet[np.ix_(np.arange(row - 1, row + 2) % size, _inside(column, radii.shape[1]))] = False
    rings = [quiet & (np.abs(radii - radii[place]) < RING_BINS / size) for place in places]
    pairs = zip(places, rings, strict=True)
    return np.stack([spectrum[:, *place] - np.median(spectrum[:, ring], axis=1) for place, ring in pairs], axis=1)


def _inside(column: int, columns: int) -> NDArray[np.int64]:
    return np.arange(max(0, column - 1), min(columns, column + 2))


def checkerboard_distance(first: Spectrum, second: Spectrum) -> float:
    """Mean over channels and stride frequencies of |difference of the checkerboard index|, in nepers of power."""
    return float(np.mean(np.abs(checkerboard_index(second) - checkerboard_index(first))))


def _radii(size: int) -> Spectrum:
    """Distance of each bin of the half plane from frequency 0, in cycles per pixel."""
    radii: Spectrum = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    return radii
