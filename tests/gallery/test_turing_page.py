"""The quiz in a real browser: played by keyboard and by touch, in light and dark, without a network."""

import json
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from satgan.__main__ import main
from satgan.gallery.turing_page import SealedPage, answers_page, quiz_page, seal
from satgan.judge.guesses import answered, marked
from tests.gallery.browsing import PHONE, faults, opened
from tests.gallery.test_turing import fakes_of
from tests.judge.damage import DAMAGES, synthetic

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAIRS = 6
TILES, KINDS = synthetic(2 * PAIRS, 32)
IS_FAKE = [number in (0, 2, 3, 7, 8, 11) for number in range(2 * PAIRS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds turing.html and answers.html."""
    noisy = DAMAGES["noise"](TILES, KINDS, 2)
    tiles = np.where(np.array(IS_FAKE)[:, None, None, None], noisy, TILES)
    page = seal(tiles, IS_FAKE, "a <run>", "a set", answered(900, 1024))
    folder = tmp_path_factory.mktemp("turing")
    (folder / "turing.html").write_text(quiz_page(page, tiles))
    (folder / "answers.html").write_text(answers_page(page, tiles))
    np.save(folder / "tiles.npy", tiles)
    (folder / "page.json").write_text(page.text)
    return folder


@pytest.fixture
def quiz(browser: "Browser", folder: Path) -> "Iterator[Page]":
    """The page, opened."""
    with opened(browser, folder / "turing.html") as page:
        yield page


def sealed(folder: Path) -> SealedPage:
    return SealedPage.model_validate_json((folder / "page.json").read_text())


def test_played_by_keyboard_it_is_scored_right_and_the_answers_count(
    quiz: "Page", folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = {1, 3, 4, 8, 2, 5}  # four of the six fakes
    while quiz.evaluate("document.activeElement.value") != "1":
        quiz.keyboard.press("Tab")
    for number in range(1, 2 * PAIRS + 1):
        assert quiz.evaluate("document.activeElement.value") == str(number)
        if number in marks:
            quiz.keyboard.press("Space")
        quiz.keyboard.press("ArrowRight")
    assert quiz.inner_text("#status") == "6 of 6 marked"
    quiz.keyboard.press("Tab")
    quiz.keyboard.press("Enter")
    assert quiz.evaluate("document.activeElement.id") == "score"
    expected = marked(4, PAIRS)
    assert quiz.inner_text("#score") == "You found 4 of 6 fakes: 66.7 %"
    assert quiz.inner_text("#verdict") == expected.verdict.value
    assert f"from {100 * expected.low:.1f} to {100 * expected.high:.1f} %" in quiz.inner_text("#interval")
    assert f"by guessing is {expected.p_value:.3f}" in quiz.inner_text("#interval")
    assert quiz.inner_text("#answers") == "The fakes: 1, 3, 4, 8, 9, 12."
    told = [text.inner_text() for text in quiz.query_selector_all(".told")]
    assert told[:5] == ["fake, found", "real, suspected", "fake, found", "fake, found", "real, suspected"]
    assert told[8] == "fake, missed"
    assert "900 of 1,024" in quiz.inner_text("#result")
    assert "a <run>" in quiz.inner_text("#result")
    with quiz.expect_download() as waiting:
        quiz.keyboard.press("Tab")
        quiz.keyboard.press("Enter")
    file = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(file)
    assert main(["turing", "score", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["found"] == {str(file): 4}


def test_arrows_keep_to_the_grid(quiz: "Page") -> None:
    quiz.focus("input[value='1']")
    quiz.keyboard.press("ArrowDown")
    below = int(quiz.evaluate("document.activeElement.value"))
    places = [quiz.locator(f"label:has(input[value='{number}'])").bounding_box() for number in (1, below)]
    assert below > 1
    assert places[0] is not None
    assert places[1] is not None
    assert places[0]["x"] == places[1]["x"]
    quiz.keyboard.press("ArrowUp")
    quiz.keyboard.press("ArrowLeft")
    assert quiz.evaluate("document.activeElement.value") == "1"
    quiz.keyboard.press("End")
    assert quiz.evaluate("document.activeElement.value") == "12"


def test_nothing_is_told_before_half_the_tiles_are_marked(quiz: "Page") -> None:
    for number in (1, 2, 3):
        quiz.get_by_role("checkbox", name=f"Tile {number}", exact=True).check()  # as a screen reader calls it
    quiz.click("#check")
    assert quiz.inner_text("#status") == "Mark 3 more: 6 of the tiles are fakes."
    for number in (4, 5, 6, 7):
        quiz.check(f"input[value='{number}']")
    quiz.click("#check")
    assert quiz.inner_text("#status") == "Take 1 back: only 6 of the tiles are fakes."
    assert not quiz.is_visible("#result")
    assert quiz.query_selector("[data-is]") is None


def test_every_tile_is_shown_as_it_is(quiz: "Page", folder: Path) -> None:
    """In the order in which the digests are."""
    urls = quiz.evaluate("[...document.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL())")
    for url, tile in zip(urls, np.load(folder / "tiles.npy"), strict=True):
        drawn = np.asarray(Image.open(BytesIO(b64decode(url.split(",")[1]))))
        assert np.array_equal(drawn[..., :3], tile)
    assert [number - 1 for number in fakes_of(sealed(folder))] == np.flatnonzero(IS_FAKE).tolist()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_by_touch_on_a_phone_and_readable_by_all(browser: "Browser", folder: Path, scheme: Any) -> None:
    with opened(browser, folder / "turing.html", viewport=PHONE, has_touch=True, color_scheme=scheme) as page:
        assert faults(page) == []
        for number in range(1, PAIRS + 1):
            page.tap(f"label:has(input[value='{number}'])")
        page.tap("#check")
        assert page.inner_text("#score") == "You found 3 of 6 fakes: 50.0 %"
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    with opened(browser, folder / "answers.html", viewport=PHONE, color_scheme=scheme) as page:
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_printed_it_is_a_sheet_to_tick(quiz: "Page") -> None:
    quiz.emulate_media(media="print")
    assert not quiz.is_visible("#check")
    assert "Name: ___" in quiz.inner_text("main")
    boxes = quiz.locator(".tile")
    assert boxes.count() == 2 * PAIRS
    rows = [box["y"] for box in (boxes.nth(number).bounding_box() for number in range(2 * PAIRS)) if box]
    assert len(set(rows)) == 2  # twelve tiles, eight in a row
