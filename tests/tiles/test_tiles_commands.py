"""The verbs `satgan tiles cut|pack|inspect|show`, without their options."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from pyarrow import parquet

from satgan.errors import ConfigError, CorruptData, StoreMissing, TilesError
from satgan.tiles.commands import cut, inspect, pack, show
from satgan.tiles.look import CutOptions, look
from satgan.tiles.ranged import BlockCache
from satgan.tiles.shards import open_tile_set
from satgan.tiles.sources import Source
from satgan.tiles.store import S3Store, open_store
from tests.tiles.sample_tiles import textured


def write_raster(folder: Path, name: str, height: int = 40, width: int = 50, channels: int = 3) -> Path:
    folder.mkdir(exist_ok=True)
    pixels = textured(1, 50, channels, seed=height)[0][:height, :width]
    Image.fromarray(pixels.squeeze()).save(folder / name)
    return folder / name


def test_cut_packs_every_tile_of_every_raster(tmp_path: Path) -> None:
    first = write_raster(tmp_path / "rasters", "a.tif")
    second = write_raster(tmp_path / "rasters", "b.png", 32)
    report = cut([str(tmp_path / "rasters")], str(tmp_path / "set"), CutOptions(16, 16), seed=1)
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
    overlapping = cut([str(first)], str(tmp_path / "more"), CutOptions(16, 8), seed=1)
    assert overlapping.accepted == 4 * 5


def test_an_object_on_s3_is_cut_as_its_copy_is(s3_prefix: str, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "rasters", "a.tif")
    open_store(s3_prefix).upload(path, "rasters/a.tif")
    there = cut([f"{s3_prefix}/rasters/a.tif"], f"{s3_prefix}/set", CutOptions(16, 16), seed=1)
    here = cut([str(path)], str(tmp_path / "set"), CutOptions(16, 16), seed=1)
    assert there.manifest == here.manifest


def test_what_cannot_be_cut_is_refused_before_work(tmp_path: Path) -> None:
    colour = str(write_raster(tmp_path / "rasters", "a.tif"))
    grey = str(write_raster(tmp_path / "grey", "g.tif", channels=1))
    (tmp_path / "empty").mkdir()
    taken = cut([colour], str(tmp_path / "taken"), CutOptions(16, 16), seed=1).url
    for sources, destination, size, stride, error, words in (
        ([], "set", 16, None, ConfigError, "no rasters"),
        ([colour], "set", 0, None, ConfigError, "size 0"),
        ([colour], "set", 16, -1, ConfigError, "stride -1"),
        ([colour], "set", 64, None, TilesError, "smaller than one tile"),
        ([colour, grey], "set", 16, None, TilesError, "1 channels, other rasters have 3"),
        ([str(tmp_path / "none")], "set", 16, None, StoreMissing, "none"),
        ([str(tmp_path / "empty")], "set", 16, None, TilesError, "no rasters"),
        ([str(tmp_path / "none")], taken, 16, None, TilesError, "already holds a tile set"),
    ):
        with pytest.raises(error, match=words):
            cut(sources, str(tmp_path / destination), CutOptions(size, stride or 16), seed=1)
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


def test_a_cog_on_s3_is_read_by_ranges_and_never_whole(
    s3_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = textured(1, 1024)[0]
    georeference = {"crs": "EPSG:32645", "transform": rasterio.Affine(1.0, 0, 300_000, 0, -1.0, 3_000_000)}
    shape = {"height": 1024, "width": 1024, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", driver="COG", blocksize=128, **shape, **georeference) as raster:
        raster.write(pixels.transpose(2, 0, 1))
    open_store(s3_prefix).upload(tmp_path / "a.tif", "rasters/a.tif")
    fetched: list[int] = []
    fetch = S3Store.read_range_into

    def counted(self: S3Store, key: str, offset: int, buffer: memoryview) -> None:
        fetched.append(len(buffer))
        fetch(self, key, offset, buffer)

    monkeypatch.setattr(S3Store, "read_range_into", counted)
    monkeypatch.setattr(S3Store, "download", lambda *_: pytest.fail("downloaded"))
    monkeypatch.setattr(S3Store, "read", lambda *_: pytest.fail("read whole"))
    coarse = CutOptions(16, 16, resolution_metres=8.0)
    there = cut([f"{s3_prefix}/rasters"], f"{tmp_path}/there", coarse, seed=1)
    assert sum(fetched) < 0.3 * (tmp_path / "a.tif").stat().st_size
    here = cut([str(tmp_path / "a.tif")], f"{tmp_path}/here", coarse, seed=1)
    assert there.manifest == here.manifest
    assert there.accepted == 64


def test_a_source_that_vanishes_is_told_by_the_store(s3_prefix: str, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "rasters", "a.tif")
    source = Source("a.tif", open_store(s3_prefix), "gone.tif", path.stat().st_size)
    blocks = BlockCache(source)
    assert blocks.read(0, 100) == b""
    assert isinstance(blocks.failure, StoreMissing)
    with pytest.raises(StoreMissing, match="gone"):
        look(source, CutOptions(16, 16))
    with pytest.raises(StoreMissing, match="no such object or prefix"):
        cut([f"{s3_prefix}/nothing"], str(tmp_path / "set"), CutOptions(16, 16), seed=1)


def test_ranges_give_the_bytes_of_the_object(s3_prefix: str) -> None:
    data = textured(1, 700, 3)[0].tobytes()
    store = open_store(s3_prefix)
    store.write("x", data)
    blocks = BlockCache(Source("x", store, "x", len(data)))
    random = np.random.Generator(np.random.Philox(5))
    for _ in range(60):
        offset = int(random.integers(0, len(data)))
        size = int(random.integers(0, min(600_000, len(data) - offset) + 1))
        assert blocks.read(offset, size) == data[offset : offset + size]


def test_unreadable_rasters_are_listed_when_asked_for(tmp_path: Path) -> None:
    write_raster(tmp_path / "rasters", "a.tif")
    (tmp_path / "rasters" / "b.tif").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    broken = write_raster(tmp_path / "rasters", "c.png", 48)
    broken.write_bytes(broken.read_bytes()[:-2500])
    for sources, words in (
        ([str(tmp_path / "rasters")], r"b\.tif is no raster: it is a Git LFS pointer"),
        ([str(tmp_path / "rasters" / "a.tif"), str(broken)], r"c\.png cannot be decoded"),
    ):
        with pytest.raises(TilesError, match=words) as caught:
            cut(sources, str(tmp_path / "set"), CutOptions(16, 16), seed=1)
        assert "--skip-unreadable" in caught.value.remedy
    report = cut([str(tmp_path / "rasters")], str(tmp_path / "set"), CutOptions(16, 16), seed=1, skip_unreadable=True)
    assert report.rejected == {"undecodable": 2}
    listed = parquet.read_table(tmp_path / "set" / "rejected.parquet").to_pylist()
    assert {row["name"] for row in listed} == {"b.tif", "c.png"}
    assert "Git LFS" in listed[0]["detail"] + listed[1]["detail"]
    assert report.accepted >= 6


def test_gdals_own_warnings_do_not_reach_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """GDAL writes them from C where nobody listens: of a truncated TIFF when its masks are asked for."""
    path = write_raster(tmp_path / "rasters", "a.tif")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(TilesError, match="cannot be decoded"):
        cut([str(path)], str(tmp_path / "set"), CutOptions(16, 16), seed=1)
    assert capfd.readouterr().err == ""


def test_a_raster_smaller_than_a_tile_is_set_aside_by_name(tmp_path: Path) -> None:
    """Among others; where there are no others, that is why nothing can be cut."""
    small = [str(write_raster(tmp_path / "rasters", f"s{number}.tif", 2, 3 + number)) for number in range(2)]
    write_raster(tmp_path / "rasters", "a.tif")
    report = cut([str(tmp_path / "rasters")], str(tmp_path / "set"), CutOptions(16, 16), seed=1)
    assert (report.accepted, report.rejected) == (6, {"wrong-size": 2})
    listed = parquet.read_table(tmp_path / "set" / "rejected.parquet").to_pylist()
    assert [(row["name"], row["figure"], row["threshold"]) for row in listed] == [("s0.tif", 2, 16), ("s1.tif", 2, 16)]
    for sources, words in ((small[1:], "4 × 2 pixels"), (small, r"none of 2 rasters .*s0\.tif is 3 × 2 pixels")):
        with pytest.raises(TilesError, match=words) as caught:
            cut(sources, str(tmp_path / "other"), CutOptions(16, 16), seed=1)
        assert "--size" in caught.value.remedy


def test_the_side_table_leads_from_a_tile_to_its_place(tmp_path: Path) -> None:
    for number, folder in enumerate(("field", "town")):
        (tmp_path / "rasters").mkdir(exist_ok=True)
        write_raster(tmp_path / "rasters" / folder, f"{number}.tif", 40 + number)
    report = cut([str(tmp_path / "rasters")], str(tmp_path / "set"), CutOptions(16, 8), seed=1)
    tiles = np.load(tmp_path / "set" / "shard-000000.npy")
    rows = parquet.read_table(tmp_path / "set" / "tiles.parquet").to_pylist()
    assert [row["tile"] for row in rows] == list(range(report.accepted))
    for row in rows:
        picture = np.asarray(Image.open(tmp_path / "rasters" / row["source"]))
        window = picture[row["row"] : row["row"] + 16, row["column"] : row["column"] + 16]
        assert np.array_equal(tiles[row["tile"]], window)
        assert row["label"] == row["source"].split("/")[0]
    facts, _ = show(report.url)
    assert facts["labels"] == {"field": 20, "town": 20}
    assert facts["georeferenced"] == 0


def test_the_stretch_is_in_the_manifest(tmp_path: Path) -> None:
    Image.fromarray(textured(1, 32, 1)[0, ..., 0].astype(np.uint16) * np.uint16(100)).save(tmp_path / "deep.png")
    report = cut([str(tmp_path / "deep.png")], str(tmp_path / "set"), CutOptions(16, 16), seed=1)
    assert report.manifest.stretch is not None
    ends = report.manifest.stretch["deep.png"]
    assert 0 < ends["low"][0] < 1500
    assert 24_000 < ends["high"][0] < 25_500


def test_inspecting_a_folder_and_its_set_agree(tmp_path: Path) -> None:
    tiles = textured(20)
    (tmp_path / "tiles").mkdir()
    for number, tile in enumerate([*tiles, tiles[3], np.zeros((16, 16, 3), np.uint8)]):
        Image.fromarray(tile).save(tmp_path / "tiles" / f"{number:02d}.png")
    (tmp_path / "tiles" / "x.png").write_bytes(b"no picture")
    before = inspect(str(tmp_path / "tiles"), listing=tmp_path / "rejected.parquet")
    assert (before.tiles, before.accepted) == (23, 20)
    assert before.rejected == {"undecodable": 1, "flat": 1, "duplicate": 1}
    listed = {row["name"]: row for row in parquet.read_table(tmp_path / "rejected.parquet").to_pylist()}
    assert listed["20.png"]["detail"] == "repeats 03.png"
    assert set(before.samples) == {"accepted", "flat", "duplicate"}
    report = pack(str(tmp_path / "tiles"), str(tmp_path / "set"), seed=1)
    assert report.rejected == before.rejected
    after = inspect(report.url)
    assert (after.tiles, after.accepted, after.rejected) == (20, 20, {})
    least, mean, most = after.figures["detail"]
    assert 1.75 < least <= mean <= most


def test_inspecting_a_set_verifies_every_byte(tmp_path: Path) -> None:
    """Also the header of a shard, by which `np.load` goes and training does not."""
    write_raster(tmp_path / "rasters", "a.tif")
    url = cut([str(tmp_path / "rasters")], str(tmp_path / "set"), CutOptions(16, 16), seed=1).url
    path = tmp_path / "set" / "shard-000000.npy"
    whole = path.read_bytes()
    for place, words in ((whole.index(b"6,") - 1, r"bytes 0 to 127 \(header\)"), (len(whole) - 1, "piece 0")):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CorruptData, match=words):
            inspect(url)
    path.write_bytes(whole)
    assert inspect(url).accepted == 6
