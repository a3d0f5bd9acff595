"""`satgan turing` and `satgan turing score` from the outside."""

import json
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from satgan.__main__ import main
from satgan.gallery.turing_page import SealedPage, quiz_page, seal
from satgan.judge.guesses import marked
from satgan.tiles.store import open_store
from tests.gallery.test_judgement import as_folder, as_set
from tests.judge.damage import DAMAGES, synthetic
from tests.judge.test_two_sample import one_thread
from tests.train.conftest import MakeConfig, make_config, run, tile_set

__all__ = ["make_config", "one_thread", "tile_set"]  # fixtures

TILES, KINDS = synthetic(180, 32)
FAKES = DAMAGES["noise"](TILES[:90], KINDS[:90], 2)
PAIRS = 6


def page_in(html: str) -> SealedPage:
    found = re.search(r'<script type="application/json" id="page">(.*?)</script>', html)
    assert found
    return SealedPage.model_validate_json(json.loads(found[1]))


def made(words: list[str], out: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], SealedPage]:
    assert main(["turing", *words, "--pairs", str(PAIRS), "--out", out, "--json"]) == 0
    return json.loads(capsys.readouterr().out), page_in(open_store(out).read("turing.html").decode())


def fakes_of(page: SealedPage) -> list[int]:
    return [number for number in range(1, 2 * page.pairs + 1) if page.is_fake(number)]


@pytest.fixture
def sides(tmp_path: Path) -> list[str]:
    return [as_folder(tmp_path / "fakes", FAKES), "--tiles", as_set(str(tmp_path / "reals"), TILES[90:])]


def test_the_page_follows_from_the_arguments_and_answers_lie_apart(
    sides: list[str], place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, page = made(sides, place, capsys)
    made(sides, str(tmp_path / "again"), capsys)
    _, other = made([*sides, "--seed", "1"], str(tmp_path / "other"), capsys)
    for name in ("turing.html", "answers.html"):
        assert open_store(place).read(name) == (tmp_path / "again" / name).read_bytes()
    assert len(fakes_of(page)) == PAIRS
    assert fakes_of(page) != fakes_of(other)
    assert page.name == told["page"]
    listed = ", ".join(map(str, fakes_of(page)))
    assert f"The fakes, by fakes: {listed}." in open_store(place).read("answers.html").decode()
    assert told["machine"]["verdict"] == "apart"  # noise of 24 grey levels
    assert told["machine"]["answers"] == 84


@pytest.mark.parametrize("left", [("turing.html", "answers.html"), ("turing.html",), ("answers.html",)], ids=str)
def test_an_earlier_test_stays(
    sides: list[str], place: str, capsys: pytest.CaptureFixture[str], left: tuple[str, ...]
) -> None:
    """Also where one of its files was taken away, to pass it on or to keep it apart."""
    made(sides, place, capsys)
    store = open_store(place)
    for name in {"turing.html", "answers.html"}.difference(left):
        store.delete(name)
    before = {key: store.read(key) for key, _ in store.list()}
    assert main(["turing", *sides, "--pairs", str(PAIRS), "--seed", "1", "--out", place]) == 2
    told = capsys.readouterr().err
    assert f"holds {' and '.join(left)} of an earlier test" in told
    assert "--out" in told
    assert {key: store.read(key) for key, _ in store.list()} == before


def test_the_source_says_nothing_about_the_answers() -> None:
    """But for the digests, pages of the same tiles with other answers are the same."""
    tiles = TILES[: 2 * PAIRS]
    sources = []
    for is_fake in ([True, False] * PAIRS, [True] * PAIRS + [False] * PAIRS):
        page = seal(tiles, is_fake, "fakes", "reals", None)
        assert [page.is_fake(number) for number in range(1, 2 * PAIRS + 1)] == is_fake
        source = quiz_page(page, tiles)
        for secret in (*page.digests, page.name):
            source = source.replace(secret, "…")
        sources.append(source)
    assert sources[0] == sources[1]
    assert sources[0].count("data:image/png") == 1


def test_a_runs_fakes_stand_beside_reals_turned_as_it_saw_them(
    make_config: MakeConfig, tile_set: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = run(make_config()).run
    _, page = made([url, "--tiles", tile_set], str(tmp_path / "out"), capsys)
    assert re.search(r"after step 12$", page.fakes)
    tiles = np.load(f"{tile_set}/shard-000000.npy")
    kept = {turned.tobytes() for tile in tiles for turned in symmetries(tile)}
    shown = [tile.tobytes() for tile in shown_tiles(tmp_path / "out" / "answers.html")]
    is_real = [not page.is_fake(number) for number in range(1, 2 * PAIRS + 1)]
    assert [tile in kept for tile in shown] == is_real
    assert len({tile.tobytes() for tile in tiles}.intersection(shown)) < PAIRS


def symmetries(tile: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [np.rot90(flipped, turns) for flipped in (tile, tile[::-1]) for turns in range(4)]


def shown_tiles(answers: Path) -> list[NDArray[np.uint8]]:
    found = re.findall(r"data:image/png;base64,([^\"]+)", answers.read_text())
    return [np.asarray(Image.open(BytesIO(b64decode(data)))) for data in found]


def test_too_few_reals_for_the_machine_is_said(
    tmp_path: Path, sides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    few = as_set(str(tmp_path / "few"), TILES[90 : 90 + PAIRS + 63])
    told, _ = made([sides[0], "--tiles", few], str(tmp_path / "out"), capsys)
    assert told["machine"] is None
    assert "too few real tiles for a machine" in (tmp_path / "out" / "turing.html").read_text()
    assert main(["turing", sides[0], "--tiles", few, "--pairs", "5", "--out", str(tmp_path / "five")]) == 0
    assert re.search(r"^machine: \d+ of 64 right", capsys.readouterr().out, re.M)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{fakes}", "--tiles", "{reals}", "--pairs", "3"], "--pairs 3"),
        (["{fakes}", "--tiles", "{reals}", "--pairs", "91"], "needs 91 tiles of {fakes}, which has 90"),
        (["{other}", "--tiles", "{reals}"], "16 pixels"),
        (["{fakes}"], "--tiles"),
        (["{fakes}-not", "--tiles", "{reals}"], "no such folder"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, sides: list[str], capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    names = {"fakes": sides[0], "reals": sides[2], "other": as_folder(tmp_path / "other", TILES[:90, :16, :16])}
    assert main(["turing", *(word.format(**names) for word in words), "--out", str(tmp_path / "out")]) == 2
    assert said.format(**names) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def answers_in(file: Path, page: SealedPage, found: int, visit: str) -> str:
    """A file of answers with so many fakes among the marked tiles."""
    fakes = fakes_of(page)
    reals = sorted({*range(1, 2 * page.pairs + 1)} - {*fakes})
    marks = fakes[:found] + reals[: page.pairs - found]
    file.write_text(json.dumps({"page": page.text, "visit": visit, "marked": marks}))
    return str(file)


def test_answers_of_several_people_are_added_up(
    tmp_path: Path, sides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told, page = made(sides, str(tmp_path / "out"), capsys)
    files = [answers_in(tmp_path / f"{found}.json", page, found, f"visit {found}") for found in (2, 5, 6)]
    assert main(["turing", "score", *files, "--json"]) == 0
    pooled = json.loads(capsys.readouterr().out)
    assert pooled["found"] == dict(zip(files, (2, 5, 6), strict=True))
    assert pooled["people"] == marked(13, PAIRS, people=3).as_dict()
    assert pooled["machine"] == told["machine"]
    assert main(["turing", "score", *files]) == 0
    table = capsys.readouterr().out
    assert f"{files[1]}: 5 of 6 fakes found" in table
    assert "people: 3, 13 of 18 right" in table


def test_answers_that_do_not_belong_together_are_refused(
    tmp_path: Path, sides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, page = made(sides, str(tmp_path / "out"), capsys)
    _, other = made([*sides, "--seed", "1"], str(tmp_path / "other"), capsys)
    good = answers_in(tmp_path / "good.json", page, 3, "one")
    told = json.loads(Path(good).read_text())
    false_page = page.model_copy(update={"digests": page.digests[:-1]})
    cases = {
        f"answers page {other.name}, {good} page {page.name}": answers_in(tmp_path / "a.json", other, 3, "two"),
        "the same answers": answers_in(tmp_path / "b.json", page, 3, "one"),
        "marks 5 different tiles": told | {"visit": "two", "marked": told["marked"][1:]},
        "marks 6 different tiles": told | {"visit": "two", "marked": [*told["marked"][1:], 13]},
        "holds no answers: marked": told | {"marked": "all"},
        "holds no answers: Invalid JSON": "quiz",
    }
    for said, wrong in cases.items():
        file = wrong if isinstance(wrong, str) and Path(wrong).exists() else str(tmp_path / "wrong.json")
        if file != wrong:
            Path(file).write_text(wrong if isinstance(wrong, str) else json.dumps(wrong))
        assert main(["turing", "score", good, file]) == 2
        assert said in capsys.readouterr().err
    assert main(["turing", "score", answers_in(tmp_path / "c.json", page, 3, "c").replace("c.json", "none.json")]) == 2
    assert "No such file" in capsys.readouterr().err
    no_answers = json.loads(page.text) | {"machine": [0, 0, 0.0, 1.0, 1.0]}
    for said, text in (("not 6 pairs", false_page.text), ("0 of 0 answers right", json.dumps(no_answers))):
        Path(good).write_text(json.dumps(told | {"page": text}))
        assert main(["turing", "score", good]) == 2
        assert said in capsys.readouterr().err
