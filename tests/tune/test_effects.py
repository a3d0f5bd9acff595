"""An effect counts that is larger than chance: rarely one that is not there, and surely one that is."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tune.plans import found, row
from tune.best import verdicts
from tune.effects import effects, seed_noise
from tune.table import Found, Row

RATE, DECAY = "recipe.generator_learning_rate", "recipe.generator_l2"
SWEEPS = 200


def sweep_of(logs: dict[tuple[float, float], NDArray[np.float64]]) -> Found:
    """Of two options: logarithms of the scores from each seed, by setting."""
    rows: list[Row] = []
    for (rate, decay), scores in logs.items():
        for seed, log in enumerate(scores):
            trial = row(decay, seed, math.exp(log))
            rows.append(trial._replace(trial=f"r{rate}-d{decay}-s{seed}", values={RATE: rate, DECAY: decay}))
    return found(*rows)._replace(options=[RATE, DECAY], base={RATE: 0.0, DECAY: 0.0})


def share_seen(sweeps: Sequence[Found], option: str) -> float:
    told = [next(effect.is_seen for effect in effects(one) if effect.option == option) for one in sweeps]
    return sum(bool(seen) for seen in told) / len(sweeps)


def random_sweep(random: np.random.Generator, planted: float) -> Found:
    """A random search of 16 settings from two seeds; the rate does much, the decay a factor of e**planted."""
    rates, decays = random.random(16), random.integers(4, size=16)
    return sweep_of({
        (rate, decay / 10): 2 * rate + planted * (decay == 3) + 0.1 * random.standard_normal(2)
        for rate, decay in zip(rates.tolist(), decays.tolist(), strict=True)
    })  # fmt: skip


def grid_sweep(random: np.random.Generator, planted: float) -> Found:
    """A grid of 2 by 4 from two seeds, as above."""
    return sweep_of({
        (rate, decay / 10): 2 * rate + planted * (decay == 3) + 0.1 * random.standard_normal(2)
        for rate in (0.0, 1.0) for decay in range(4)
    })  # fmt: skip


@pytest.mark.parametrize("make", [random_sweep, grid_sweep])
def test_noise_is_seldom_taken_for_an_effect_and_an_effect_seldom_for_noise(
    make: Callable[[np.random.Generator, float], Found],
) -> None:
    """5 in 100 false alarms by four levels, whatever the other option does; three deviations more than that are none by
    chance."""
    random = np.random.default_rng(5)
    nothing = [make(random, 0.0) for _ in range(SWEEPS)]
    assert share_seen(nothing, DECAY) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / SWEEPS)
    planted = [make(random, 2.5 if make is random_sweep else 0.5) for _ in range(SWEEPS // 4)]
    assert share_seen(planted, DECAY) > 0.8
    assert share_seen(planted, RATE) > 0.8 or make is random_sweep


def test_of_one_option_the_seeds_tell_what_chance_is() -> None:
    steady = [row(0, seed, 5.0 + seed / 100) for seed in (1, 2)]
    sweep = found(*steady, *(row(1e-4, seed, 9.0 + seed / 100) for seed in (1, 2)))
    (large,) = effects(sweep)
    assert large.is_seen
    assert large.factor == pytest.approx(9.015 / 5.015, rel=1e-3)
    assert "larger than chance (p = " in verdicts(sweep)[-1]
    (small,) = effects(found(row(0, 1, 5.0), row(0, 2, 9.0), row(1e-4, 1, 6.0), row(1e-4, 2, 10.0)))
    assert small.is_seen is False
    assert small.noise is not None
    few = found(row(0, 1, 5.0), row(1e-4, 1, 9.0))
    (unknown,) = effects(few)
    assert unknown.is_seen is None
    assert "too few settings and seeds" in verdicts(few)[-1]
    assert seed_noise(found(row(0, 1, 2.0), row(0, 2, 2.0))) == 1.0


def test_trials_that_were_ended_early_do_not_count() -> None:
    """Their scores are of fewer steps."""
    whole = [row(value, seed, 5.0 + seed) for value in (0, 1e-4) for seed in (1, 2)]
    stopped = [row(value, seed, 50.0, "stopped early") for value in (1e-4, 1e-3) for seed in (3, 4)]
    assert effects(found(*whole, *stopped)) == effects(found(*whole))


def test_a_range_is_looked_at_in_thirds() -> None:
    (effect,) = effects(found(*(row(value / 10, 1, 5.0 + value) for value in range(9))))
    assert [(low, high, count) for low, high, _, count in effect.levels] == [(0, 0.2, 3), (0.3, 0.5, 3), (0.6, 0.8, 3)]
