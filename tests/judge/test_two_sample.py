"""The machine that learns to tell fakes from reals."""

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from satgan.judge.guesses import Verdict
from satgan.judge.two_sample import tell_apart
from tests.judge.damage import DAMAGES, synthetic

TILES, KINDS = synthetic(320, 16)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other spin, which on busy cores takes seconds for what takes one thread none."""
    with threadpool_limits(1):
        yield


def test_tiles_of_one_kind_are_told_apart_as_seldom_as_the_p_value_says() -> None:
    chance = np.random.Generator(np.random.Philox(1))
    found = []
    for _ in range(12):
        order = chance.permutation(len(TILES))
        found.append(tell_apart(TILES[order[:160]], TILES[order[160:]]).p_value)
    assert np.mean(np.array(found) < 0.1) <= 0.25  # 0.1 expected; more than 3 of 12 by chance: 2.6 %
    assert 0.25 < np.mean(found) < 0.85


@pytest.mark.parametrize("name", ["blur", "noise", "checkerboard"])
def test_damage_is_learned(name: str) -> None:
    damaged = DAMAGES[name](TILES[:160], KINDS[:160], 1)
    estimate = tell_apart(damaged, TILES[160:])
    assert estimate.verdict is Verdict.APART
    assert estimate.answers == 160


def test_which_side_is_called_fake_does_not_matter() -> None:
    damaged = DAMAGES["colour"](TILES[:160], KINDS[:160], 0)
    one, other = tell_apart(damaged, TILES[160:]), tell_apart(TILES[160:], damaged)
    assert one.share == pytest.approx(other.share, abs=0.1)  # the random network is scaled on the reals
