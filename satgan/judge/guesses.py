"""How sure one can be of a share of right answers: exact intervals, and what they allow to say.

Whoever is told that half of the tiles are fakes and marks as many does what Fisher's lady did who tasted tea (The
Design of Experiments, 1935, II): given both margins the number of fakes found follows the noncentral hypergeometric
distribution, whose odds ratio has an exact interval (Cornfield 1956); for several people with a common odds ratio the
distribution of their sum has (Gart 1970). A guess by which a share p of the fakes and of the reals is put where it
belongs has odds ratio (p / (1 - p))², which turns that interval into one of shares. Answers that do not hang together
are binomial, with the exact interval of Clopper and Pearson (1934).
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
MARGIN = 0.1
"""Shares nearer to 1/2 than this count as guessing: who cannot be told apart is decided by equivalence (Schuirmann
1987: two one-sided tests), here with the whole interval inside the margin, so each at 2.5 %."""

POINTS = f"{100 * MARGIN:.0f} points"

WIDEST_LOGIT = 40.0
HALVINGS = 60

Weights = NDArray[np.float64]


class Verdict(Enum):
    """What an interval of the share of right answers allows to say."""

    APART = "The fakes can be told from the real tiles."
    BARELY = f"The fakes can be told from the real tiles, but barely: less than {POINTS} above guessing."
    REVERSED = "The fakes can be told from the real tiles, but they are the ones taken for real."
    SAME = f"The fakes cannot be told from the real tiles: within {POINTS} of guessing."
    UNDECIDED = "Too few answers to say whether the fakes can be told from the real tiles."


class Estimate(NamedTuple):
    """A share of right answers.

    Attributes:
        right: right answers.
        answers: all answers.
        low: lower end of the exact 95 % interval of the share.
        high: its upper end.
        p_value: the probability to be right so often or more often by guessing.
    """

    right: int
    answers: int
    low: float
    high: float
    p_value: float

    @property
    def share(self) -> float:
        """Of right answers, 0 to 1."""
        return self.right / self.answers

    @property
    def verdict(self) -> Verdict:
        """What the interval allows to say."""
        if self.low > 0.5:
            return Verdict.BARELY if self.high < 0.5 + MARGIN else Verdict.APART
        if self.high < 0.5:
            return Verdict.REVERSED
        is_inside = self.low > 0.5 - MARGIN and self.high < 0.5 + MARGIN
        return Verdict.SAME if is_inside else Verdict.UNDECIDED

    def as_dict(self) -> dict[str, Any]:
        """Under names, for JSON."""
        return {**self._asdict(), "share": self.share, "verdict": self.verdict.name.lower()}


def marked(found: int, pairs: int, people: int = 1) -> Estimate:
    """The share right of people who each marked `pairs` of as many fakes and as many reals.

    Of the marked tiles as many are reals as fakes were missed, so this is the share of the fakes found and of all
    tiles called right.

    Args:
        found: fakes that were marked, by all together.
        pairs: N fakes and N reals on the sheet, each person marks N.
        people: who saw it; their odds are taken to be alike.
    """

    def distribution(logit: float) -> Weights:
        return _sum_of(_binomial_powers(pairs, logit, power=2), people)

    return _estimate(distribution, found, people * pairs)


def answered(right: int, answers: int) -> Estimate:
    """The share right of independent answers, of which guessing gets half."""
    return _estimate(lambda logit: _binomial_powers(answers, logit, power=1), right, answers)


def fewest_people(pairs: int) -> int:
    """How many must mark a sheet before `SAME` can be the verdict, if they are right half the time."""
    people = 1
    while marked(people * pairs // 2, pairs, people).verdict is not Verdict.SAME:
        people += 1
    return people


def _binomial_powers(count: int, logit: float, power: int) -> Weights:
    """Probabilities of 0 to `count` right answers, in proportion to (C(count, right) e^(logit · right))^power."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    logs = power * (logit * np.arange(count + 1) - factorials - factorials[::-1])
    weights = np.exp(logs - logs.max())
    chances: Weights = weights / weights.sum()
    return chances


def _sum_of(one: Weights, people: int) -> Weights:
    """The distribution of the sum of `people` numbers that each have the distribution `one`."""
    total = np.ones(1)
    for bit in f"{people:b}":
        total = np.convolve(total, total)
        if bit == "1":
            total = np.convolve(total, one)
    return total


def _estimate(distribution: Callable[[float], Weights], right: int, answers: int) -> Estimate:
    assert 0 <= right <= answers, (right, answers)
    outside = (1 - CONFIDENCE) / 2
    low = 0.0 if right == 0 else _share_where(lambda logit: distribution(logit)[right:].sum() > outside)
    high = 1.0 if right == answers else _share_where(lambda logit: distribution(logit)[: right + 1].sum() < outside)
    return Estimate(right, answers, low, high, min(1.0, float(distribution(0.0)[right:].sum())))


def _share_where(is_above: Callable[[float], bool]) -> float:
    """The share, as 1 / (1 + e^-logit), above which `is_above`."""
    low, high = -WIDEST_LOGIT, WIDEST_LOGIT
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_above(middle) else (middle, high)
    return float(1 / (1 + np.exp(-high)))
