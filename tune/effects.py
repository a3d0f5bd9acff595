"""What each option of a sweep does to the score, and whether chance alone would do as much.

The effect is that of the worst level (a value, or a third of a range) over the best one, which grows with the number of
levels and with what else differs between them. So it is held against how large it would be by chance, at the same
levels. Only complete trials count: the scores of those that were ended early are of fewer steps.
"""

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.randomness import Purpose, generator
from tune.table import Found, Row

LEVELS = 3
"""Groups of equal size into which the values of a range are put."""

SHUFFLES = 2000
SEEN = 0.05
"""Effects that chance gives more rarely than so are taken for true."""


class Effect(NamedTuple):
    """What one option does to the score, all others taken together.

    levels   (values from, values to, geometric mean of the scores there, trials), in the order of the values
    factor   worst level over best one
    noise    by what factor a level's mean would differ if only the seed were changed; None where no setting has two
    chance   how likely a factor as large is where the option does nothing; None where there is too little to tell
    """

    option: str
    levels: list[tuple[Any, Any, float, int]]
    factor: float
    noise: float | None
    chance: float | None

    @property
    def is_seen(self) -> bool | None:
        """Whether it is larger than chance; None where that is not known."""
        return None if self.chance is None else self.chance <= SEEN


class _Setting(NamedTuple):
    """One of which trials are complete: its values, and the logarithms of their scores."""

    values: dict[str, Any]
    logs: list[float]


def seed_noise(found: Found) -> float | None:
    """By what factor the score of one trial differs when only its seed is changed: e to the pooled standard deviation
    of its logarithm within settings, since scores are geometric means of ratios. None where no setting has two."""
    several = [setting.logs for setting in _settings(found.rows) if len(setting.logs) > 1]
    if not several:
        return None
    squares = sum((value - fmean(logs)) ** 2 for logs in several for value in logs)
    return math.exp(math.sqrt(squares / sum(len(logs) - 1 for logs in several)))


def effects(found: Found) -> list[Effect]:
    """What each option does, the largest first; of options with fewer than two levels, none."""
    settings, noise = _settings(found.rows), seed_noise(found)
    told = [_effect(settings, option, noise) for option in found.options]
    return sorted((one for one in told if one), key=lambda effect: -effect.factor)


def _settings(rows: Sequence[Row]) -> list[_Setting]:
    found: dict[str, _Setting] = {}
    for row in rows:
        if row.score is not None and row.state == "complete":
            found.setdefault(json.dumps(row.values), _Setting(row.values, [])).logs.append(math.log(row.score))
    return list(found.values())


def _effect(settings: Sequence[_Setting], option: str, noise: float | None) -> Effect | None:
    groups = _grouped([setting.values[option] for setting in settings])
    if len(groups) < 2:
        return None
    labels = np.array([
        next(number for number, group in enumerate(groups) if setting.values[option] in group) for setting in settings
    ])  # fmt: skip
    levels = []
    for number, values in enumerate(groups):
        logs = [log for setting, label in zip(settings, labels, strict=True) if label == number for log in setting.logs]
        levels.append((values[0], values[-1], math.exp(fmean(logs)), len(logs)))
    means = [mean for _, _, mean, _ in levels]
    fewest = min(count for *_, count in levels)
    level_noise = None if noise is None else noise ** (math.sqrt(2 / fewest))
    return Effect(option, levels, max(means) / min(means), level_noise, _chance(settings, option, labels))


def _chance(settings: Sequence[_Setting], option: str, labels: NDArray[np.int64]) -> float | None:
    """By the seeds where levels differ in nothing else; else, as in a random search, by the settings."""
    several = any(len(setting.logs) > 1 for setting in settings)
    if several and _differ_in_nothing_else(settings, option, labels):
        return _chance_of_seeds(settings, labels)
    return _chance_of_settings(settings, labels)


def _differ_in_nothing_else(settings: Sequence[_Setting], option: str, labels: NDArray[np.int64]) -> bool:
    """Whether every level has the same trials in all other options, as in a grid."""
    others: dict[int, list[str]] = {}
    for setting, label in zip(settings, labels, strict=True):
        rest = json.dumps({name: value for name, value in setting.values.items() if name != option})
        others.setdefault(int(label), []).extend([rest] * len(setting.logs))
    first, *further = [sorted(rests) for rests in others.values()]
    return all(rests == first for rests in further) or len({*first, *(one for rests in further for one in rests)}) == 1


def _chance_of_settings(settings: Sequence[_Setting], labels: NDArray[np.int64]) -> float | None:
    """A permutation test: settings exchange their values of the option, the trials of each stay together."""
    if _rarest(np.bincount(labels)) > SEEN:
        return None
    counts, sums = _counts(settings), np.array([sum(setting.logs) for setting in settings])
    shuffled = generator(0, Purpose.SWEEP_CHANCE).permuted(np.tile(labels, (SHUFFLES, 1)), axis=1)
    as_large = _range(shuffled, counts, sums) >= _range(labels[None], counts, sums) - 1e-12
    return float(1 + as_large.sum()) / (1 + SHUFFLES)


def _rarest(sizes: NDArray[np.int64]) -> float:
    """How likely the largest range is among all ways to put settings into levels of these sizes: levels of equal size
    can change places."""
    ways = math.factorial(int(sizes.sum())) // math.prod(math.factorial(int(size)) for size in sizes)
    return math.prod(math.factorial(int(count)) for count in np.bincount(sizes)) / ways


def _chance_of_seeds(settings: Sequence[_Setting], labels: NDArray[np.int64]) -> float:
    """The studentized range of the levels' means, by simulation (the numbers of trials may differ): how often normal
    noise of the logarithms gives one as large, in relation to the noise that the same trials show within settings."""
    counts = _counts(settings)
    logs = np.array([log for setting in settings for log in setting.logs])
    drawn = generator(0, Purpose.SWEEP_CHANCE).standard_normal((SHUFFLES, len(logs)))
    (found, noise), (ranges, noises) = (_range_and_noise(one, counts, labels) for one in (logs[None], drawn))
    as_large = ranges * noise >= found * noises * (1 - 1e-12)
    return float(1 + as_large.sum()) / (1 + SHUFFLES)


def _range_and_noise(
    logs: NDArray[np.float64], counts: NDArray[np.int64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of trials in the order of their settings, [sweeps, trials]: range of levels, deviation within settings up to a
    factor."""
    sums = np.add.reduceat(logs, np.cumsum(counts) - counts, axis=1)
    within = logs - np.repeat(sums / counts, counts, axis=1)
    return _range(labels[None], counts, sums), np.sqrt((within**2).sum(axis=1))


def _range(
    labels: NDArray[np.int64], counts: NDArray[np.int64], sums: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """Largest less smallest mean of the levels, in logarithms.

    Args:
        labels: [sweeps or 1, settings], the level of each.
        counts: [settings], trials of each.
        sums: [settings] or [sweeps, settings], over the trials of each.
    """
    means = []
    for level in range(int(labels.max()) + 1):
        inside = labels == level
        means.append((inside * sums).sum(axis=1) / (inside * counts).sum(axis=1))
    found: NDArray[np.float64] = np.ptp(np.stack(means), axis=0)
    return found


def _counts(settings: Sequence[_Setting]) -> NDArray[np.int64]:
    return np.array([len(setting.logs) for setting in settings])


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
