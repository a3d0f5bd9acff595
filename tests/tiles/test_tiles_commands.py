"""The verbs `satgan tiles cut|pack|show`, without their options."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from satgan.errors import ConfigError, StoreMissing, TilesError
from satgan.tiles.commands import cut, pack, show
from satgan.tiles.shards import open_tile_set
from satgan.tiles.store import open_store
from tests.tiles.sample_tiles import textured


def write_raster(folder: Path, name: str, height: int = 40, width: int = 50, channels: int = 3) -> Path:
    folder.mkdir(exist_ok=True)
    pixels = textured(1, 50, channels, seed=height)[0][:height, :width]
    Image.fromarray(pixels.squeeze()).save(folder / name)
    return folder / name


def test_cut_packs_every_tile_of_every_raster(tmp_path: Path) -> None:
    first = write_raster(tmp_path / "rasters", "a.tif")
    second = write_raster(tmp_path / "rasters", "b.png", 32)
    report = cut([str(tmp_path / "rasters")], str(tmp_path / "set"), 16, None, seed=1)
    tiles = {tile.tobytes() for tile in open_tile_set(report.url).read_piece(0)}
    expected = {
        np.asarray(Image.open(path))[row : row + 16, column : column + 16].tobytes()
        for path in (first, second)
        for row in (0, 16)
        for column in (0, 16, 32)
    }
    assert tiles == expected
    assert report.manifest.source == "a.tif, b.png"
    assert report.manifest.cut == {"size": 16, "stride": 16}
    overlapping = cut([str(first)], str(tmp_path / "more"), 16, 8, seed=1)
    assert overlapping.accepted == 4 * 5


def test_an_object_on_s3_is_cut_as_its_copy_is(s3_prefix: str, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "rasters", "a.tif")
    open_store(s3_prefix).upload(path, "rasters/a.tif")
    there = cut([f"{s3_prefix}/rasters/a.tif"], f"{s3_prefix}/set", 16, None, seed=1)
    here = cut([str(path)], str(tmp_path / "set"), 16, None, seed=1)
    assert there.manifest == here.manifest


def test_what_cannot_be_cut_is_refused_before_work(tmp_path: Path) -> None:
    colour = str(write_raster(tmp_path / "rasters", "a.tif"))
    grey = str(write_raster(tmp_path / "grey", "g.tif", channels=1))
    (tmp_path / "empty").mkdir()
    taken = cut([colour], str(tmp_path / "taken"), 16, None, seed=1).url
    for sources, destination, size, stride, error, words in (
        ([], "set", 16, None, ConfigError, "0 rasters"),
        ([colour], "set", 0, None, ConfigError, "size 0"),
        ([colour], "set", 16, 0, ConfigError, "stride 0"),
        ([colour], "set", 64, None, TilesError, "smaller than one tile"),
        ([colour, grey], "set", 16, None, TilesError, "1 channels, other rasters have 3"),
        ([str(tmp_path / "none")], "set", 16, None, StoreMissing, "none"),
        ([str(tmp_path / "empty")], "set", 16, None, TilesError, "no rasters"),
        ([str(tmp_path / "none")], taken, 16, None, TilesError, "already holds a tile set"),
    ):
        with pytest.raises(error, match=words):
            cut(sources, str(tmp_path / destination), size, stride, seed=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "grey", "rasters", "taken"]


def test_show_tells_what_was_packed(place: str, tmp_path: Path) -> None:
    tiles = textured(20)
    for number, tile in enumerate([*tiles, np.zeros((16, 16, 3), np.uint8)]):
        (tmp_path / "tiles").mkdir(exist_ok=True)
        Image.fromarray(tile).save(tmp_path / "tiles" / f"{number}.png")
    report = pack(str(tmp_path / "tiles"), place, seed=1)
    facts, sample = show(place, sample_tiles=8)
    assert facts["tile_count"] == report.accepted == 20
    assert facts["rejected"] == report.rejected == {"flat": 1}
    assert facts["digest"] == open_tile_set(place).digest
    assert facts["shards"] == 1
    assert np.allclose(facts["channel_means"], tiles.mean(axis=(0, 1, 2)))
    assert np.array_equal(sample, open_tile_set(place).read_piece(0)[:8])
    assert len(show(place)[1]) == 20
