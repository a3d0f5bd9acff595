"""Real imagery passes, blanks do not, and each rejection says what was measured."""

from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from satgan.tiles import inspect
from satgan.tiles.inspect import Rejection, count_rejected, inspect_tile, write_rejected
from satgan.tiles.raster import read_tile
from tests.tiles.sample_tiles import Pixels, textured


def sea(share: float) -> Pixels:
    """Dark blue noise; from row `share` on, brown."""
    tile: Pixels = textured(1, 64)[0] >> np.uint8(3)
    tile[..., 2] += 60
    tile[round(64 * share) :] = tile[round(64 * share) :, :, ::-1]
    return tile


@pytest.mark.parametrize("level", [0, 7, 128, 255])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_blank_tiles_are_flat(level: int, channels: int) -> None:
    rejection = inspect_tile(np.full((64, 64, channels), level, np.uint8), 64, channels)
    assert rejection == Rejection("flat", 0.0, inspect.FLAT_LEVELS)


def test_smooth_tiles_are_flat() -> None:
    slope = np.linspace(0, 96, 64).astype(np.uint8)
    tile = np.broadcast_to(slope[None, :, None], (64, 64, 3)) + np.array([0, 30, 60], np.uint8)
    rejection = inspect_tile(tile.astype(np.uint8), 64, 3)
    assert rejection is not None
    assert rejection.reason == "flat"


def test_sea_is_told_from_a_coast() -> None:
    assert inspect_tile(sea(0.9), 64, 3) is None
    assert inspect_tile(sea(1.0), 64, 3) == Rejection("sea", 1.0, inspect.SEA_SHARE)


def test_mono_among_colour_is_found_and_mono_alone_is_welcome() -> None:
    grey = textured(1, 16, 1)[0]
    assert inspect_tile(grey.repeat(3, axis=2), 16, 3) == Rejection("mono-among-colour", 0.0, inspect.MONO_LEVELS)
    assert inspect_tile(grey, 16, 1) is None


def test_sizes_and_channels_are_compared() -> None:
    tile = textured(1, 16)[0]
    assert inspect_tile(tile, 16, 3) is None
    assert inspect_tile(tile[:12], 16, 3) == Rejection("wrong-size", 12, 16)
    assert inspect_tile(tile[:, :13], 16, 3) == Rejection("wrong-size", 13, 16)
    assert inspect_tile(tile[..., :1], 16, 3) == Rejection("wrong-channels", 1, 3)


@pytest.mark.parametrize("folder", ["naip_nd_5m", "nepal_oam_0.27m", "nepal_oam_0.53m", "sentinel2_de_100m"])
def test_real_imagery_passes(shared_data: Path, folder: str) -> None:
    paths = sorted((shared_data / "tiles64" / folder).iterdir())
    kept = sum(inspect_tile(read_tile(path), 64, 3) is None for path in paths)
    assert kept >= 0.99 * len(paths)


@pytest.mark.parametrize("name", ["m24_black.png", "m25_white.png"])
def test_blank_files_do_not(shared_data: Path, name: str) -> None:
    assert inspect_tile(read_tile(shared_data / "zoo" / name), 64, 3) is not None


@pytest.mark.parametrize("count", [0, 5])
def test_the_list_of_rejected_tiles_says_it_all(tmp_path: Path, count: int) -> None:
    rejected = [(f"a{number}", Rejection("flat", 0.5, 1.75)) for number in range(count)]
    rejected += [("b", Rejection("undecodable"))] if count else []
    write_rejected(rejected, tmp_path / "rejected.parquet")
    table = parquet.read_table(tmp_path / "rejected.parquet")
    assert [tuple(row.values()) for row in table.to_pylist()] == [(name, *rejection) for name, rejection in rejected]
    assert table.column_names == ["name", "reason", "figure", "threshold"]
    counted = count_rejected((tmp_path / "rejected.parquet").read_bytes())
    assert list(counted.items()) == ([("flat", 5), ("undecodable", 1)] if count else [])
