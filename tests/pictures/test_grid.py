"""Sheets and strips."""

import io

import numpy as np
import pytest
from PIL import Image

from satgan.pictures.film import strip_png, whole_film_png
from satgan.pictures.grid import grid_png, png, sheet


def tiles(count: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 5, 4, channels), dtype=np.uint8)


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_every_tile_stands_in_its_place() -> None:
    some = tiles(7, 3)
    page = sheet(some, columns=3, gap_pixels=2)
    assert page.shape == (3 * 7 + 2, 3 * 6 + 2, 3)
    for number, tile in enumerate(some):
        top, left = number // 3 * 7 + 2, number % 3 * 6 + 2
        assert np.array_equal(page[top : top + 5, left : left + 4], tile)
    assert (page[-7:, 8:] == 255).all()
    assert np.array_equal(opened(grid_png(some, 3))[2:7, 2:6], some[0])


@pytest.mark.parametrize(("channels", "shown"), [(1, 0), (2, 0), (3, slice(3)), (4, slice(3)), (16, slice(3))])
def test_any_number_of_channels_can_be_shown(channels: int, shown: int | slice) -> None:
    picture = tiles(1, channels)[0]
    assert np.array_equal(opened(png(picture)), picture[:, :, shown])


@pytest.mark.parametrize("channels", [1, 3])
def test_film_puts_strips_below_each_other(channels: int) -> None:
    first, second = tiles(4, channels), tiles(2, channels)
    film = np.atleast_3d(opened(whole_film_png([strip_png(first), strip_png(second)])))
    assert film.shape == (14, 21, channels)
    assert np.array_equal(film[1:6, 16:20], first[3])
    assert np.array_equal(film[8:13, 1:5], second[0])
    assert (film[7:, 12:] == 255).all()
