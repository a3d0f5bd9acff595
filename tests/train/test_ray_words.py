"""What a worker prints and logs comes to the user with its name."""

import logging
import warnings

import pytest
from ray.train.v2._internal.logging.patch_print import redirected_print

from satgan.train.ray_words import MOST_LINES, STAYS, words_told

WHO = "[worker 1 on here]"


@pytest.fixture(autouse=True)
def as_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """There Ray Train has `print` go to the root logger, which takes INFO."""
    monkeypatch.setattr("builtins.print", redirected_print)
    monkeypatch.setattr(logging.root, "level", logging.INFO)


def test_prints_and_warnings_come_line_by_line_and_a_librarys_chatter_does_not() -> None:
    said: list[str] = []
    with words_told(WHO, said.append):
        print("two", "words\nand a line")
        logging.getLogger("library").info("of no concern")
        logging.getLogger("library").warning("of concern")
        warnings.warn("soon gone", FutureWarning, stacklevel=1)
        logging.getLogger("library").error("went wrong")
    print("afterwards")
    assert said == [f"{WHO} {line}" for line in ("two words", "and a line", "of concern", "went wrong")]


def test_pythons_own_warnings_count() -> None:
    said: list[str] = []
    with words_told(WHO, said.append):
        warnings.simplefilter("always")
        warnings.warn("mind this", UserWarning, stacklevel=1)
    assert any("UserWarning: mind this" in line for line in said)
    assert all(line.startswith(WHO) for line in said)


def test_a_flood_is_cut_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("satgan.train.ray_words.time.monotonic", lambda: now)
    said: list[str] = []
    with words_told(WHO, said.append):
        for number in range(2 * MOST_LINES):
            print(f"flood {number}")
        assert said[-2:] == [f"{WHO} flood {MOST_LINES - 1}", f"{WHO} {STAYS}"]
        now = 61.0
        print("next minute")
    assert said[-1] == f"{WHO} next minute"
    assert len(said) == MOST_LINES + 2
