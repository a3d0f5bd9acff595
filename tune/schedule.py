"""Who decides what is tried next and what is ended early, on the judge's score, never on a loss."""

import json
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from ray import tune
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule, PopulationBasedTraining, TrialScheduler
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.repeater import Repeater

from satgan.tiles.store import open_store
from tune.plan import EARLY_STOP_NAME, Plan
from tune.space import DIGITS, Parameter
from tune.table import Row

REDUCTION = 3
"""Of the trials that reach a rung of ASHA one in so many goes on; rungs are so many times apart."""

LEAST_SHARE = 1 / 9
"""Of a run's steps that every trial is given."""


class Told:
    """Notes in the store which trials a scheduler ended early: they are not gone on with."""

    plan: Plan

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """As Ray Tune calls it."""
        decision: str = super().on_trial_result(tune_controller, trial, result)  # type: ignore[misc]
        if result["replayed"]:  # it was decided then
            return str(TrialScheduler.CONTINUE)
        if decision == TrialScheduler.STOP and result["step"] < self.plan.base_config.train.steps:
            told = {"step": result["step"], "by": self.plan.stop}
            run = open_store(f"{self.plan.trials_url}/{result['run']}")
            run.write(EARLY_STOP_NAME, json.dumps(told).encode())
        return decision


class _Asha(Told, ASHAScheduler):
    pass


class _Median(Told, MedianStoppingRule):
    pass


def scheduler_of(plan: Plan) -> Any:
    """Ray Tune's, or None."""
    steps, every = plan.base_config.train.steps, plan.base_config.train.checkpoint_steps
    grace = min(steps, every * max(1, math.ceil(LEAST_SHARE * steps / every)))
    common: dict[str, Any] = {"time_attr": "step", "metric": "score", "mode": "min"}
    if plan.space.search == "pbt":
        # Ray Tune draws from these.
        random.seed(plan.seed)
        np.random.seed(plan.seed % 2**32)
        changed: dict[str, Any] = {"given": {one.option: _domain(one) for one in plan.space.parameters}}
        return PopulationBasedTraining(
            **common, perturbation_interval=every, hyperparam_mutations=changed, synch=True, log_config=False,
            custom_explore_fn=lambda config: _within(config, plan.space.parameters),
        )  # fmt: skip
    if plan.stop == "none":
        return None
    scheduler: _Asha | _Median
    if plan.stop == "asha":
        scheduler = _Asha(**common, max_t=steps, grace_period=grace, reduction_factor=REDUCTION, stop_last_trials=False)
    else:
        scheduler = _Median(**common, grace_period=grace)
    scheduler.plan = plan
    return scheduler


def searcher_of(plan: Plan, rows: Sequence[Row]) -> Any:
    """TPE, which knows what was tried before; it sees the mean over the seeds of a setting's best scores.

    Args:
        plan: the sweep's.
        rows: what came of trials of a former attempt.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution
    from optuna.logging import WARNING, set_verbosity

    set_verbosity(WARNING)
    space: dict[str, Any] = {}
    for one in plan.space.parameters:
        low, high = (one.numbers[0], one.numbers[-1])
        space[f"given/{one.option}"] = (
            CategoricalDistribution(range(len(one.numbers)))
            if one.kind == "values"
            else FloatDistribution(low, high, log=one.kind == "log_uniform")
        )
    # A sampler that began anew with the same seed would draw what it drew before.
    seed = (plan.seed + len({json.dumps(row.values) for row in rows})) % 2**32
    searcher = OptunaSearch(space, metric="best", mode="min", seed=seed)
    for point, score in known_points(plan, rows):
        searcher.add_evaluated_point({f"given/{option}": value for option, value in point.items()}, score)
    return Repeater(searcher, repeat=len(plan.seeds))


def known_points(plan: Plan, rows: Sequence[Row]) -> list[tuple[dict[str, float], float]]:
    """Coordinates and mean scores of the settings of which every seed is complete, where they lie in the space."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.state == "complete" and row.score is not None:
            groups.setdefault(json.dumps(row.values), []).append(row)
    found = []
    for group in groups.values():
        point = coordinates(plan, group[0].values)
        if len(group) == len(plan.seeds) and point is not None:
            found.append((point, sum(row.score or 0.0 for row in group) / len(group)))
    return found


def coordinates(plan: Plan, values: dict[str, Any]) -> dict[str, float] | None:
    """Where in the space a setting lies; None where it lies outside, as the base setting may.

    Options with `times: base` are told by the factor on the base's own value, which is right unless that follows
    another option that is varied.
    """
    point: dict[str, float] = {}
    base = plan.trial({}, plan.seeds[0]).values
    for one in plan.space.parameters:
        value = values[one.option]
        if one.kind == "values":
            numbers = [one.value(number, base[one.option]) for number in one.numbers]
            if value not in numbers:
                return None
            point[one.option] = numbers.index(value)
        else:
            number = value / base[one.option] if one.times_base else value
            inside = min(max(number, one.numbers[0]), one.numbers[1])
            if not math.isclose(number, inside, rel_tol=10.0 ** (1 - DIGITS)):  # values are rounded
                return None
            point[one.option] = float(inside)
    return point


def _domain(parameter: Parameter) -> Any:
    if parameter.kind == "values":
        return list(range(len(parameter.numbers)))
    low, high = parameter.numbers
    return tune.loguniform(low, high) if parameter.kind == "log_uniform" else tune.uniform(low, high)


def _within(config: dict[str, Any], parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Members may not be led out of the space, step by step."""
    for one in parameters:
        if one.kind != "values":
            low, high = one.numbers
            config["given"][one.option] = min(max(config["given"][one.option], low), high)
    return config
