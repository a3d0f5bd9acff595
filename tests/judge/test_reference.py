"""Tiles are picked as a function of seed and count, by reading only the pieces that hold them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from satgan.errors import CorruptData, StoreForbidden, TilesError
from satgan.judge.reference import FOLDER, load_reference, make_reference, pick_tiles, reference_of, save_reference
from satgan.tiles.records import Tile
from satgan.tiles.shards import pack
from satgan.tiles.tile_set import TileSet, open_tile_set
from tests.judge.damage import synthetic


def packed(folder: Path, count: int, size: int = 32) -> TileSet:
    tiles = synthetic(count, size)[0]
    named = (Tile(f"tile-{number:05d}", tile) for number, tile in enumerate(tiles))
    pack(named, str(folder), size=size, channels=3, seed=1, source="synthetic", cut={})
    return open_tile_set(str(folder))


@pytest.mark.parametrize("count", [1, 7, 30])
def test_picked_tiles_are_different_tiles_of_the_set_and_a_function_of_the_seed(tmp_path: Path, count: int) -> None:
    tile_set = packed(tmp_path / "set", 30)
    known = {tile.tobytes() for tile in tile_set.read_piece(0)}
    starts = set()
    for seed in range(20):
        tiles = pick_tiles(tile_set, count, seed)
        assert np.array_equal(tiles, pick_tiles(tile_set, count, seed))
        chosen = {tile.tobytes() for tile in tiles}
        assert len(chosen) == count
        assert chosen <= known
        starts.add(tiles[0].tobytes())
    assert len(starts) > 10


def test_only_the_pieces_that_hold_the_tiles_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile_set = packed(tmp_path / "set", 300, 128)
    assert tile_set.manifest.piece_count == 2
    read: list[int] = []
    plain = TileSet.read_piece

    def noted(self: TileSet, piece: int) -> NDArray[np.uint8]:
        read.append(piece)
        return plain(self, piece)

    monkeypatch.setattr(TileSet, "read_piece", noted)
    for seed in range(8):
        read.clear()
        pick_tiles(tile_set, 5, seed)
        assert len(read) == len(set(read)) <= 2
    pick_tiles(tile_set, tile_set.manifest.tile_count, 0)
    assert set(read) >= {0, 1}


@pytest.mark.parametrize("count", [0, 31])
def test_more_tiles_than_there_are_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(TilesError, match=f"{count} tiles .* which has 30"):
        pick_tiles(packed(tmp_path / "set", 30), count, 0)


def test_a_reference_is_made_once_and_kept_beside_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile_set = packed(tmp_path / "set", 60)
    first = reference_of(tile_set, 30, seed=3)
    assert len(list((tmp_path / "set" / FOLDER).iterdir())) == 1
    monkeypatch.setattr(TileSet, "read_piece", lambda self, piece: pytest.fail("the set was read again"))
    assert reference_of(tile_set, 30, seed=3).floors == first.floors


def test_a_set_that_cannot_be_written_is_judged_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile_set = packed(tmp_path / "set", 60)

    def forbidden(key: str, data: bytes) -> None:
        raise StoreForbidden(key, "ask for the right to write")

    monkeypatch.setattr(tile_set.store, "write", forbidden)
    assert reference_of(tile_set, 30, seed=3).tiles_per_side == 30


def test_a_reference_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = make_reference(synthetic(40, 32)[0])
    monkeypatch.setattr("satgan.judge.reference.VERSION", 99)
    raw = save_reference(reference)
    monkeypatch.undo()
    with pytest.raises(CorruptData, match="version 99"):
        load_reference(raw)
