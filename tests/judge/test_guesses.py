"""Exact intervals of shares right, and the verdicts they allow."""

from itertools import product
from math import comb, prod

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact
from scipy.stats.contingency import odds_ratio

from satgan.judge.guesses import Estimate, Verdict, answered, fewest_people, marked


@pytest.mark.parametrize(("found", "pairs"), [(0, 4), (3, 4), (4, 4), (21, 32), (32, 32), (40, 100)])
def test_marks_of_one_person_are_fishers_and_cornfields(found: int, pairs: int) -> None:
    table = [[found, pairs - found], [pairs - found, found]]
    estimate = marked(found, pairs)
    assert estimate.p_value == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
    interval = odds_ratio(np.array(table), kind="conditional").confidence_interval(0.95)
    low, high = (1 if np.isinf(odds) else odds**0.5 / (1 + odds**0.5) for odds in interval)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(("right", "answers"), [(0, 10), (30, 50), (10, 10), (964, 1024)])
def test_single_answers_are_clopper_and_pearsons(right: int, answers: int) -> None:
    estimate, reference = answered(right, answers), binomtest(right, answers, alternative="greater")
    interval = binomtest(right, answers).proportion_ci(method="exact")
    assert (estimate.low, estimate.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert estimate.p_value == pytest.approx(reference.pvalue)


def chances(pairs: int, people: int, share: float) -> dict[int, float]:
    """Probability of each number of fakes found by all together, by counting out who finds how many."""
    odds = (share / (1 - share)) ** 2
    one = {found: comb(pairs, found) ** 2 * odds**found for found in range(pairs + 1)}
    total: dict[int, float] = {}
    for each in product(one, repeat=people):
        total[sum(each)] = total.get(sum(each), 0) + prod(one[found] for found in each)
    return {found: weight / sum(total.values()) for found, weight in total.items()}


def test_several_people_are_counted_out() -> None:
    expected = chances(pairs=4, people=3, share=0.5)
    for found in range(13):
        assert marked(found, 4, 3).p_value == pytest.approx(sum(expected[n] for n in range(found, 13)))


@pytest.mark.parametrize("people", [1, 3])
def test_the_interval_holds_the_true_share_as_often_as_it_says(people: int) -> None:
    estimates = [marked(found, 6, people) for found in range(6 * people + 1)]
    for share in np.linspace(0.05, 0.95, 19):
        held = sum(
            chance
            for found, chance in chances(6, people, share).items()
            if estimates[found].low <= share <= estimates[found].high
        )
        assert held >= 0.95


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.3, 0.7, Verdict.UNDECIDED),
        (0.41, 0.7, Verdict.UNDECIDED),
        (0.41, 0.59, Verdict.SAME),
        (0.51, 0.59, Verdict.BARELY),
        (0.51, 0.7, Verdict.APART),
        (0.2, 0.49, Verdict.REVERSED),
    ],
)
def test_a_verdict_follows_from_the_interval(low: float, high: float, verdict: Verdict) -> None:
    assert Estimate(1, 2, low, high, 0.5).verdict is verdict


def test_nobody_alone_can_say_that_32_pairs_cannot_be_told_apart_but_enough_people_can() -> None:
    assert Verdict.SAME not in {marked(found, 32).verdict for found in range(33)}
    for pairs in (5, 8, 32, 100):
        people = fewest_people(pairs)
        assert marked(people * pairs // 2, pairs, people).verdict is Verdict.SAME
        assert people == 1 or marked((people - 1) * pairs // 2, pairs, people - 1).verdict is Verdict.UNDECIDED
