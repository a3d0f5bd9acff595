"""Rates that move by themselves (G04): when, in which direction, and within which bounds."""

import math

import pytest

from satgan.gan.balance import AHEAD, BEHIND, FACTOR_AT_ONCE, FACTOR_IN_ALL, Balance, Moved, Rates, rebalanced

FIRST, BATCH, EVERY = Rates(2e-4, 1.5e-4), 64, 5
SURE_LOSS, FOOLED_LOSS, USUAL_LOSS = 0.001, 5.0, 0.3


def moves(loss: float, decisions: int, first: Rates = FIRST) -> list[Moved]:
    """The moves that follow from so many windows of one loss."""
    balance, found = Balance(first), []
    for step in range(1, decisions * EVERY + 1):
        balance, moved = rebalanced(balance, loss, EVERY, first, BATCH)
        assert moved is None or step % EVERY == 0
        found += [moved] if moved else []
    return found


def test_the_stronger_one_is_slowed_down_and_what_is_in_balance_stays() -> None:
    (ahead,), (behind,) = moves(SURE_LOSS, 1), moves(FOOLED_LOSS, 1)
    assert (ahead.network, ahead.rate) == ("discriminator", FIRST.discriminator / 2)
    assert (behind.network, behind.rate) == ("generator", FIRST.generator / 2)
    assert "discriminator outran" in ahead.why()
    assert "generator outran" in behind.why()
    assert moves(USUAL_LOSS, 10) == []


@pytest.mark.parametrize(("beyond", "within"), [(AHEAD + 1e-3, AHEAD - 1e-3), (BEHIND - 1e-3, BEHIND + 1e-3)])
def test_the_limits_are_the_doctors(beyond: float, within: float) -> None:
    assert len(moves(-math.log(beyond), 1)) == 1
    assert moves(-math.log(within), 1) == []


@pytest.mark.parametrize("loss", [SURE_LOSS, FOOLED_LOSS, 1e-9, 50.0])
@pytest.mark.parametrize("first", [FIRST, Rates(0.3, 0.3), Rates(1e-6, 1e-6), Rates(0.3, 1e-6)])
def test_no_move_and_no_series_of_moves_leaves_its_bounds(loss: float, first: Rates) -> None:
    """Once there is no room left for either rate nothing moves."""
    found = moves(loss, 40, first)
    assert 4 <= len(found) < 20
    for moved in found:
        assert max(moved.rate / moved.rate_before, moved.rate_before / moved.rate) <= FACTOR_AT_ONCE * 1.01
        config = getattr(first, moved.network)
        in_all = max(moved.rate / config, config / moved.rate)
        assert in_all <= FACTOR_IN_ALL * (1 + 1e-6)
        assert moved.rate <= 1.0


def test_one_odd_step_moves_nothing() -> None:
    balance = Balance(FIRST)
    for step in range(100):
        balance, moved = rebalanced(balance, 20.0 if step == 50 else USUAL_LOSS, EVERY, FIRST, BATCH)
        assert moved is None


def test_a_loss_that_is_no_number_moves_nothing() -> None:
    """The run ends for it; that shall be what its user is told."""
    assert moves(math.nan, 3) == []
