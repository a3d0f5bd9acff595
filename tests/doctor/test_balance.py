"""Advice on balance: which rate to move and by what factor, from how sure the discriminator is."""

import math

import pytest

from satgan.doctor.balance import AIM, LARGEST_FACTOR, advice
from satgan.doctor.rules import examine
from tests.doctor.records import run_record


def test_the_stronger_network_is_slowed_down() -> None:
    ahead, behind = advice(run_record(), 0.9), advice(run_record(), 0.6)
    assert ahead.option == "discriminator_learning_rate"
    assert ahead.rate == pytest.approx(1.5e-4 * ahead.factor)
    assert behind.option == "generator_learning_rate"
    assert behind.rate == pytest.approx(2e-4 * behind.factor)
    assert ahead.factor < 1
    assert behind.factor < 1


def test_where_it_is_slow_already_the_weaker_one_is_sped_up() -> None:
    slow = run_record(groups={"recipe": {"discriminator_learning_rate": 5e-5}})
    move = advice(slow, 0.97)
    assert move.option == "generator_learning_rate"
    assert move.rate == pytest.approx(2e-4 * move.factor)
    assert move.factor > 1


@pytest.mark.parametrize("sure", [1e-9, 0.1, 0.5, AIM, 0.95, 0.99, 1.0])
def test_the_factor_grows_with_the_distance_and_is_bounded(sure: float) -> None:
    factor = abs(math.log(advice(run_record(), sure).factor))
    assert factor <= math.log(LARGEST_FACTOR) + 1e-9
    nearer = abs(math.log(advice(run_record(), (sure + AIM) / 2).factor))
    assert nearer <= factor
    assert advice(run_record(), AIM).factor == pytest.approx(1.0)


def test_the_findings_action_is_the_advice() -> None:
    record = run_record(numbers=lambda step: {"fake_loss_before": 0.015})
    (finding,) = examine([record])
    assert (finding.rule, finding.action) == ("G04", advice(record, math.exp(-0.015)).text())
    assert "outruns" in finding.found
