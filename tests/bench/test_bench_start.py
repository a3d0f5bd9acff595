"""The bench of the start: what is waited for is seen, failures are told, goals are judged."""

from pathlib import Path

import pytest

from bench.start import Row, Taken, first_step, make_tiles, markdown, measure, run


def test_a_mark_is_seen_before_the_end(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"import pathlib, time; pathlib.Path({str(mark)!r}).write_text('\"numbers\"'); time.sleep(1)"
    start = run(["-c", code], mark)
    whole = run(["-c", "import time; time.sleep(1)"])
    assert 0 < start.wall_seconds < whole.wall_seconds
    assert whole.wall_seconds > 1
    assert 0 < whole.cpu_seconds < whole.wall_seconds


def test_a_process_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        run(["-c", "1 / 0"])
    with pytest.raises(RuntimeError, match="said nothing"):
        run(["-c", "pass"], tmp_path / "mark")


def test_training_is_seen_at_its_first_step(tmp_path: Path) -> None:
    assert first_step(tmp_path, make_tiles(tmp_path), workers=0).wall_seconds > 0


def test_ways_are_taken_in_turn_and_the_first_round_is_not_counted() -> None:
    calls: list[str] = []

    def way(name: str) -> Taken:
        calls.append(name)
        return Taken(float(len(calls)), 0.0)

    found = measure([lambda: way("a"), lambda: way("b")], rounds=2)
    assert calls == ["a", "b"] * 3
    assert [[taken.wall_seconds for taken in one] for one in found] == [[3.0, 5.0], [4.0, 6.0]]


def test_goals_are_judged() -> None:
    rows = [Row("a", 5, 0.4, 0.1, 0.5), Row("b", 5, 0.6, 0.1, 0.5), Row("c", 5, 0.6, None, None)]
    lines = markdown(rows).splitlines()[2:]
    assert lines[0] == "| a | 5 | 0.40 | 0.10 | < 0.5 s | 0.80× | reached |"
    assert lines[1].endswith("| 1.20× | missed |")
    assert lines[2] == "| c | 5 | 0.60 | — |  |  |  |"
