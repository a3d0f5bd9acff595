"""`satgan judge` from the outside: its three kinds of sides, its table, JSON and page, and what it refuses."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from satgan.__main__ import main
from satgan.judge.reference import make_reference, pick_tiles
from satgan.pictures.charts import BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH
from satgan.pictures.grid import png
from satgan.tiles.records import Tile
from satgan.tiles.shards import pack
from satgan.tiles.tile_set import TileSet, open_tile_set
from tests.judge.damage import DAMAGES, synthetic
from tests.train.conftest import MakeConfig, make_config, run, tile_set

__all__ = ["make_config", "tile_set"]  # fixtures

TILES, KINDS = synthetic(180, 32)


def as_set(url: str, tiles: NDArray[np.uint8]) -> str:
    named = (Tile(f"tile-{number:05d}", tile) for number, tile in enumerate(tiles))
    pack(named, url, size=tiles.shape[1], channels=tiles.shape[3], seed=1, source="test", cut={})
    return url


def as_folder(folder: Path, tiles: NDArray[np.uint8]) -> str:
    folder.mkdir()
    for number, tile in enumerate(tiles):
        (folder / f"{number:05d}.png").write_bytes(png(tile))
    return str(folder)


def judged(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["judge", *words, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_a_folder_against_a_set_wherever_they_lie(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reals = as_set(place, TILES[:120])
    good = judged([as_folder(tmp_path / "good", TILES[120:]), reals], capsys)
    blurred = DAMAGES["blur"](TILES[120:], KINDS[120:], 2)
    bad = judged([as_folder(tmp_path / "bad", blurred), reals], capsys)
    assert good["tiles"] == bad["tiles"] == 60
    assert good["score"] < 2 < bad["score"]


def test_folders_and_sets_of_the_same_tiles_are_the_same_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reals = as_set(str(tmp_path / "reals"), TILES[:120])
    one = judged([as_folder(tmp_path / "folder", TILES[120:]), reals], capsys)
    other = judged([as_set(str(tmp_path / "set"), TILES[120:]), reals], capsys)
    assert one["score"] == pytest.approx(other["score"], rel=0.1)  # the order, and so the patches, differ


def test_a_set_of_reals_is_read_once_and_no_figure_hangs_on_what_is_kept_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reals, fakes = as_set(str(tmp_path / "reals"), TILES[:120]), as_folder(tmp_path / "fakes", TILES[120:])
    reference = make_reference(pick_tiles(open_tile_set(reals), 120, 0))
    read, plain = list[int](), TileSet.read_piece

    def noted(tile_set: TileSet, piece: int) -> NDArray[np.uint8]:
        read.append(piece)
        return plain(tile_set, piece)

    monkeypatch.setattr(TileSet, "read_piece", noted)
    first = judged([fakes, reals], capsys)
    assert sorted(read) == list(range(open_tile_set(reals).manifest.piece_count))
    assert {name: first["scores"][name]["floor"] for name in reference.floors} == reference.floors
    assert list((tmp_path / "reals" / "judge").iterdir())
    read.clear()
    assert judged([fakes, reals], capsys) == first
    assert read == [], "all that is needed of the reals is kept"


def test_an_unjudged_run_is_drawn_from_its_newest_checkpoint(
    make_config: MakeConfig, tile_set: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = run(make_config()).run
    result = judged([url, tile_set, "--tiles-per-side", "24"], capsys)
    assert result["score"] > 1.2
    assert judged([f"{url}/checkpoints/step-00000012", tile_set, "--tiles-per-side", "24"], capsys) == result


def test_the_table_and_the_page_name_every_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reals, page = as_set(str(tmp_path / "reals"), TILES[:120]), tmp_path / "page.html"
    fakes = as_folder(tmp_path / "fa<kes", TILES[120:])
    assert main(["judge", fakes, reals, "--page", str(page), "--held-out", fakes]) == 0
    table, html = capsys.readouterr().out, page.read_text()
    names = ["spectrum", "checkerboard", "histogram", "sliced_wasserstein_16", "frd_deep", "recall", "memory"]
    names += ["mmagic_swd", "mmagic_swd_16"]
    assert all(re.search(rf"^{name} +[\d.e+-]+ +[\d.e+-]+ +[\d.e+-]+  \w", table, re.M) for name in names)
    assert all(f"<td>{name}</td>" in html for name in names)
    assert re.search(r"^overall", table, re.M)
    assert html.count("data:image/png;base64,") == html.count("<img") == 2
    assert not re.search(r"(src|href)=\"?(http|/)|@import|url\(", html)
    chart = html[html.index('role="img"') :]
    drawing = ElementTree.fromstring("<svg " + chart[: chart.index("</svg>") + len("</svg>")])
    curves = [line.attrib["points"].split() for line in drawing.iter("polyline")]
    assert [len(points) for points in curves] == [23, 23]  # rings up to the corner, 32 / √2 = 22.6
    places = [tuple(map(float, point.split(","))) for points in curves for point in points]
    assert all(LEFT <= x <= WIDTH - RIGHT and 0 <= y <= HEIGHT - BOTTOM for x, y in places)
    assert "fa&lt;kes" in html
    assert "fa<kes" not in html


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{fakes}", "{other}"], "32 pixels and 3 channels"),
        (["{fakes}", "{reals}", "--tiles-per-side", "61"], "needs 61 tiles"),
        (["{fakes}", "{reals}", "--tiles-per-side", "3"], "20 fakes and 40 reals"),
        (["{few}", "{reals}"], "20 fakes and 40 reals"),
        (["{fakes}", "{reals}", "--page", "page.txt"], "page.txt"),
        (["{fakes}", "{reals}", "--page", "{fakes}-not/page.html"], "no folder {fakes}-not"),
        (["{fakes}", "{reals}-not"], "no such folder: {reals}-not"),
        (["{fakes}-not", "{reals}"], "no such folder: {fakes}-not"),
        (["{fakes}", "{reals}", "--held-out", "{other}"], "{other}"),
        (["{fakes}", "{reals}", "--sede", "1"], "--seed"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    names = {
        "fakes": as_folder(tmp_path / "fakes", TILES[120:]),
        "few": as_folder(tmp_path / "few", TILES[:10]),
        "reals": as_set(str(tmp_path / "reals"), TILES[:120]),
        "other": as_set(str(tmp_path / "other"), TILES[:120, :16, :16]),
    }
    monkeypatch.setattr("satgan.gallery.judgement.judge", lambda *_: pytest.fail("work was begun"))
    monkeypatch.setattr("satgan.gallery.judgement.reference_of", lambda *_: pytest.fail("work was begun"))
    assert main(["judge", *(word.format(**names) for word in words)]) == 2
    errors = capsys.readouterr().err
    assert said.format(**names) in errors
    assert "what to do" in errors


def test_an_odd_tile_in_a_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reals, fakes = as_set(str(tmp_path / "reals"), TILES[:120]), as_folder(tmp_path / "fakes", TILES[120:])
    (tmp_path / "fakes" / "odd.png").write_bytes(png(TILES[0, :16, :16]))
    (tmp_path / "fakes" / "00000.png").unlink()
    assert main(["judge", fakes, reals]) == 2
    assert "odd.png" in capsys.readouterr().err
