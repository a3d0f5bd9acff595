"""Figures over a run's last log steps: one odd batch is no finding, what lasts is."""

import math
from collections.abc import Callable
from statistics import median

from satgan.doctor.finding import Finding
from satgan.doctor.limits import graded
from satgan.doctor.records import Entry, RunRecord

FEWEST_ENTRIES = 10
SHORT_STEPS, LONG_STEPS = 200, 500
"""Over so many steps, and at least FEWEST_ENTRIES log steps, a figure's median is taken."""

SETTLED_STEPS = 2000
"""Until then every run has a checkerboard (S27)."""

Figure = Callable[[Entry], float | None]


def medians(record: RunRecord, figure: Figure, steps: int) -> list[tuple[int, float]]:
    """(step, median over the window that ends there), for every log step that has a whole window before it."""
    told = [(entry.step, value) for entry in record.entries if (value := figure(entry)) is not None]
    length = max(FEWEST_ENTRIES, math.ceil(steps / record.config.train.log_steps))
    return [
        (told[end - 1][0], median(value for _, value in told[end - length : end]))
        for end in range(length, len(told) + 1)
    ]


def lasting(
    record: RunRecord,
    rule: str,
    what: str,
    figure: Figure,
    found: str,
    action: str,
    steps: int = SHORT_STEPS,
) -> Finding | None:
    """The finding of a figure whose median has reached a limit now, and since when it has without a break.

    Args:
        record: the run.
        rule: code.
        what: the figure's name in LIMITS.
        figure: of a log step; None where it has none.
        found: the sentence, with a place for the median, as in `{:.2g}`.
        action: what can be pasted.
        steps: length of the window.
    """
    held = medians(record, figure, steps)
    if not held:
        return None
    now = graded(rule, what, held[-1][1], found.format(held[-1][1]), action)
    if now is None:
        return None
    since = held[-1][0]
    for step, value in reversed(held):
        if graded(rule, what, value, "", "") is None:
            break
        since = step
    return now._replace(since_step=since)


def begun(record: RunRecord, steps: int) -> RunRecord:
    """The run without its first steps, in which much happens that passes."""
    return record._replace(entries=[entry for entry in record.entries if entry.step > steps])


def number(name: str) -> Figure:
    """The figure of a number of the journal."""
    return lambda entry: entry.numbers.get(name)


def ratio(name: str, other: str) -> Figure:
    """The figure of one number over another one; none where that is 0 or either is missing."""

    def figure(entry: Entry) -> float | None:
        top, bottom = entry.numbers.get(name), entry.numbers.get(other)
        return None if top is None or not bottom else top / bottom

    return figure


def difference(name: str, other: str) -> Figure:
    """The figure of one number less another one; none where either is missing."""

    def figure(entry: Entry) -> float | None:
        one, less = entry.numbers.get(name), entry.numbers.get(other)
        return None if one is None or less is None else one - less

    return figure
