"""Caches: chosen by size, never wrong, bounded, and none the worse for a kill."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from satgan.errors import ConfigError, StoreError
from satgan.tiles import manifest as manifest_module
from satgan.tiles.aside import UNFINISHED_SUFFIX
from satgan.tiles.cache import ENVIRONMENT_NAME, CacheKind, Room, choose_cache, open_cache
from satgan.tiles.scratch import ScratchTiles
from satgan.tiles.shards import pack
from satgan.tiles.stream import TileStream
from satgan.tiles.tile_set import TileSet, open_tile_set
from tests.tiles.sample_tiles import Pixels, named, textured

CPU = torch.device("cpu")
TILES, PIECE_TILES = 98, 5
PIECES = 20


class CountedTiles(TileSet):
    """A tile set that counts the reads of its pieces."""

    def __init__(self, tile_set: TileSet) -> None:
        super().__init__(tile_set.manifest, tile_set.store)
        self.reads: Counter[int] = Counter()

    def read_piece_into(self, piece: int, tiles: Pixels) -> None:
        self.reads[piece] += 1
        super().read_piece_into(piece, tiles)


@pytest.fixture
def tile_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CountedTiles:
    """20 pieces of 5 tiles, the last of 3."""
    monkeypatch.setattr(manifest_module, "PIECE_BYTES", PIECE_TILES * 16 * 16 * 3)
    pack(iter(named(textured(TILES))), str(tmp_path / "set"), size=16, channels=3, seed=1, source="test", cut={})
    return CountedTiles(open_tile_set(str(tmp_path / "set")))


@pytest.fixture(autouse=True)
def _no_cache_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_NAME, raising=False)


def read(source: ScratchTiles | TileSet, piece: int) -> Pixels:
    tiles = np.empty((source.manifest.piece_place(piece).tiles, 16, 16, 3), np.uint8)
    source.read_piece_into(piece, tiles)
    return tiles


def kept_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("own", "whole", "is_local", "room", "expected"),
    [
        (10, 20, False, Room(100, 10, 100), "device"),
        (11, 20, False, Room(11, 10, 100), "memory"),
        (11, 20, False, Room(10, 0, 20), "disk"),
        (11, 21, False, Room(10, 0, 20), "memory"),
        (11, 20, True, Room(10, 0, 100), "memory"),
        (11, 20, False, Room(10, 0, None), "memory"),
        (11, 20, True, Room(10, 11, None), "device"),
    ],
)
def test_the_nearest_place_that_holds_it_is_chosen(
    own: int, whole: int, is_local: bool, room: Room, expected: CacheKind
) -> None:
    assert choose_cache(own, whole, is_local, room) == expected


def test_a_cache_asked_for_is_taken_or_refused(
    tile_set: TileSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"own_bytes": 10**6, "memory_bytes": 10**5}
    for kind in ("memory", "none", "disk"):
        cache = open_cache(tile_set, kind, str(tmp_path / "a"), device=CPU, **sizes)
        assert cache.kind == kind
        assert isinstance(cache.source, ScratchTiles) == (kind == "disk")
    with pytest.raises(ConfigError, match="on the CPU"):
        open_cache(tile_set, "device", None, device=CPU, **sizes)
    with pytest.raises(ConfigError, match="no folder"):
        open_cache(tile_set, "disk", None, device=CPU, **sizes)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="make the cache"):
        open_cache(tile_set, "disk", str(tmp_path / "file" / "x"), device=CPU, **sizes)
    assert open_cache(tile_set, "auto", str(tmp_path / "a"), device=CPU, **sizes).kind == "memory"
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "b"))
    assert open_cache(tile_set, "disk", None, device=CPU, **sizes).kind == "disk"
    assert (tmp_path / "b").is_dir()


def test_a_set_in_a_bucket_that_memory_cannot_hold_goes_to_the_disk(
    s3_prefix: str, tile_set: TileSet, tmp_path: Path
) -> None:
    pack(iter(named(textured(TILES))), s3_prefix, size=16, channels=3, seed=1, source="test", cut={})
    far = open_tile_set(s3_prefix)
    scratch = str(tmp_path / "not yet" / "scratch")
    assert open_cache(far, "auto", scratch, own_bytes=10**6, memory_bytes=10**5, device=CPU).kind == "disk"
    assert open_cache(far, "auto", scratch, own_bytes=10**4, memory_bytes=10**5, device=CPU).kind == "memory"


def test_the_disk_gives_what_the_set_gives_and_reads_it_once(tile_set: CountedTiles, tmp_path: Path) -> None:
    expected = [read(tile_set, piece) for piece in range(PIECES)]
    tile_set.reads.clear()
    for _ in range(2):
        cached = ScratchTiles(tile_set, tmp_path / "scratch")
        for piece in range(PIECES):
            assert np.array_equal(read(cached, piece), expected[piece])
    assert tile_set.reads == Counter(range(PIECES))
    assert sum(path.stat().st_size for path in kept_files(tmp_path / "scratch")) == TILES * 768


def test_another_set_does_not_meet_these_pieces(tile_set: CountedTiles, tmp_path: Path) -> None:
    pack(iter(named(textured(TILES, seed=5))), str(tmp_path / "b"), size=16, channels=3, seed=1, source="x", cut={})
    other = open_tile_set(str(tmp_path / "b"))
    read(ScratchTiles(tile_set, tmp_path / "scratch"), 3)
    assert np.array_equal(read(ScratchTiles(other, tmp_path / "scratch"), 3), read(other, 3))


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "folder"])
def test_a_damaged_piece_is_never_given_and_read_anew(tile_set: CountedTiles, tmp_path: Path, damage: str) -> None:
    expected = read(tile_set, 3)
    cached = ScratchTiles(tile_set, tmp_path / "scratch")
    read(cached, 3)
    (path,) = kept_files(tmp_path / "scratch")
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        wrong = bytes([whole[0] ^ 1]) + whole[1:]
        path.write_bytes({"flipped": wrong, "truncated": whole[:-1], "empty": b""}[damage])
    tile_set.reads.clear()
    if damage == "folder":
        with pytest.warns(UserWarning, match="keeps no more pieces"):
            assert np.array_equal(read(cached, 3), expected)
    else:
        assert np.array_equal(read(cached, 3), expected)
        assert path.read_bytes() == whole
    assert tile_set.reads == {3: 1}


def test_a_disk_that_is_full_or_gone_ends_nothing(tile_set: CountedTiles, tiny_disk: Path) -> None:
    cached = ScratchTiles(tile_set, tiny_disk)
    expected = [read(tile_set, piece) for piece in range(PIECES)]
    for piece in range(PIECES):
        assert np.array_equal(read(cached, piece), expected[piece])
    kept = len(kept_files(tiny_disk))
    assert 0 < kept < PIECES
    assert shutil.disk_usage(tiny_disk).free >= 0.05 * shutil.disk_usage(tiny_disk).total
    tile_set.reads.clear()
    for piece in range(PIECES):
        assert np.array_equal(read(cached, piece), expected[piece])
    assert tile_set.reads.total() == PIECES - kept
    shutil.rmtree(next(tiny_disk.iterdir()))
    with pytest.warns(UserWarning, match="keeps no more pieces"):
        assert np.array_equal(read(cached, 0), expected[0])
    for piece in range(PIECES):  # told once
        assert np.array_equal(read(cached, piece), expected[piece])


WRITER = """
import sys
from pathlib import Path
import numpy as np
from satgan.tiles.scratch import ScratchTiles
from satgan.tiles.tile_set import open_tile_set
cached = ScratchTiles(open_tile_set(sys.argv[1]), Path(sys.argv[2]))
tiles = {n: np.empty((n, 16, 16, 3), np.uint8) for n in (5, 3)}
print("reading", flush=True)
while True:
    for piece in range(20):
        cached.read_piece_into(piece, tiles[cached.manifest.piece_place(piece).tiles])
    for path in Path(sys.argv[2]).glob("*/piece-*"):
        path.unlink()
"""


def test_a_kill_leaves_nothing_that_the_next_run_trips_over(tile_set: CountedTiles, tmp_path: Path) -> None:
    expected = [read(tile_set, piece) for piece in range(PIECES)]
    scratch = tmp_path / "scratch"
    for turn in range(3):
        command = [sys.executable, "-c", WRITER, tile_set.store.url, str(scratch)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"reading\n"
            time.sleep(0.02 + 0.03 * turn)
            writer.send_signal(signal.SIGKILL)
    (scratch / f"tiles-{tile_set.digest[:16]}" / f".piece-000000003.1234{UNFINISHED_SUFFIX}").write_bytes(b"half")
    cached = ScratchTiles(tile_set, scratch)
    assert not list(scratch.rglob(f".*{UNFINISHED_SUFFIX}"))
    for piece in range(PIECES):
        assert np.array_equal(read(cached, piece), expected[piece])
    assert len(kept_files(scratch)) == PIECES


def test_what_a_living_writer_has_begun_is_left_alone(tile_set: TileSet, tmp_path: Path) -> None:
    import fcntl

    ScratchTiles(tile_set, tmp_path)
    begun = tmp_path / f"tiles-{tile_set.digest[:16]}" / f".piece-000000003.1234{UNFINISHED_SUFFIX}"
    with begun.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ScratchTiles(tile_set, tmp_path)
        assert begun.exists()


def test_workers_share_a_folder_and_streams_run_on_it(tile_set: CountedTiles, tmp_path: Path) -> None:
    def epoch(source: TileSet | ScratchTiles) -> Pixels:
        with TileStream(source, lanes=1, my_lanes=[0], lane_batch=7, seed=1, memory_megabytes=0) as stream:
            return np.stack([batch.tiles.numpy().copy() for batch in islice(stream, 2 * TILES // 7)])

    expected = epoch(tile_set)
    workers = [ScratchTiles(tile_set, tmp_path / "scratch") for _ in range(2)]
    for source in [*workers, *workers]:
        assert np.array_equal(epoch(source), expected)
