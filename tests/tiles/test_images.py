"""A folder or prefix of tiles is packed as it is, and once."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from satgan.errors import StoreMissing, TilesError
from satgan.tiles.images import open_or_pack, pack_folder
from satgan.tiles.shards import open_tile_set
from satgan.tiles.store import Store, open_store
from tests.tiles.sample_tiles import Pixels, textured


def write_tiles(store: Store, tiles: Pixels, prefix: str = "t", ending: str = "png") -> None:
    for number, tile in enumerate(tiles):
        data = io.BytesIO()
        Image.fromarray(tile.squeeze()).save(data, ending)
        store.write(f"{prefix}{number:03d}.{ending}", data.getvalue())


def sorted_tiles(tiles: Pixels) -> list[bytes]:
    return sorted(tile.tobytes() for tile in tiles)


def test_every_tile_of_all_levels_is_packed(place: str, tmp_path: Path) -> None:
    tiles = textured(20)
    write_tiles(open_store(place), tiles[:15])
    write_tiles(open_store(place).child("deep").child("er"), tiles[15:])
    open_store(place).write("README.md", b"not a tile")
    report = pack_folder(place, str(tmp_path / "set"), seed=3)
    assert (report.accepted, report.rejected) == (20, {})
    assert sorted_tiles(open_tile_set(report.url).read_piece(0)) == sorted_tiles(tiles)
    assert open_store(place).exists("t000.png")


def test_a_bucket_gives_what_a_folder_gives(s3_prefix: str, tmp_path: Path) -> None:
    for url in (s3_prefix, str(tmp_path / "tiles")):
        write_tiles(open_store(url), textured(20))
    sets = [pack_folder(url, str(tmp_path / f"set-{url[:2]}"), seed=3) for url in (s3_prefix, str(tmp_path / "tiles"))]
    assert sets[0].manifest.shards == sets[1].manifest.shards


def test_the_most_common_shape_is_the_sets(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "tiles"))
    write_tiles(store, textured(3, 8), prefix="a-small")
    write_tiles(store, textured(4, 16, 1), prefix="b-grey")
    write_tiles(store, textured(5, 16), prefix="c-usual")
    write_tiles(store, textured(9, 20)[:, :12], prefix="d-oblong")
    store.write("e.jpg", b"no picture")
    report = pack_folder(str(tmp_path / "tiles"), str(tmp_path / "set"), seed=3)
    assert (report.manifest.size, report.manifest.channels, report.accepted) == (16, 3, 5)
    assert report.rejected == {"wrong-size": 12, "wrong-channels": 4, "undecodable": 1}


def test_jpegs_and_capital_endings_count(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "tiles"))
    write_tiles(store, textured(3), ending="jpeg")
    (tmp_path / "tiles" / "t001.jpeg").rename(tmp_path / "tiles" / "T001.JPG")
    assert pack_folder(str(tmp_path / "tiles"), str(tmp_path / "set"), seed=3).accepted == 3


def test_what_cannot_be_packed_is_refused(tmp_path: Path) -> None:
    oblong, broken = tmp_path / "oblong", tmp_path / "broken"
    write_tiles(open_store(str(oblong)), textured(3, 20)[:, :12])
    open_store(str(broken)).write("a.png", b"no picture")
    (tmp_path / "empty").mkdir()
    for url, error, words in (
        (tmp_path / "none", StoreMissing, "No such file"),
        (tmp_path / "empty", TilesError, "no PNG, JPEG, WebP or BMP tiles"),
        (oblong, TilesError, "not square: 20 × 12"),
        (broken, TilesError, r"a\.png is no raster: it is text"),
    ):
        with pytest.raises(error, match=words) as told:
            pack_folder(str(url), str(tmp_path / "set"), seed=3)
        assert str(url) in told.value.found
    assert not (tmp_path / "set").exists()


def test_on_first_use_it_is_packed_and_then_kept(place: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    write_tiles(open_store(place), textured(10))
    first, again = open_or_pack(place, cache, 3), open_or_pack(place, cache, 3)
    assert first.store.url == again.store.url
    assert Path(first.store.url).parent == cache
    other_seed = open_or_pack(place, cache, 4)
    write_tiles(open_store(place), textured(1, seed=9), prefix="new")
    grown = open_or_pack(place, cache, 3)
    assert len({first.store.url, other_seed.store.url, grown.store.url}) == 3
    assert grown.manifest.tile_count == 11
    assert open_or_pack(grown.store.url, cache, 3).digest == grown.digest
    assert len(list(cache.iterdir())) == 3


def test_mnist_passes(shared_data: Path, tmp_path: Path) -> None:
    """28 × 28 × 1 with mostly black pixels: the digits preset's tiles are not taken for blank ones."""
    raw = gzip.decompress(next((shared_data / "mnist").glob("t10k-images*")).read_bytes())
    digits = np.frombuffer(raw[16:], np.uint8).reshape(-1, 28, 28, 1)[:200]
    write_tiles(open_store(str(tmp_path / "tiles")), digits)
    report = pack_folder(str(tmp_path / "tiles"), str(tmp_path / "set"), seed=3)
    assert (report.accepted, report.manifest.size, report.manifest.channels) == (200, 28, 1)


def test_class_folders_are_labels(place: str, tmp_path: Path) -> None:
    tiles = textured(12)
    write_tiles(open_store(place).child("forest"), tiles[:4])
    write_tiles(open_store(place).child("water").child("deep"), tiles[4:9])
    write_tiles(open_store(place), tiles[9:], prefix="z")
    report = pack_folder(place, str(tmp_path / "set"), seed=3)
    packed = np.load(tmp_path / "set" / "shard-000000.npy")
    rows = parquet.read_table(tmp_path / "set" / "tiles.parquet").to_pylist()
    labels = {
        tile.tobytes(): label for tile, label in zip(tiles, ["forest"] * 4 + ["water"] * 5 + [None] * 3, strict=True)
    }
    assert report.accepted == len(rows) == 12
    assert [row["label"] for row in rows] == [labels[tile.tobytes()] for tile in packed]
