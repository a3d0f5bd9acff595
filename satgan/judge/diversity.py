"""Does the generator make all kinds of tiles: precision, recall, density, coverage, and MS-SSIM among its tiles."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Tiles = NDArray[np.uint8]
Features = NDArray[np.float64]
Images = NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)

PRECISION_NEIGHBOUR = 3
DENSITY_NEIGHBOUR = 5

SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
"""Of the five scales, the finest first (Wang et al., Multi-scale structural similarity, 2003)."""

WINDOW = 11
WINDOW_DEVIATION = 1.5
LUMINANCE_CONSTANT, CONTRAST_CONSTANT = (0.01 * 255) ** 2, (0.03 * 255) ** 2
PAIRS_AT_ONCE = 64


class Overlap(NamedTuple):
    """How two sets of features cover each other; shares from 0 to 1, density about 1 for like sets."""

    precision: float
    recall: float
    density: float
    coverage: float


def overlap(reals: Features, fakes: Features) -> Overlap:
    """Precision and recall (Kynkäänniemi et al. 2019, k = 3), density and coverage (Naeem et al. 2020, k = 5).

    Args:
        reals: `[N, d] float64`, N at least 6.
        fakes: `[M, d] float64`, M at least 6.
    """
    between = squared_distances(reals, fakes)
    among_reals = _radii(reals, (PRECISION_NEIGHBOUR, DENSITY_NEIGHBOUR))
    among_fakes = _radii(fakes, (PRECISION_NEIGHBOUR,))
    in_real_balls = between <= among_reals[1][:, None]
    return Overlap(
        precision=float((between <= among_reals[0][:, None]).any(axis=0).mean()),
        recall=float((between <= among_fakes[0][None]).any(axis=1).mean()),
        density=float(in_real_balls.sum(axis=0).mean() / DENSITY_NEIGHBOUR),
        coverage=float(in_real_balls.any(axis=1).mean()),
    )


def squared_distances(first: NDArray[Real], second: NDArray[Real]) -> NDArray[Real]:
    """Squared Euclidean distances `[N, M]` between the rows of `[N, d]` and `[M, d]`; never below 0."""
    distances = first @ second.T
    distances *= -2
    distances += np.sum(first**2, axis=1)[:, None]
    distances += np.sum(second**2, axis=1)[None]
    np.maximum(distances, 0, out=distances)
    return distances


def _radii(points: Features, neighbours: tuple[int, ...]) -> list[Features]:
    """Squared distance of each point to its k-th nearest other point, for each k."""
    distances = squared_distances(points, points)
    np.fill_diagonal(distances, -1)  # the point itself comes first, whatever rounding made of its distance
    ordered = np.partition(distances, neighbours, axis=1)
    return [ordered[:, neighbour] for neighbour in neighbours]


def ms_ssim(tiles: Tiles) -> float:
    """Mean multi-scale structural similarity of tiles 0 and 1, 2 and 3, …: 1 for equal tiles, near 0 for unlike ones.

    As PGGAN computes it (Wang et al. 2003, a Gaussian window of 11 pixels that shrinks with the scale), with as many
    of the five scales as the size can be halved; weights of fewer scales are enlarged to the same sum.

    Args:
        tiles: `[N, S, S, C] uint8`, N at least 2.
    """
    pairs = len(tiles) // 2
    values = []
    for first in range(0, pairs, PAIRS_AT_ONCE):
        last = 2 * min(pairs, first + PAIRS_AT_ONCE)
        part = np.ascontiguousarray(tiles[2 * first : last].transpose(0, 3, 1, 2), dtype=np.float32)
        values.append(_ms_ssim(part[0::2], part[1::2]))
    return float(np.concatenate(values).mean())


def scales(size: int) -> int:
    """How many of the five scales a tile of that size has."""
    count = 1
    while count < len(SCALE_WEIGHTS) and size % 2 == 0 and size >= 4:
        size, count = size // 2, count + 1
    return count


def _ms_ssim(first: Images, second: Images) -> NDArray[np.float64]:
    """Of each pair of images `[n, C, S, S]`: `[n]`."""
    count = scales(first.shape[2])
    weights = SCALE_WEIGHTS[:count] * (SCALE_WEIGHTS.sum() / SCALE_WEIGHTS[:count].sum())
    product = np.ones(len(first))
    for scale, weight in enumerate(weights):
        similarity, contrast = _ssim(first, second)
        product *= np.maximum(similarity if scale == count - 1 else contrast, 0) ** weight
        if scale < count - 1:
            first, second = _halved(first), _halved(second)
    return product


def _ssim(first: Images, second: Images) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Structural similarity and its contrast part, of each pair."""
    blur = _window_matrix(first.shape[2])

    def blurred(images: Images) -> Images:
        result: Images = np.matmul(np.matmul(blur, images, dtype=np.float32), blur.T, dtype=np.float32)
        return result

    mean_one, mean_two = blurred(first), blurred(second)
    both = mean_one * mean_two
    square_one, square_two = mean_one**2, mean_two**2
    shared = 2 * (blurred(first * second) - both) + CONTRAST_CONSTANT
    own = blurred(first**2) - square_one + blurred(second**2) - square_two + CONTRAST_CONSTANT
    contrast = shared / own
    luminance = (2 * both + LUMINANCE_CONSTANT) / (square_one + square_two + LUMINANCE_CONSTANT)
    over = (1, 2, 3)
    return (luminance * contrast).mean(axis=over, dtype=np.float64), contrast.mean(axis=over, dtype=np.float64)


def _window_matrix(size: int) -> Images:
    """The Gaussian window as a matrix `[size - w + 1, size]`: only where it lies wholly inside the image."""
    width = min(WINDOW, size)
    places = np.arange(width) - (width - 1) / 2
    bell = np.exp(-(places**2) / (2 * (width * WINDOW_DEVIATION / WINDOW) ** 2))
    line = np.zeros(2 * size - width)
    line[size - width : size] = bell / bell.sum()
    return np.ascontiguousarray(sliding_window_view(line, size)[::-1], dtype=np.float32)


def _halved(images: Images) -> Images:
    count, channels, height, width = images.shape
    means: Images = images.reshape(count, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5), dtype=np.float32)
    return means
