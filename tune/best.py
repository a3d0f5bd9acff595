"""Settings by their scores: mean and spread over the seeds, and whether an effect is larger than changing the seed."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any, NamedTuple

from satgan.errors import InputError, SatganError, nearest
from tune.table import DONE, Found, Row
from tune.trials import shown

LEVELS = 3
"""Groups of equal size into which the values of a range are put."""


class Standing(NamedTuple):
    """A setting among the others; lower is better.

    values   of the varied options
    scores   of its trials that have one
    mean     of these
    spread   their standard deviation; None with fewer than two
    trials   its trials, the best first
    whole    whether every one of them ran to its end and has a score
    """

    values: dict[str, Any]
    scores: list[float]
    mean: float
    spread: float | None
    trials: list[Row]
    whole: bool

    @property
    def states(self) -> str:
        """Such as `2 complete, 1 diverged`."""
        return counted([row.state for row in self.trials])


class Effect(NamedTuple):
    """What one option does to the score, all others taken together.

    levels   (values from, values to, geometric mean of the scores there, trials), in the order of the values
    factor   worst level over best one
    noise    by what factor a level's mean would differ if only the seed were changed; None where no setting has two
    """

    option: str
    levels: list[tuple[Any, Any, float, int]]
    factor: float
    noise: float | None

    @property
    def is_seen(self) -> bool | None:
        """Whether it is larger than what seeds do (twice their noise); None where that is not known."""
        return None if self.noise is None else self.factor > self.noise**2


def counted(names: Sequence[str]) -> str:
    """Such as `2 complete, 1 diverged`."""
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def figure_of(row: Row, by: str) -> float | None:
    """The figure that ranks a trial: its score, or one of the scores' ratios at its best checkpoint."""
    if by == "score":
        return row.score
    found = row.scores.get(by, {}).get("ratio")
    return found if found is not None and math.isfinite(found) else None


def standings(found: Found, by: str = "score") -> list[Standing]:
    """Settings, the best first; those with trials that did not run to their end come after those that did.

    Args:
        found: the sweep.
        by: `score`, or the name of one of the judge's scores, which is then taken as ratio.

    Raises:
        InputError: no trial has begun, or there is no such score.
        SatganError: none has a score.
    """
    _check_scored(found, by)
    groups: dict[str, list[Row]] = {}
    for row in found.rows:
        if row.state != "missing":
            groups.setdefault(json.dumps(row.values), []).append(row)
    ranked = [_standing(rows, by) for rows in groups.values()]
    return sorted(ranked, key=lambda one: (not one.whole, one.mean))


def seed_noise(found: Found) -> float | None:
    """By what factor the score of one trial differs when only its seed is changed: e to the pooled standard deviation
    of its logarithm within settings, since scores are geometric means of ratios. None where no setting has two."""
    groups: dict[str, list[float]] = {}
    for row in found.rows:
        if row.score is not None and row.state == "complete":
            groups.setdefault(json.dumps(row.values), []).append(math.log(row.score))
    several = [logs for logs in groups.values() if len(logs) > 1]
    if not several:
        return None
    squares = sum((value - fmean(logs)) ** 2 for logs in several for value in logs)
    return math.exp(math.sqrt(squares / sum(len(logs) - 1 for logs in several)))


def effects(found: Found) -> list[Effect]:
    """What each option does, the largest first; of options of which fewer than two levels have scores, none."""
    noise = seed_noise(found)
    told = [_effect(found, option, noise) for option in found.options]
    return sorted((one for one in told if one), key=lambda effect: -effect.factor)


def verdicts(found: Found) -> list[str]:
    """In words: the base setting against the best one, each option's effect against the seeds' noise, what failed."""
    ranked, noise = standings(found), seed_noise(found)
    lines = _base_verdict(found, ranked, noise)
    left = [row.state for row in found.rows if row.state not in (*DONE, "replaced")]
    if left:
        lines.insert(0, f"{len(left)} of {len(found.rows)} trials have not come to their end ({counted(left)}): "
                     "`satgan sweep … --resume` goes on with them")  # fmt: skip
    for effect in effects(found):
        low, high = min(effect.levels, key=lambda one: one[2]), max(effect.levels, key=lambda one: one[2])
        size = (
            f"{effect.option}: {_level(low)} scores {low[2]:.2f}, {_level(high)} {high[2]:.2f} (× {effect.factor:.2f})"
        )
        known = {None: "no setting is complete from two seeds, so it is not known whether that is noise",
                 True: "larger than changing the seed",
                 False: "no larger than changing the seed"}[effect.is_seen]  # fmt: skip
        lines.append(f"{size}: {known}")
    for row in found.rows:
        if row.why and row.state not in ("missing", "stopped early"):
            lines.append(f"{row.trial} {row.state}: {row.why}")
    return lines


def table(ranked: Sequence[Standing], options: Sequence[str], top: int | None) -> str:
    """The ranking as lines of text."""
    head = ("rank", *options, "mean", "spread", "best", "trials")
    rows = [head, *(
        (str(place), *(shown(one.values[option]) for option in options), _figure(one.mean), _figure(one.spread),
         _figure(min(one.scores, default=math.inf)), one.states)
        for place, one in enumerate(ranked[:top], 1)
    )]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("  ".join(f"{text:<{w}}" for text, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _check_scored(found: Found, by: str) -> None:
    known = ["score", *dict.fromkeys(name for row in found.rows for name in row.scores)]
    if any(figure_of(row, by) is not None for row in found.rows):
        return
    if by not in known and len(known) > 1:
        raise InputError(f"no trial has a score named {by!r}", nearest(by, known))
    if all(row.state == "missing" for row in found.rows):
        raise InputError(f"no trial of {found.url} has begun", "`satgan sweep … --resume` starts them")
    whys = "\n".join(f"  {row.trial}: {row.why or 'no checkpoint was judged yet'}" for row in found.rows)
    remedy = "see the journals of these runs; lower rates where they diverged; --resume goes on with what is not done"
    raise SatganError(
        f"no trial of {found.url} has a score ({counted([row.state for row in found.rows])}):\n{whys}", remedy
    )


def _standing(rows: list[Row], by: str) -> Standing:
    figures = {row.trial: figure_of(row, by) for row in rows}
    scores = [figure for figure in figures.values() if figure is not None]
    ordered = sorted(rows, key=lambda row: math.inf if figures[row.trial] is None else figures[row.trial] or 0.0)
    whole = len(scores) == len(rows) and all(row.state == "complete" for row in rows)
    mean = fmean(scores) if scores else math.inf
    return Standing(rows[0].values, scores, mean, stdev(scores) if len(scores) > 1 else None, ordered, whole)


def _effect(found: Found, option: str, noise: float | None) -> Effect | None:
    pairs = [(row.values[option], row.score) for row in found.rows if row.score is not None]
    levels = []
    for values in _grouped([value for value, _ in pairs]):
        logs = [math.log(score) for value, score in pairs if value in values]
        levels.append((values[0], values[-1], math.exp(fmean(logs)), len(logs)))
    if len(levels) < 2:
        return None
    means = [mean for _, _, mean, _ in levels]
    fewest = min(count for *_, count in levels)
    level_noise = None if noise is None else noise ** (math.sqrt(2 / fewest))
    return Effect(option, levels, max(means) / min(means), level_noise)


def _grouped(values: Sequence[Any]) -> list[list[Any]]:
    """Each value by itself where there are few, else thirds of them."""
    distinct = sorted({json.dumps(value): value for value in values}.values(), key=order)
    if len(distinct) <= 2 * LEVELS or not all(isinstance(value, (int, float)) for value in distinct):
        return [[value] for value in distinct]
    ends = [round(len(distinct) * part / LEVELS) for part in range(LEVELS + 1)]
    return [distinct[first:last] for first, last in pairwise(ends)]


def order(value: Any) -> Any:
    """A key that sorts values of one option: numbers by size, lists by their sum, else by their text."""
    if isinstance(value, list):
        return (1, sum(value) if all(isinstance(one, (int, float)) for one in value) else 0, str(value))
    return (0, value, "") if isinstance(value, (int, float)) else (2, 0, str(value))


def _base_verdict(found: Found, ranked: Sequence[Standing], noise: float | None) -> list[str]:
    base = next((one for one in ranked if one.values == found.base and one.scores), None)
    best = ranked[0]
    if base is None:
        states = next((one.states for one in ranked if one.values == found.base), "not tried")
        return [f"the base setting ({_setting(found.base)}) has no score ({states}): the best one is "
                f"{_setting(best.values)}, {best.mean:.2f}{_spread(best)}"]  # fmt: skip
    told = f"base setting ({_setting(found.base)}) scores {base.mean:.2f}{_spread(base)}"
    if best is base:
        return [f"the {told}: none is better"]
    factor = base.mean / best.mean
    changed = {option: value for option, value in best.values.items() if value != found.base[option]}
    lines = f"the {told}, the best one {best.mean:.2f}{_spread(best)}: × {factor:.2f}"
    if noise is None:
        return [f"{lines}; no setting is complete from two seeds, so it is not known whether that is noise"]
    if factor > noise ** (_deviations(len(ranked)) * math.sqrt(2 / min(len(base.scores), len(best.scores)))):
        return [f"{lines}. That is larger than changing the seed (× {noise:.2f}): change to {_setting(changed)}"]
    return [f"{lines}. That is no larger than changing the seed (× {noise:.2f}): keep the base setting"]


def _deviations(settings: int) -> float:
    """From how many standard deviations on the best of so many settings is taken for better: chance alone puts it
    sqrt(2 ln n) ahead of their mean."""
    return max(2.0, 1 + math.sqrt(2 * math.log(settings)))


def _setting(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{option} = {shown(value)}" for option, value in values.items())


def _level(level: tuple[Any, Any, float, int]) -> str:
    low, high = level[0], level[1]
    return shown(low) if low == high else f"{shown(low)} to {shown(high)}"


def _spread(one: Standing) -> str:
    return "" if one.spread is None else f" ± {one.spread:.2f}"


def _figure(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.2f}"
