"""Eight kinds of damage to tiles, four strengths each; and synthetic tiles of four kinds of land."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Tiles = NDArray[np.uint8]
Damage = Callable[[Tiles, NDArray[np.int64], int], Tiles]

STRENGTHS = 4


def _bytes(numbers: NDArray[np.floating]) -> Tiles:
    rounded: Tiles = np.clip(np.rint(numbers), 0, 255).astype(np.uint8)
    return rounded


def blur(tiles: Tiles, kinds: NDArray[np.int64], strength: int) -> Tiles:
    """The binomial filter 1 2 1, once, twice, four and eight times."""
    numbers = tiles.astype(np.float64)
    for _ in range(2**strength):
        for axis in (1, 2):
            numbers = (np.roll(numbers, 1, axis) + 2 * numbers + np.roll(numbers, -1, axis)) / 4
    return _bytes(numbers)


def noise(tiles: Tiles, kinds: NDArray[np.int64], strength: int) -> Tiles:
    """White noise of 6, 12, 24 and 48 grey levels."""
    chance = np.random.Generator(np.random.Philox(5)).standard_normal(tiles.shape)
    return _bytes(tiles + 6 * 2**strength * chance)


def checkerboard(tiles: Tiles, kinds: NDArray[np.int64], strength: int) -> Tiles:
    """A grid of period 2, amplitude 2, 4, 8 and 16 grey levels."""
    rows, columns = np.ogrid[: tiles.shape[1], : tiles.shape[2]]
    return _bytes(tiles + 2 * 2**strength * (1 - 2 * ((rows + columns) % 2))[None, :, :, None])


def colour(tiles: Tiles, kinds: NDArray[np.int64], strength: int) -> Tiles:
    """The channels drift apart by 5, 10, 20 and 40 grey levels."""
    return _bytes(tiles + 5 * 2**strength * np.linspace(1, -1, tiles.shape[3]))


def missing_kinds(tiles: Tiles, kinds: NDArray[np.int64], strength: int) -> Tiles:
    """Of the tiles of all kinds but one 30, 60, 85 and 100 % are replaced by tiles of that kind."""
    kept = np.flatnonzero(kinds == kinds.min())
    others = np.flatnonzero(kinds != kinds.min())
    lost = others[: round(len(others) * (0.3, 0.6, 0.85, 1.0)[strength])]
    result = tiles.copy()
    result[lost] = tiles[np.resize(kept, len(lost))]
    return result


def duplicates(tiles: Tiles, kinds: NDArray[np.int64], strength: int) -> Tiles:
    """Only 1/4, 1/16, 1/64 and 1/256 of the tiles, over and over."""
    return np.resize(tiles[: max(1, len(tiles) // 4 ** (strength + 1))], tiles.shape)


def shuffled(tiles: Tiles, kinds: NDArray[np.int64], strength: int) -> Tiles:
    """Patches of 1/2, 1/4, 1/8 and 1/16 of the tile's size in random order."""
    count, size, _, channels = tiles.shape
    cells = 2 ** (strength + 1)
    patch = size // cells
    blocks = tiles.reshape(count, cells, patch, cells, patch, channels).transpose(0, 1, 3, 2, 4, 5)
    flat = blocks.reshape(count, cells * cells, patch, patch, channels).copy()
    chance = np.random.Generator(np.random.Philox(6))
    for tile in flat:
        chance.shuffle(tile)
    blocks = flat.reshape(count, cells, cells, patch, patch, channels).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(blocks.reshape(tiles.shape))


def saturated(tiles: Tiles, kinds: NDArray[np.int64], strength: int) -> Tiles:
    """Pushed to black and white by tanh of 1.5, 2.5, 5 and 10 times the value."""
    numbers = tiles / 127.5 - 1
    return _bytes(127.5 * (1 + np.tanh((1.5, 2.5, 5, 10)[strength] * numbers)))


DAMAGES: dict[str, Damage] = {
    function.__name__: function
    for function in (blur, noise, checkerboard, colour, missing_kinds, duplicates, shuffled, saturated)
}


def synthetic(count: int, size: int = 64, channels: int = 3, seed: int = 0) -> tuple[Tiles, NDArray[np.int64]]:
    """`[count, size, size, channels] uint8` of four kinds that differ in colour, roughness and layout, and the kinds
    `[count]`: clouded noise of a power law, with a coast, a field border or neither."""
    chance = np.random.Generator(np.random.Philox(seed))
    kinds = chance.integers(4, size=count)
    frequencies = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequencies[0, 0] = 1
    waves = np.fft.rfft2(chance.standard_normal((count, channels + 2, size, size)))
    slopes = np.array([1.0, 1.4, 1.8, 2.2])[kinds][:, None, None, None]
    fields = np.fft.irfft2(waves / frequencies**slopes, s=(size, size))
    fields /= fields.std(axis=(2, 3), keepdims=True)
    shared, coast = fields[:, :1], fields[:, 1:2]
    colours = chance.uniform(60, 180, (4, channels))[kinds][:, :, None, None]
    land = colours + 18 * shared + 6 * fields[:, 2:]
    step = np.where((kinds % 2 == 0)[:, None, None, None], 40 * np.tanh(6 * coast), 25 * np.sign(coast - 1))
    return _bytes((land + step).transpose(0, 2, 3, 1)), kinds
