"""Memorising: does the generator repeat training tiles?"""

import numpy as np
from numpy.typing import NDArray

Tiles = NDArray[np.uint8]
Thumbnails = NDArray[np.float32]

THUMBNAIL = 16
NEIGHBOURS = 16
TILES_AT_ONCE = 128


def thumbnails(tiles: Tiles) -> Thumbnails:
    """Tiles reduced to at most 16 × 16 by means over equal squares, less medium grey: `[N, s, s, C] float32`.

    Args:
        tiles: `[N, S, S, C] uint8`.
    """
    count, size, _, channels = tiles.shape
    block = -(-size // THUMBNAIL)
    side = size // block
    inner = tiles[:, : side * block, : side * block]
    means: Thumbnails = inner.reshape(count, side, block, side, block, channels).mean(axis=(2, 4), dtype=np.float32)
    return means - np.float32(127.5)


def symmetries(images: Thumbnails) -> list[Thumbnails]:
    """The eight turned and flipped forms of `[N, s, s, C]`: augmented training may repeat a tile in any of them."""
    turned = [np.rot90(images, quarter, axes=(1, 2)) for quarter in range(4)]
    return turned + [image[:, ::-1] for image in turned]


def nearness(tiles: Thumbnails, training: Thumbnails, own_places: NDArray[np.int64] | None = None) -> float:
    """Distance to the nearest training tile over the mean distance to the 16 nearest, mean over the tiles: from 0
    (copies) to 1.

    The distance is Euclidean between thumbnails, the nearest of the eight symmetries. It is set against the
    neighbourhood (as Carlini et al. 2023 do to find copies) because a blurred or dull tile is near to everything.

    Args:
        tiles: `[N, s, s, C]` of `thumbnails`.
        training: `[M, s, s, C]`, M at least 17.
        own_places: where each of `tiles` itself stands in `training`, if it does; it is not its own neighbour.
    """
    known = training.reshape(len(training), -1)
    values = []
    for first in range(0, len(tiles), TILES_AT_ONCE):
        distances = _distances(tiles[first : first + TILES_AT_ONCE], known)
        if own_places is not None:
            distances[np.arange(len(distances)), own_places[first : first + len(distances)]] = np.inf
        nearest = np.sqrt(np.partition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS])
        around = nearest.mean(axis=1)
        values.append(nearest.min(axis=1) / np.where(around > 0, around, 1))
    return float(np.concatenate(values).mean())


def nearest(tiles: Thumbnails, training: Thumbnails) -> NDArray[np.int64]:
    """Place in `training` `[M, s, s, C]` of the nearest to each of `tiles` `[N, s, s, C]`, by the distance of
    `nearness`: `[N] int64`."""
    known = training.reshape(len(training), -1)
    parts = [tiles[first : first + TILES_AT_ONCE] for first in range(0, len(tiles), TILES_AT_ONCE)]
    places: NDArray[np.int64] = np.concatenate([_distances(part, known).argmin(axis=1) for part in parts])
    return places


def _distances(tiles: Thumbnails, known: Thumbnails) -> NDArray[np.float32]:
    """Squared distances `[n, M]` of the nearest of each tile's symmetries; turning leaves the squares' sums alone."""
    flat = tiles.reshape(len(tiles), -1)
    products = known @ flat.T
    for form in symmetries(tiles)[1:]:
        np.maximum(products, known @ form.reshape(flat.shape).T, out=products)
    squares: NDArray[np.float32] = np.sum(flat**2, axis=1)[:, None] + np.sum(known**2, axis=1)[None] - 2 * products.T
    np.maximum(squares, 0, out=squares)
    return squares
