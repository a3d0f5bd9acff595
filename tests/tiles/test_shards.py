"""A tile set holds every accepted tile once, in an order that its seed decides, and no flipped bit gets through."""

import json
import pickle
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from satgan.errors import CorruptData, StoreFull, StoreMissing, TilesError
from satgan.tiles import manifest as manifest_module
from satgan.tiles import shards, spool
from satgan.tiles.aside import UNFINISHED_SUFFIX
from satgan.tiles.folder import Taker
from satgan.tiles.inspect import Rejection
from satgan.tiles.shards import NamedTile, PackReport, TileSet, open_tile_set, pack, packed_once
from satgan.tiles.store import open_store
from tests.tiles.sample_tiles import Pixels, named, textured

COUNT = 100


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 7 tiles 16 × 16 × 3, so shards of 42."""
    monkeypatch.setattr(manifest_module, "PIECE_BYTES", 7 * 16 * 16 * 3 + 5)


def packed(tiles: Pixels, destination: str, seed: int = 1) -> PackReport:
    _, size, _, channels = tiles.shape
    return pack(named(tiles), destination, size=size, channels=channels, seed=seed, source="noise", cut={"size": size})


def all_tiles(tile_set: TileSet) -> Pixels:
    return np.concatenate([tile_set.read_piece(piece) for piece in range(tile_set.manifest.piece_count)])


def sorted_tiles(tiles: Pixels) -> list[bytes]:
    return sorted(tile.tobytes() for tile in tiles)


@pytest.mark.parametrize("count", [1, 6, 7, 8, 42, 43, COUNT])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_every_tile_is_there_once(tmp_path: Path, count: int, channels: int) -> None:
    tiles = textured(count, channels=channels)
    report = packed(tiles, str(tmp_path / "set"))
    tile_set = open_tile_set(str(tmp_path / "set"))
    assert (report.accepted, report.rejected, report.url) == (count, {}, str(tmp_path / "set"))
    assert tile_set.manifest == report.manifest
    assert sorted_tiles(all_tiles(tile_set)) == sorted_tiles(tiles)


def test_a_bucket_holds_what_a_folder_holds(s3_prefix: str, tmp_path: Path) -> None:
    tiles = textured(COUNT)
    assert packed(tiles, s3_prefix).manifest == packed(tiles, str(tmp_path / "set")).manifest
    in_bucket, in_folder = open_tile_set(s3_prefix), open_tile_set(str(tmp_path / "set"))
    assert np.array_equal(all_tiles(in_bucket), all_tiles(in_folder))
    assert in_bucket.digest == in_folder.digest
    assert in_bucket.store.list() == in_folder.store.list()


def test_the_seed_decides_the_order(tmp_path: Path) -> None:
    tiles = textured(COUNT)
    first, again, other = (
        packed(tiles, str(tmp_path / name), seed) for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first.manifest == again.manifest
    assert first.manifest.shards != other.manifest.shards
    assert open_tile_set(first.url).digest == open_tile_set(again.url).digest != open_tile_set(other.url).digest
    orders = [all_tiles(open_tile_set(report.url)) for report in (first, other)]
    assert not any(np.array_equal(order, other) for order, other in [(orders[0], tiles), (orders[0], orders[1])])


def test_anyone_can_load_a_shard(tmp_path: Path) -> None:
    packed(textured(COUNT), str(tmp_path / "set"))
    tile_set = open_tile_set(str(tmp_path / "set"))
    shards = [np.load(tmp_path / "set" / shard.name, allow_pickle=False) for shard in tile_set.manifest.shards]
    assert [len(shard) for shard in shards] == [42, 42, 16]
    assert np.array_equal(np.concatenate(shards), all_tiles(tile_set))


def test_statistics_are_those_of_the_accepted_tiles(tmp_path: Path) -> None:
    tiles = textured(COUNT) // np.array([1, 2, 3], np.uint8)
    manifest = packed(tiles, str(tmp_path / "set")).manifest
    assert np.allclose(manifest.channel_means, tiles.mean(axis=(0, 1, 2)), rtol=1e-12)
    assert np.allclose(manifest.channel_deviations, tiles.std(axis=(0, 1, 2)), rtol=1e-12)


def test_rejected_tiles_are_listed_by_name(tmp_path: Path) -> None:
    good = textured(3)
    tiles: list[NamedTile] = [
        ("good", good[0]),
        ("blank", np.zeros((16, 16, 3), np.uint8)),
        ("broken", Rejection("undecodable")),
        ("small", good[1][:8]),
        ("black", np.zeros((16, 16, 3), np.uint8)),
        ("fine", good[2]),
    ]
    report = pack(tiles, str(tmp_path / "set"), size=16, channels=3, seed=1, source="mix", cut={})
    assert report.accepted == 2
    assert report.rejected == {"flat": 2, "undecodable": 1, "wrong-size": 1}
    assert sorted_tiles(all_tiles(open_tile_set(report.url))) == sorted_tiles(good[[0, 2]])
    listed = parquet.read_table(tmp_path / "set" / "rejected.parquet").to_pylist()
    assert [(row["name"], row["reason"]) for row in listed] == [
        ("blank", "flat"), ("broken", "undecodable"), ("small", "wrong-size"), ("black", "flat")
    ]  # fmt: skip


def test_no_tile_is_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alive are the stacks that wait for a judge, and no more."""
    monkeypatch.setattr(spool, "STACK_BYTES", 1)
    monkeypatch.setattr(shards, "JUDGES", 1)
    given: list[weakref.ref[Pixels]] = []

    def tiles() -> Iterator[NamedTile]:
        for name, tile in named(textured(COUNT)):
            fresh = tile.copy()
            given.append(weakref.ref(fresh))
            yield name, fresh
            del fresh
            assert sum(reference() is not None for reference in given) <= 5

    pack(tiles(), str(tmp_path / "set"), size=16, channels=3, seed=1, source="noise", cut={})
    assert len(given) == COUNT


@pytest.mark.parametrize("reject", [0, 3])
def test_an_empty_result_is_refused(place: str, reject: int) -> None:
    blanks = np.zeros((reject, 16, 16, 3), np.uint8)
    with pytest.raises(TilesError, match=f"noise can be used; rejected: {'3 flat' if reject else 'none'}"):
        packed(blanks, place)
    assert not open_store(place).exists("manifest.json")


def test_nothing_is_overwritten(place: str) -> None:
    packed(textured(10), place)
    before = {key: open_store(place).read(key) for key, _ in open_store(place).list()}
    with pytest.raises(TilesError, match="already holds a tile set") as told:
        packed(textured(20), place)
    assert place in told.value.found
    assert {key: open_store(place).read(key) for key, _ in open_store(place).list()} == before


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for name in ("set", "file"):
        with pytest.raises(TilesError, match=r"already holds files|is a file"):
            packed(textured(10), str(tmp_path / name))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "letter.txt", "set"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert packed(textured(10), str(tmp_path / "set")).accepted == 10


def test_of_two_packers_the_first_wins(tmp_path: Path) -> None:
    def overtaken() -> Iterator[NamedTile]:
        yield from named(textured(5))
        packed(textured(7), str(tmp_path / "set"))

    with pytest.raises(TilesError, match="in the meantime"):
        pack(overtaken(), str(tmp_path / "set"), size=16, channels=3, seed=1, source="noise", cut={})
    assert open_tile_set(str(tmp_path / "set")).manifest.tile_count == 7
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    tile_set = packed_once(tmp_path / "set", lambda destination: packed(textured(9), destination))
    assert tile_set.manifest.tile_count == 7


KILLED_PACK = """
import os, signal, sys
from satgan.tiles.shards import pack
from tests.tiles.sample_tiles import named, textured
def tiles():
    yield from named(textured(50))
    os.kill(os.getpid(), signal.SIGKILL)
pack(tiles(), sys.argv[1], size=16, channels=3, seed=1, source="noise", cut={})
"""


def test_a_killed_pack_leaves_no_set_and_is_swept(tmp_path: Path) -> None:
    destination = tmp_path / "a[1]set"
    killed = subprocess.run([sys.executable, "-c", KILLED_PACK, str(destination)])
    assert killed.returncode == -signal.SIGKILL
    assert [path.name.endswith(UNFINISHED_SUFFIX) for path in tmp_path.iterdir()] == [True]
    with pytest.raises(StoreMissing):
        open_tile_set(str(destination))
    packed(textured(10), str(destination))
    assert [path.name for path in tmp_path.iterdir()] == [destination.name]


def test_a_living_pack_is_not_swept(tmp_path: Path) -> None:
    def interrupted() -> Iterator[NamedTile]:
        yield from named(textured(5))
        with pytest.raises(TilesError):
            packed(np.zeros((1, 16, 16, 3), np.uint8), str(tmp_path / "set"))

    report = pack(interrupted(), str(tmp_path / "set"), size=16, channels=3, seed=1, source="noise", cut={})
    assert report.accepted == 5


def test_on_s3_the_manifest_comes_last(s3_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store_class = type(open_store(s3_prefix))
    uploaded: list[str] = []
    upload = store_class.upload

    def noted(self: object, path: Path, key: str) -> None:
        uploaded.append(key)
        if key == "manifest.json":
            raise KeyboardInterrupt
        upload(self, path, key)  # type: ignore[arg-type]

    monkeypatch.setattr(store_class, "upload", noted)
    with pytest.raises(KeyboardInterrupt):
        packed(textured(COUNT), s3_prefix)
    assert uploaded == [
        "rejected.parquet",
        *(f"shard-{number:06d}.npy" for number in range(3)),
        "tiles.parquet",
        "manifest.json",
    ]
    with pytest.raises(TilesError, match="no tile set"):
        open_tile_set(s3_prefix)
    monkeypatch.undo()


def test_a_full_disk_leaves_nothing(tiny_disk: Path) -> None:
    with pytest.raises(StoreFull):
        packed(textured(COUNT), str(tiny_disk / "set"))
    assert list(tiny_disk.iterdir()) == []


def flip_bit(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_one_flipped_bit_is_found_and_only_there(tmp_path: Path) -> None:
    packed(textured(COUNT), str(tmp_path / "set"))
    tile_set = open_tile_set(str(tmp_path / "set"))
    place = tile_set.manifest.piece_place(8)
    flip_bit(tmp_path / "set" / place.shard.name, place.offset_bytes + 3)
    with pytest.raises(CorruptData) as told:
        tile_set.read_piece(8)
    last_byte = place.offset_bytes + place.tiles * 768 - 1
    assert f"shard-000001.npy, bytes {place.offset_bytes} to {last_byte}" in told.value.found
    assert place.digest in told.value.found
    for piece in set(range(tile_set.manifest.piece_count)) - {8}:
        tile_set.read_piece(piece)


def test_bytes_that_were_wrong_once_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed(textured(COUNT), str(tmp_path / "set"))
    tile_set = open_tile_set(str(tmp_path / "set"))
    expected = tile_set.read_piece(2)
    reads = 0
    read_range_into = tile_set.store.read_range_into

    def wrong_once(key: str, offset: int, buffer: memoryview, taker: Taker) -> None:
        nonlocal reads
        reads += 1
        read_range_into(key, offset, buffer)
        buffer[0] ^= reads == 1
        taker(buffer)

    monkeypatch.setattr(tile_set.store, "read_range_into", wrong_once)
    assert np.array_equal(tile_set.read_piece(2), expected)
    assert reads == 2


def test_a_truncated_or_missing_shard_is_told(place: str) -> None:
    packed(textured(COUNT), place)
    tile_set = open_tile_set(place)
    data = tile_set.store.read("shard-000001.npy")
    tile_set.store.write("shard-000001.npy", data[:-100])
    tile_set.read_piece(6)
    with pytest.raises(CorruptData, match=r"shard-000001\.npy is truncated: it has 32284 bytes"):
        tile_set.read_piece(11)
    tile_set.store.delete("shard-000001.npy")
    with pytest.raises(StoreMissing, match=r"shard-000001\.npy"):
        tile_set.read_piece(11)


def test_a_tile_set_can_be_pickled(place: str) -> None:
    packed(textured(10), place)
    tile_set = open_tile_set(place)
    copy = pickle.loads(pickle.dumps(tile_set))
    assert copy.digest == tile_set.digest
    assert np.array_equal(copy.read_piece(1), tile_set.read_piece(1))


def test_what_is_no_tile_set_is_refused(tmp_path: Path, s3_prefix: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.png").write_bytes(b"x")
    for url, error, words in (
        (str(tmp_path / "none"), StoreMissing, "No such file"),
        (str(tmp_path / "empty"), TilesError, "it is empty"),
        (str(tmp_path / "other"), TilesError, "1 other files"),
        (s3_prefix, TilesError, "it is empty"),
        ("s3://no-such-bucket-here/set", StoreMissing, "NoSuchBucket"),
    ):
        with pytest.raises(error, match=words) as told:
            open_tile_set(url)
        assert url in told.value.found
        assert "satgan tiles pack" in told.value.remedy
        assert "satgan tiles cut" in told.value.remedy


@pytest.mark.parametrize(
    "change",
    [{"tile_count": 99}, {"piece_tiles": 0}, {"shard_tiles": 43}, {"shards": []}, {"format_version": 2}, {"size": 8}],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    packed(textured(COUNT), str(tmp_path / "set"))
    path = tmp_path / "set" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(TilesError, match=r"manifest\.json"):
        open_tile_set(str(tmp_path / "set"))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff\xfe"])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(TilesError, match=r"manifest\.json is not a tile set's manifest"):
        open_tile_set(str(tmp_path))


def test_packed_once_packs_once(tmp_path: Path) -> None:
    built: list[str] = []

    def build(destination: str) -> PackReport:
        built.append(destination)
        return packed(textured(10), destination)

    assert packed_once(tmp_path / "set", build).digest == packed_once(tmp_path / "set", build).digest
    assert built == [str(tmp_path / "set")]


def grey(count: int, seed: int) -> Pixels:
    return textured(count, channels=1, seed=seed).repeat(3, axis=3)


@pytest.mark.parametrize("first", [1, 30])
def test_mono_is_welcome_until_there_is_colour(tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the first tile in colour comes; a blank one in colour says nothing."""
    monkeypatch.setattr(spool, "STACK_BYTES", 4 * 768)
    blank = np.broadcast_to(np.array([200, 100, 50], np.uint8), (1, 16, 16, 3))
    mono, colour = grey(30, 5), textured(3, seed=6)
    alone = packed(np.concatenate([blank, mono]), str(tmp_path / "mono"))
    assert (alone.accepted, alone.rejected) == (30, {"flat": 1})
    assert sorted_tiles(all_tiles(open_tile_set(alone.url))) == sorted_tiles(mono)
    mixed = packed(np.concatenate([mono[:first], colour, mono[first:]]), str(tmp_path / "mixed"))
    assert (mixed.accepted, mixed.rejected) == (3, {"mono-among-colour": 30})
    assert (
        mixed.manifest
        == pack(
            named(colour), str(tmp_path / "colour"), size=16, channels=3, seed=1, source="noise", cut={"size": 16}
        ).manifest
    )
    assert np.array_equal(all_tiles(open_tile_set(mixed.url)), all_tiles(open_tile_set(str(tmp_path / "colour"))))
    rows = parquet.read_table(tmp_path / "mixed" / "rejected.parquet").to_pylist()
    assert {(row["reason"], row["figure"], row["threshold"]) for row in rows} == {("mono-among-colour", 0.0, 1.0)}
    assert len({row["name"] for row in rows}) == 30
    places = parquet.read_table(tmp_path / "mixed" / "tiles.parquet").to_pylist()
    assert {row["name"] for row in places} == {f"tile-{number:05d}" for number in range(first, first + 3)}
    assert sorted(mixed.samples) == ["accepted", "mono-among-colour"]
    assert {sample.name for sample in mixed.samples["accepted"]} == {row["name"] for row in places}


def test_who_rejects_everything_for_one_reason_is_told_the_option(tmp_path: Path) -> None:
    with pytest.raises(TilesError, match="rejected: 3 flat") as told:
        packed(np.zeros((3, 16, 16, 3), np.uint8), str(tmp_path / "set"))
    assert "--limit flat=off" in told.value.remedy
