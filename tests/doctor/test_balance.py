"""Advice on balance: which rate to move and by what factor, from how sure the discriminator is."""

import math

import pytest

from satgan.doctor.balance import advice
from satgan.doctor.rules import examine
from satgan.gan.balance import AIM, LARGEST_FACTOR
from tests.doctor.records import run_record


def test_the_stronger_network_is_slowed_down() -> None:
    ahead, behind = advice(run_record(), 0.9), advice(run_record(), 0.6)
    assert ahead.network == "discriminator"
    assert ahead.rate == pytest.approx(1.5e-4 * ahead.factor)
    assert behind.network == "generator"
    assert behind.rate == pytest.approx(2e-4 * behind.factor)
    assert ahead.factor < 1
    assert behind.factor < 1


def test_where_it_is_slow_already_the_weaker_one_is_sped_up() -> None:
    slow = run_record(groups={"recipe": {"discriminator_learning_rate": 5e-5}})
    move = advice(slow, 0.97)
    assert move.network == "generator"
    assert move.rate == pytest.approx(2e-4 * move.factor)
    assert move.factor > 1


@pytest.mark.parametrize("sure", [1e-9, 0.1, 0.5, AIM, 0.95, 0.99, 1.0])
def test_the_factor_grows_with_the_distance_and_is_bounded(sure: float) -> None:
    factor = abs(math.log(advice(run_record(), sure).factor))
    assert factor <= math.log(LARGEST_FACTOR) + 1e-9
    nearer = abs(math.log(advice(run_record(), (sure + AIM) / 2).factor))
    assert nearer <= factor
    assert advice(run_record(), AIM).factor == pytest.approx(1.0)


def test_advice_starts_from_the_rates_as_they_are() -> None:
    """Not from the config's, where recipe.auto_balance has moved them since."""
    moved = run_record(numbers=lambda step: {"learning_rate.discriminator": 1.2e-4})
    assert moved.rates == (2e-4, 1.2e-4)
    assert advice(moved, 0.9).rate == pytest.approx(1.2e-4 * advice(moved, 0.9).factor)


def test_the_findings_action_is_the_advice() -> None:
    record = run_record(numbers=lambda step: {"fake_loss_before": 0.015})
    (finding,) = examine([record])
    assert (finding.rule, finding.action) == ("G04", advice(record, math.exp(-0.015)).text())
    assert "outruns" in finding.found
