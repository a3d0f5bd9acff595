"""Histograms of pixel values: colour, contrast, saturation."""

import numpy as np
from numpy.typing import NDArray

Histogram = NDArray[np.float64]


def histogram(tiles: NDArray[np.uint8]) -> Histogram:
    """Share of each grey level in each channel.

    Args:
        tiles: `[N, H, W, C] uint8`.

    Returns:
        `[C, 256] float64`; each row sums to 1.
    """
    channels = tiles.shape[3]
    counts = [np.bincount(tiles[..., channel].ravel(), minlength=256) for channel in range(channels)]
    shares: Histogram = np.stack(counts) / (tiles.size // channels)
    return shares


def wasserstein_distance(first: Histogram, second: Histogram) -> float:
    """Wasserstein-1 distance of the pixel values, mean over channels: grey levels that a pixel has to move on average.

    In one dimension it is the area between the two cumulative distributions.
    """
    return float(np.abs(np.cumsum(second - first, axis=1)).sum(axis=1).mean())
