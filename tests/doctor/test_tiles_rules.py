"""Every rule that reads tiles: what passes, and one departure that this rule alone sees; real sets, packed so."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from satgan.doctor.look_at_tiles import look_at_tiles
from satgan.doctor.records import TilesRecord
from satgan.doctor.rules import examine
from satgan.pictures.grid import png
from satgan.tiles.inspect import Limits
from satgan.tiles.shards import pack
from tests.doctor.conftest import codes, tiles_record

BROKEN = {
    "few": ("S07", tiles_record(tiles=300), "warning"),
    "three": ("S07", tiles_record(tiles=3), "error"),
    "poor": ("S07", tiles_record(flat=300, nodata=100), "warning"),
    "mixed": ("S07", tiles_record(mono_among_colour=1), "warning"),
    "narrow": ("S08", tiles_record(lowest=3, highest=120), "warning"),
    "dark": ("S08", tiles_record(lowest=0, highest=40), "error"),
    "bright": ("S29", tiles_record(lowest=120, highest=255), "warning"),
}


def test_an_ordinary_set_passes() -> None:
    assert examine([tiles_record(sea=900, cloud=300, flat=100, near_duplicate=50)]) == []


@pytest.mark.parametrize(("code", "record", "level"), BROKEN.values(), ids=BROKEN)
def test_a_departure_is_seen_by_its_rule_alone(code: str, record: TilesRecord, level: str) -> None:
    assert [(finding.rule, finding.level) for finding in examine([record])] == [(code, level)]


def made(kind: str, count: int = 600) -> Iterator[tuple[str, np.ndarray]]:
    """Tiles with detail; of kind `dark` in the lower eighth, of kind `flat` every fifth without any."""
    stream = np.random.default_rng(3)
    for number in range(count):
        tile = stream.integers(0, 256, (16, 16, 3)).astype(np.uint8)
        if kind == "dark":
            tile //= 8
        elif kind == "bright":
            tile = tile // 2 + np.uint8(128)
        elif kind == "flat" and number % 5 == 0:
            tile[:] = number % 200 + 20
        yield f"tile {number}", tile


@pytest.mark.parametrize(
    ("kind", "found"),
    [("plain", []), ("dark", ["S08"]), ("flat", ["S07"]), ("few", ["S07"]), ("bright", ["S08", "S29"])],
)
def test_real_sets_are_looked_at(tmp_path: Path, kind: str, found: list[str]) -> None:
    tiles = made(kind, 20 if kind == "few" else 600)
    pack(tiles, str(tmp_path / "set"), size=16, channels=3, seed=1, source="made", cut={}, limits=Limits({}, False))
    record = look_at_tiles(str(tmp_path / "set"))
    assert record.tiles == (20 if kind == "few" else 600)
    assert codes(examine([record])) == found


def test_a_folder_with_a_grey_tile_among_colour_is_mixed(tmp_path: Path) -> None:
    for name, tile in made("plain"):
        grey = name == "tile 7"
        (tmp_path / f"{name}.png").write_bytes(png(tile[:, :, :1].repeat(3, axis=2) if grey else tile))
    (finding,) = examine([look_at_tiles(str(tmp_path))])
    assert (finding.rule, finding.level) == ("S07", "warning")
    assert "mono-among-colour 1" in finding.found


def test_real_imagery_passes(shared_data: Path) -> None:
    assert examine([look_at_tiles(str(shared_data / "tiles64" / "naip_nd_5m"))]) == []
