"""The time lapse of a run."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from satgan.errors import InputError
from satgan.gallery.film import COLUMNS, SHOWN, Shot, film, pictures_of, shots_of
from satgan.pictures.film import frames_of, strip_png
from satgan.pictures.grid import sheet
from satgan.tiles.store import open_store

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_strip_is_read_as_it_was_written(channels: int) -> None:
    frames = RANDOM.integers(0, 256, (7, 5, 5, channels), dtype=np.uint8)
    assert np.array_equal(frames_of(strip_png(frames)), frames)


def test_shots_are_the_strips_in_order_with_their_steps(trained: str) -> None:
    """12 steps, one frame in 3; checkpoints after 5, 10 and 12."""
    run = open_store(trained)
    shots = shots_of(run)
    assert [shot.step for shot in shots] == [5, 8, 10, 12]
    strips = [frames_of(run.read(f"film/strip-{step:08d}.png")) for step in (5, 10, 12)]
    assert np.array_equal(np.stack([shot.tile for shot in shots]), np.concatenate(strips))


def test_the_newest_tile_takes_the_place_of_the_oldest() -> None:
    tiles = RANDOM.integers(0, 256, (SHOWN + 3, 8, 8, 3), dtype=np.uint8)
    pictures = list(pictures_of([Shot(10 * number + 10, tile) for number, tile in enumerate(tiles)]))
    assert len(pictures) == SHOWN + 3
    newest = np.concatenate([tiles[SHOWN:], tiles[3:SHOWN]])
    page = sheet(newest, COLUMNS)
    assert np.array_equal(pictures[-1][: len(page)], page)
    full = [int((picture[len(page), :, 0] < 128).sum()) for picture in pictures]
    assert full == sorted(full)
    assert full[-1] == page.shape[1]


def frames_in(path: Path) -> int:
    with Image.open(path) as picture:
        return int(getattr(picture, "n_frames", 0))


def test_a_film_lasts_no_longer_than_asked_for(trained: str, place: str, tmp_path: Path) -> None:
    assert film(trained, f"{place}/film.webp", seconds=20) == f"{place}/film.webp"
    open_store(place).download("film.webp", tmp_path / "film.webp")
    assert frames_in(tmp_path / "film.webp") == 4
    assert frames_in(Path(film(trained, str(tmp_path / "short.gif"), seconds=0.1))) == 2


def test_what_has_no_strips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no film strips"):
        film(str(tmp_path), str(tmp_path / "film.webp"), seconds=20)
    with pytest.raises(InputError, match="--seconds 0"):
        film(str(tmp_path), str(tmp_path / "film.webp"), seconds=0)
