"""What the judgements of a run's checkpoints warn of: a run that got worse than it was, and since when.

Long DCGAN runs end two to three times worse than their best checkpoint. Every alarm compares a run with its own best
so far, not with a fixed figure: early tiles are poor in every way, and that is no collapse.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from satgan.judge.judgement import Judgement

WORSE = 1.5
"""Times the best score so far, from which a run counts as worse."""

WORSE_JUDGEMENTS = 3
"""In a row: the score of few tiles is noisy."""

COVERAGE_SHARE = 0.5
"""Of the best coverage so far, below which kinds of tiles count as lost (recall is high for scattered noise) …"""

COVERAGE_SEEN = 0.1
"""… where it ever was so high."""

ALIKE = 1.5
"""From so many times as alike as reals are (the ratio of `ms_ssim`), and as the run's own best, fakes are too alike."""

COLLAPSE_JUDGEMENTS = 2


class Alarm(NamedTuple):
    """Something that has held for several judgements in a row.

    Attributes:
        kind: `worse`, `coverage-lost` or `alike`.
        since_step: the first judgement of that row.
        figure: the newest one.
        threshold: what it passed.
        best_step: where the run was at its best in this respect.
    """

    kind: str
    since_step: int
    figure: float
    threshold: float
    best_step: int


def alarms(judged: Sequence[tuple[int, Judgement]]) -> list[Alarm]:
    """The alarms that hold at the newest judgement.

    Args:
        judged: (step, judgement), ascending.
    """
    found = [
        _row("worse", [(step, one.score) for step, one in judged], WORSE_JUDGEMENTS, lambda best: best * WORSE, 1),
        _row(
            "coverage-lost",
            [(step, one.scores["coverage"].value) for step, one in judged],
            COLLAPSE_JUDGEMENTS,
            lambda best: best * COVERAGE_SHARE if best >= COVERAGE_SEEN else 0.0,
            -1,
        ),
        _row(
            "alike",
            [(step, one.scores["ms_ssim"].ratio) for step, one in judged],
            COLLAPSE_JUDGEMENTS,
            lambda best: max(best, 1.0) * ALIKE,
            1,
        ),
    ]
    return [alarm for alarm in found if alarm]


def _row(
    kind: str,
    figures: Sequence[tuple[int, float]],
    least: int,
    threshold: Callable[[float], float],
    worse: int,
) -> Alarm | None:
    """The alarm, if the last `least` figures or more all passed the threshold that the best before them sets.

    Args:
        kind: of the alarm.
        figures: (step, figure), ascending.
        least: figures in a row.
        threshold: from the best figure so far.
        worse: 1 where larger is worse, -1 where smaller is.
    """
    since, best_step, best = None, 0, None
    row = 0
    for step, figure in figures:
        if best is not None and worse * figure > worse * threshold(best):
            since, row = (step if row == 0 else since), row + 1
        else:
            row = 0
            if best is None or worse * figure < worse * best:
                best_step, best = step, figure
    if row < least or since is None or best is None:
        return None
    return Alarm(kind, since, figures[-1][1], threshold(best), best_step)
