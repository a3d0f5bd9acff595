"""Walks and mosaics: where they go, and what their files show."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.WebPImagePlugin import WebPImageFile

from satgan.errors import ConfigError, InputError
from satgan.gallery.draw import Choice, draw_tiles, open_artist, sample_noise
from satgan.gallery.mosaic import ANCHOR_TILES, mosaic, mosaic_noise
from satgan.gallery.walk import slerp, walk, walk_noise
from satgan.tiles.store import open_store

CHOICE = Choice(seed=5, device="cpu")


@pytest.mark.parametrize("size", [1, 2, 32, 100])
def test_an_arc_leads_from_end_to_end_at_even_pace_and_stays_on_the_sphere(size: int) -> None:
    first, second = sample_noise(1, 0, 40, size), sample_noise(2, 0, 40, size)
    share = np.linspace(0, 1, 9, dtype=np.float32)
    way = slerp(first[:, None], second[:, None], share)
    assert np.allclose(way[:, 0], first, atol=1e-5)
    assert np.allclose(way[:, -1], second, atol=1e-5)
    if size < 2:  # no sphere, no arc
        return
    unit_first, unit_second = (ends / np.linalg.norm(ends, axis=1, keepdims=True) for ends in (first, second))
    arc = slerp(unit_first[:, None], unit_second[:, None], share)
    assert np.allclose(np.linalg.norm(arc, axis=2), 1, atol=1e-3)
    steps = np.linalg.norm(np.diff(arc, axis=1), axis=2)
    assert np.allclose(steps, steps[:, :1], atol=1e-3)


def test_there_is_a_way_between_the_same_and_between_opposite_vectors() -> None:
    noise = sample_noise(1, 0, 3, 8)
    for other in (noise, -noise, np.zeros_like(noise)):
        way = slerp(noise[:, None], other[:, None], np.linspace(0, 1, 5, dtype=np.float32))
        assert np.isfinite(way).all()
        assert np.allclose(way[:, -1], other, atol=1e-5)


def test_a_walk_comes_by_its_stops_and_back() -> None:
    stops = sample_noise(3, 0, 8, 10).reshape(2, 4, 10)
    way = walk_noise(stops, frames=5)
    assert way.shape == (2, 20, 10)
    assert np.allclose(way[:, ::5], stops, atol=1e-6)
    closing = np.linalg.norm(way[:, 0] - way[:, -1], axis=1)
    assert (closing < 0.5 * np.linalg.norm(stops[:, 0] - stops[:, -1], axis=1)).all()


def test_neighbours_on_a_mosaic_are_alike() -> None:
    anchors = sample_noise(3, 0, 12, 64).reshape(3, 4, 64)
    page = mosaic_noise(anchors, 2 * ANCHOR_TILES, 3 * ANCHOR_TILES - 3)
    assert page.shape == (16, 21, 64)
    assert np.allclose(page[::ANCHOR_TILES, ::ANCHOR_TILES], anchors[:2, :3], atol=1e-6)
    apart = np.linalg.norm(anchors[:, 1:] - anchors[:, :-1], axis=2).min()
    for axis in (0, 1):
        assert np.linalg.norm(np.diff(page, axis=axis), axis=2).max() < apart / 2


def test_a_strip_shows_the_tiles_of_sample_at_its_stops(trained: str, place: str) -> None:
    url = walk(trained, f"{place}/walk.png", CHOICE, stops=3, frames=4, walks=2)
    assert url == f"{place}/walk.png"
    strip = np.asarray(Image.open(io.BytesIO(open_store(place).read("walk.png"))))
    assert strip.shape == (2 * 18 + 2, 12 * 18 + 2, 3)
    artist = open_artist(trained, CHOICE)
    expected = draw_tiles(artist.network, artist.noise(0, 6))
    for number in range(6):
        top, left = 18 * (number // 3) + 2, 18 * 4 * (number % 3) + 2
        tile = strip[top : top + 16, left : left + 16].astype(int)
        assert np.abs(tile - expected[number]).max() <= 1


@pytest.mark.parametrize("ending", ["webp", "gif"])
def test_a_moving_picture_has_all_frames_and_begins_anew(trained: str, tmp_path: Path, ending: str) -> None:
    url = walk(trained, str(tmp_path / f"walk.{ending}"), CHOICE, stops=3, frames=4, walks=4)
    with Image.open(url) as picture:
        assert isinstance(picture, WebPImageFile | GifImageFile)
        assert (picture.n_frames, picture.size, picture.info["loop"]) == (12, (38, 38), 0)
        picture.seek(1)
        picture.load()
        assert picture.info["duration"] == 50


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_mp4_is_what_browsers_play(trained: str, tmp_path: Path) -> None:
    """H.264 with its index before the frames; the size, odd here, made even."""
    url = walk(trained, str(tmp_path / "walk.mp4"), CHOICE, stops=2, frames=3, walks=1)
    data = Path(url).read_bytes()
    assert data[4:8] == b"ftyp"
    assert b"avc1" in data
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_mp4_without_ffmpeg_is_refused_before_anything_is_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="ffmpeg"):
        walk("nowhere", str(tmp_path / "walk.mp4"), CHOICE, stops=2, frames=3, walks=1)


def test_a_mosaic_has_no_gaps_and_its_anchors_are_tiles_of_sample(trained: str, tmp_path: Path) -> None:
    url = mosaic(trained, str(tmp_path / "new" / "mosaic.png"), CHOICE, rows=9, columns=10)
    page = np.asarray(Image.open(url)).astype(int)
    assert page.shape == (9 * 16, 10 * 16, 3)
    artist = open_artist(trained, CHOICE)
    anchors = draw_tiles(artist.network, artist.noise(0, 9))  # 3 × 3 of them: to 16 rows and columns
    for number, (top, left) in {0: (0, 0), 1: (0, 128), 3: (128, 0), 4: (128, 128)}.items():
        assert np.abs(page[top : top + 16, left : left + 16] - anchors[number]).max() <= 1


def test_what_cannot_be_drawn_is_refused(trained: str, tmp_path: Path) -> None:
    for out in ("walk", "walk.jpg", "s3://walk.png"):
        with pytest.raises(ConfigError, match="--out"):
            walk(trained, out, CHOICE, stops=2, frames=3, walks=1)
    with pytest.raises(InputError, match="--stops 1"):
        walk(trained, str(tmp_path / "walk.png"), CHOICE, stops=1, frames=3, walks=1)
    with pytest.raises(InputError, match="--rows 100000"):
        mosaic(trained, str(tmp_path / "mosaic.png"), CHOICE, rows=100_000, columns=100)
    assert not list(tmp_path.glob("*.png"))
