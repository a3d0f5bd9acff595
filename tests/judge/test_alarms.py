"""Alarms compare a run with its own best, and need several judgements in a row."""

from satgan.judge.alarms import alarms
from satgan.judge.judgement import Judgement
from satgan.judge.score import Score


def judged(*figures: tuple[float, float, float]) -> list[tuple[int, Judgement]]:
    """Judgements after steps 100, 200, … of (overall score, coverage, ratio of ms_ssim)."""
    return [
        (
            100 * number,
            Judgement(score, 64, {"coverage": Score(coverage, 0.9, 1.0), "ms_ssim": Score(0.3, 0.3, alike)}),
        )
        for number, (score, coverage, alike) in enumerate(figures, 1)
    ]


def kinds(*figures: tuple[float, float, float]) -> list[tuple[str, int, int]]:
    """(kind, since_step, best_step) of the alarms."""
    return [(alarm.kind, alarm.since_step, alarm.best_step) for alarm in alarms(judged(*figures))]


def test_a_run_that_gets_better_or_wavers_raises_none() -> None:
    assert kinds() == []
    assert kinds((20.0, 0.0, 3.0), (10.0, 0.2, 1.0), (12.0, 0.3, 1.1), (9.0, 0.2, 1.0), (13.0, 0.4, 1.0)) == []


def test_a_run_that_got_worse_three_times_is_told_since_when() -> None:
    falling = [(10.0, 0.5, 1.0), (4.0, 0.5, 1.0), (6.5, 0.5, 1.0), (7.0, 0.5, 1.0), (9.0, 0.5, 1.0)]
    assert kinds(*falling[:4]) == []
    assert kinds(*falling) == [("worse", 300, 200)]
    assert kinds(*falling, (5.0, 0.5, 1.0)) == []


def test_kinds_that_are_lost_and_tiles_that_become_alike_are_told() -> None:
    assert kinds((5.0, 0.4, 1.0), (5.0, 0.1, 1.0), (5.0, 0.15, 1.0)) == [("coverage-lost", 200, 100)]
    assert kinds((5.0, 0.4, 1.0), (5.0, 0.4, 1.8), (5.0, 0.4, 2.5)) == [("alike", 200, 100)]


def test_what_never_was_there_cannot_be_lost() -> None:
    assert kinds((5.0, 0.05, 1.0), (5.0, 0.0, 1.0), (5.0, 0.0, 1.0)) == []
