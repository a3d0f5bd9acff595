"""Settings by their scores: mean and spread over the seeds, and what a sweep tells in words."""

import json
import math
from collections.abc import Mapping, Sequence
from statistics import geometric_mean, stdev
from typing import Any, NamedTuple

from satgan.errors import InputError, SatganError, nearest
from tune.effects import Effect, effects, seed_noise
from tune.table import DONE, Found, Row, at_end
from tune.trials import shown

LAST = "last"
LEAST_COVERAGE = 0.1
"""Share of the coverage that reals have of each other, below which no trial has come far."""


class Standing(NamedTuple):
    """A setting among the others; lower is better.

    values   of the varied options
    scores   of its trials that have one
    mean     of these: the geometric one, as scores are geometric means of ratios
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
        by: `score`; `last`, that of the last checkpoint; or the name of one of the judge's scores, which is then taken
            as ratio.

    Raises:
        InputError: no trial has begun, or there is no such score.
        SatganError: none has a score.
    """
    if by == LAST:
        found, by = at_end(found) or found, "score"
    _check_scored(found, by)
    groups: dict[str, list[Row]] = {}
    for row in found.rows:
        if row.state != "missing":
            groups.setdefault(json.dumps(row.values), []).append(row)
    ranked = [_standing(rows, by) for rows in groups.values()]
    return sorted(ranked, key=lambda one: (not one.whole, one.mean))


def judged_by(found: Found) -> str:
    """By how many tiles the trials were judged; empty where none was."""
    numbers = sorted({row.tiles for row in found.rows if row.tiles is not None})
    told = f"scores by {' and '.join(f'{number:,}' for number in numbers)} tiles a side"
    return f"{told}: these do not compare" if len(numbers) > 1 else told if numbers else ""


def verdicts(found: Found) -> list[str]:
    """In words: the base setting against the best one, whether the runs are long enough to tell, each option's effect
    against chance, what the doctor found of the base setting, what failed."""
    ranked, noise = standings(found), seed_noise(found)
    lines = _base_verdict(found, ranked, noise) + _earliness(found)
    last = at_end(found)
    if last and all(row.score is None for row in last.rows):
        lines.append(f"at the end of the runs (--by {LAST}) no trial has a score that is a finite number")
    elif last:
        (told,) = _base_verdict(last, standings(last), seed_noise(last))
        lines.append(f"at the end of the runs (--by {LAST}) {told}")
    left = [row.state for row in found.rows if row.state not in (*DONE, "replaced")]
    if left:
        lines.insert(0, f"{len(left)} of {len(found.rows)} trials have not come to their end ({counted(left)}): "
                     "`satgan sweep … --resume` goes on with them")  # fmt: skip
    lines += [_effect_verdict(effect) for effect in effects(found)]
    lines += [f"at the end of the runs {_effect_verdict(effect)}" for effect in effects(last)] if last else []
    lines += _base_findings(found)
    for row in found.rows:
        if row.why and row.state not in ("missing", "stopped early"):
            lines.append(f"{row.trial} {row.state}: {row.why}")
    return lines


def _effect_verdict(effect: Effect) -> str:
    low, high = min(effect.levels, key=lambda one: one[2]), max(effect.levels, key=lambda one: one[2])
    size = f"{effect.option}: {_level(low)} scores {low[2]:.2f}, {_level(high)} {high[2]:.2f} (× {effect.factor:.2f})"
    return f"{size}: {chance_text(effect)}"


def chance_text(effect: Effect) -> str:
    """Whether it is larger than what chance alone gives."""
    if effect.chance is None:
        return "too few settings and seeds are complete to tell it from chance"
    return f"{'larger' if effect.is_seen else 'no larger'} than chance (p = {effect.chance:.2g})"


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
    known = ["score", LAST, *dict.fromkeys(name for row in found.rows for name in row.scores)]
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
    mean = geometric_mean(scores) if scores else math.inf
    return Standing(rows[0].values, scores, mean, stdev(scores) if len(scores) > 1 else None, ordered, whole)


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


def _earliness(found: Found) -> list[str]:
    """Before any trial's tiles come near the reals, scores tell little: a generator that stays at their mean colour is
    ahead of one that tries textures."""
    told = [row.scores["coverage"] for row in found.rows if "coverage" in row.scores]
    best = max(told, key=lambda score: score["value"], default=None)
    if best is None or best["value"] >= LEAST_COVERAGE * best["floor"]:
        return []
    return [
        f"these runs are too short to rank by: no trial's tiles lie near more than {best['value']:.0%} of the reals "
        f"(coverage; reals of each other {best['floor']:.0%}): more --train.steps, before you change a default"
    ]


def _base_findings(found: Found) -> list[str]:
    """What the doctor found in most trials of the base setting: scores of few steps may not show it yet."""
    trials = [row for row in found.rows if row.values == found.base]
    told: dict[str, list[dict[str, Any]]] = {}
    for finding in (finding for row in trials for finding in row.findings):
        told.setdefault(finding["rule"], []).append(finding)
    return [
        f"the doctor, in {len(those)} of {len(trials)} trials of the base setting: {rule} {those[0]['level']}: "
        f"{those[0]['found']} ({those[0]['action']})"
        for rule, those in sorted(told.items()) if 2 * len(those) > len(trials)
    ]  # fmt: skip


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
