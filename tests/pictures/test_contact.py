"""The contact sheet shows every tile, unchanged but for its size, under its heading."""

import io

import numpy as np
import pytest
from PIL import Image

from satgan.pictures.contact import Group, Shown, contact_sheet_png


def drawn(groups: list[Group]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(contact_sheet_png(groups))))


def found(page: np.ndarray, tile: np.ndarray) -> int:
    """How often a tile's pixels occur on the page."""
    windows = np.lib.stride_tricks.sliding_window_view(page, tile.shape)[..., 0, :, :, :]
    return int((windows == tile).all(axis=(-3, -2, -1)).sum())


def test_every_tile_is_on_it() -> None:
    tiles = np.random.Generator(np.random.Philox(1)).integers(0, 256, (20, 72, 72, 3), dtype=np.uint8)
    page = drawn([Group("a", [Shown(tile, "1") for tile in tiles[:9]]), Group("b", [Shown(tiles[9], "")])])
    assert [found(page, tile) for tile in tiles[:11]] == [1] * 10 + [0]


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [5, 64, 300])
def test_any_size_and_channels_are_drawn(size: int, channels: int) -> None:
    tile = np.full((size, size, channels), 200, np.uint8)
    page = drawn([Group("heading", [Shown(tile, "0.5")]), Group("empty", [])])
    assert page.shape[2] == 3
    assert (page == 200).all(axis=2).sum() >= min(size, 150) ** 2


def test_headings_and_captions_are_written() -> None:
    tile = np.full((72, 72, 3), 128, np.uint8)
    plain, written = (drawn([Group("", [Shown(tile, text)])]) for text in ("", "0.97"))
    assert (plain != written).any()
    assert (drawn([Group("sea: 3", [Shown(tile, "")])]) != plain).any()
