"""Real imagery passes, blanks do not, and each rejection says what was measured."""

from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from satgan.errors import ConfigError
from satgan.tiles import inspect
from satgan.tiles.figures import _sea_blue
from satgan.tiles.inspect import Rejection, judge, limits_from
from satgan.tiles.records import count_rejected, rejected_records, write_table
from tests.tiles.sample_tiles import Pixels, figures_of, read_tile, textured, verdict_on


def sea(share: float) -> Pixels:
    """Dark blue noise; from row `share` on, brown."""
    tile: Pixels = textured(1, 64)[0] >> np.uint8(3)
    tile[..., 2] += 60
    tile[round(64 * share) :] = tile[round(64 * share) :, :, ::-1]
    return tile


@pytest.mark.parametrize("level", [0, 7, 128, 255])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_blank_tiles_are_flat(level: int, channels: int) -> None:
    rejection = verdict_on(np.full((64, 64, channels), level, np.uint8), 64, channels)
    assert rejection == Rejection("flat", 0.0, inspect.FLAT_LEVELS)


def test_smooth_tiles_are_flat() -> None:
    slope = np.linspace(0, 96, 64).astype(np.uint8)
    tile = np.broadcast_to(slope[None, :, None], (64, 64, 3)) + np.array([0, 30, 60], np.uint8)
    rejection = verdict_on(tile.astype(np.uint8), 64, 3)
    assert rejection is not None
    assert rejection.reason == "flat"


def test_sea_is_told_from_a_coast() -> None:
    assert verdict_on(sea(0.9), 64, 3) is None
    assert verdict_on(sea(1.0), 64, 3) == Rejection("sea", 1.0, inspect.SEA_SHARE)


def test_mono_among_colour_is_found_and_mono_alone_is_welcome() -> None:
    grey = textured(1, 16, 1)[0]
    assert verdict_on(grey.repeat(3, axis=2), 16, 3) == Rejection("mono-among-colour", 0.0, inspect.MONO_LEVELS)
    assert verdict_on(grey, 16, 1) is None


def test_sizes_and_channels_are_compared() -> None:
    tile = textured(1, 16)[0]
    assert verdict_on(tile, 16, 3) is None
    assert verdict_on(tile[:12], 16, 3) == Rejection("wrong-size", 12, 16)
    assert verdict_on(tile[:, :13], 16, 3) == Rejection("wrong-size", 13, 16)
    assert verdict_on(tile[..., :1], 16, 3) == Rejection("wrong-channels", 1, 3)


@pytest.mark.parametrize("folder", ["naip_nd_5m", "nepal_oam_0.27m", "nepal_oam_0.53m", "sentinel2_de_100m"])
def test_real_imagery_passes(shared_data: Path, folder: str) -> None:
    paths = sorted((shared_data / "tiles64" / folder).iterdir())
    kept = sum(verdict_on(read_tile(path), 64, 3) is None for path in paths)
    assert kept >= 0.99 * len(paths)


@pytest.mark.parametrize("name", ["m24_black.png", "m25_white.png"])
def test_blank_files_do_not(shared_data: Path, name: str) -> None:
    assert verdict_on(read_tile(shared_data / "zoo" / name), 64, 3) is not None


@pytest.mark.parametrize("count", [0, 5])
def test_the_list_of_rejected_tiles_says_it_all(tmp_path: Path, count: int) -> None:
    rejected = [(f"a{number}", Rejection("flat", 0.5, 1.75)) for number in range(count)]
    rejected += [("b", Rejection("undecodable", detail="it is text"))] if count else []
    records = rejected_records()
    for name, rejection in rejected:
        records.append((name, *rejection))
    write_table(records.table(), tmp_path / "rejected.parquet")
    table = parquet.read_table(tmp_path / "rejected.parquet")
    assert [tuple(row.values()) for row in table.to_pylist()] == [(name, *rejection) for name, rejection in rejected]
    assert table.column_names == ["name", "reason", "figure", "threshold", "detail"]
    counted = count_rejected((tmp_path / "rejected.parquet").read_bytes())
    assert list(counted.items()) == ([("flat", 5), ("undecodable", 1)] if count else [])


def test_clouds_fill_and_clipping_are_told_apart() -> None:
    noise = textured(1, 64)[0]
    cloud = 215 + noise[..., :1] // 16 + noise // 64
    filled, clipped, dull = noise.copy(), noise.copy(), noise.copy()
    filled[:10] = 0
    clipped[..., 0] = np.where(noise[..., 1] > 100, 255, noise[..., 0])
    dull[:] = np.where(noise[..., :1] > 128, 100, 130) + np.array([0, 10, 20])
    found = {}
    for name, tile in (("cloud", cloud), ("nodata", filled), ("saturated", clipped), ("low-entropy", dull)):
        rejection = verdict_on(tile.astype(np.uint8), 64, 3)
        assert rejection is not None, name
        found[rejection.reason] = rejection.figure
    assert found == {
        "cloud": 1.0,
        "nodata": pytest.approx(10 / 64, abs=0.001),
        "saturated": pytest.approx(155 / 256, abs=0.02),
        "low-entropy": pytest.approx(1.0, abs=0.01),
    }


def plain_figures(tile: Pixels) -> dict[str, float]:
    """What the figures' text says, pixel by pixel and in whole numbers as far as they go."""
    pixels = tile.astype(int).reshape(-1, tile.shape[2])
    count, channels = pixels.shape
    total = tile.astype(int).sum(axis=2)
    steps = [int(np.abs(np.diff(total, axis=axis)).sum()) / np.diff(total, axis=axis).size for axis in (0, 1)]
    levels = np.zeros(256)
    for value in total.ravel():
        levels[value // channels] += 1
    shares = levels / count
    figures = {
        "masked": 0.0,
        "detail": (steps[0] + steps[1]) / 2 / channels,
        "entropy": -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(),
        "saturated": sum(max(pixel) == 255 for pixel in pixels) / count,
    }
    if channels >= 3:
        figures["filler"] = sum(max(pixel) == 0 or min(pixel) == 255 for pixel in pixels) / count
    if channels == 3:
        seas = (b >= 1.25 * r and 10 * b >= 11 * g and b >= r + 4 for r, g, b in pixels)
        figures["sea"] = sum(seas) / count
        figures["colour"] = sum(int(max(pixel) - min(pixel)) for pixel in pixels) / count
        figures["cloud"] = sum(min(pixel) >= 200 and max(pixel) - min(pixel) <= 24 for pixel in pixels) / count
    return figures


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 16])
@pytest.mark.parametrize(
    ("size", "shift", "base"), [(16, 0, 0), (16, 4, 3), (13, 5, 220), (5, 8, 255), (2, 3, 128), (9, 6, 253)]
)
def test_figures_are_exactly_what_their_text_says(channels: int, size: int, shift: int, base: int) -> None:
    """Among them tiles near black and white, where bytes would wrap around."""
    tiles = np.minimum((textured(4, size, channels) >> np.uint8(shift)).astype(int) + base, 255).astype(np.uint8)
    figures = figures_of(tiles)._asdict()
    for number, tile in enumerate(tiles):
        wanted = plain_figures(tile)
        assert {name: values[number] for name, values in figures.items() if not np.isnan(values[number])} == wanted


def test_sea_is_the_same_for_every_colour() -> None:
    """The rule in bytes against the rule in whole numbers, for all 16.8 million colours."""
    green, blue = (grid.astype(np.uint8) for grid in np.meshgrid(np.arange(256), np.arange(256)))
    for level in range(256):
        red = np.full_like(green, level)
        r, g, b = (plane.astype(int) for plane in (red, green, blue))
        assert np.array_equal(_sea_blue(red, green, blue), (4 * b >= 5 * r) & (10 * b >= 11 * g) & (b >= r + 4))


def test_masked_pixels_count_before_everything_else() -> None:
    black = np.zeros((2, 16, 16, 3), np.uint8)
    verdicts = judge(figures_of(black, np.array([1.0, 0.0])))
    assert [verdict and verdict.reason for verdict in verdicts] == ["nodata", "flat"]


def test_limits_can_be_changed_and_switched_off() -> None:
    assert verdict_on(sea(1.0), 64, 3, limits_from({"sea": "off"})) is None
    changed = verdict_on(sea(0.9), 64, 3, limits_from({"sea": "0.5"}))
    assert changed is not None
    assert (changed.reason, changed.threshold) == ("sea", 0.5)
    assert changed.figure == pytest.approx(0.9, abs=0.01)
    for given in ({"see": "off"}, {"sea": "many"}, {"sea": "-1"}, {"duplicate": "3"}):
        with pytest.raises(ConfigError):
            limits_from(given)
