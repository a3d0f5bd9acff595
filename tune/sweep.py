"""A sweep from its first trial to its page: what is missing is trained by Ray Tune, what lies in the store is told.

Nothing of it is kept in Ray Tune's own files: `--resume` reads the trials' folders, and starts those that are not done.
Where trials depend on the scores of others (ASHA, median stopping) the done ones tell theirs once more.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import ray
from ray import tune
from ray.tune import FailureConfig, RunConfig, TuneConfig

from satgan.errors import InputError, Stopped
from satgan.tiles.store import S3Store, open_store
from satgan.train.device import cores, decide
from satgan.train.ray_cluster import ray_running, slots_at_most
from satgan.train.ray_job import RAY_FOLDER, s3_filesystem
from satgan.train.stop import StopSignals
from tune.board import WhenSpent, open_sweep_board, watching_sweep
from tune.plan import Plan, record
from tune.population import newest_turn, recorded, run_name
from tune.room import check_placed, machines_of_cluster, trial_needs, trials_at_once, with_shared_prices
from tune.schedule import coordinates, scheduler_of, searcher_of
from tune.table import DONE, Found, Row, row_of, sweep_in, trials_in
from tune.trial_run import run_trial
from tune.trials import Given, Trial, settings, trial_name, trials, values_of

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the trials' own journals have it all
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


class Wave(NamedTuple):
    """Trials that Ray Tune is given together.

    space     its `param_space`
    trials    how many there are
    searches  whether TPE draws them
    """

    space: dict[str, Any]
    trials: int
    searches: bool = False


def known_trials(plan: Plan) -> list[Trial]:
    """The trials that are known before any was run: all of a grid or random sweep, of TPE's the base setting's.

    Raises:
        ConfigError: a setting is impossible.
    """
    if plan.space.search == "pbt":
        return []
    chosen: list[Given] = [{}] if plan.space.search == "tpe" else settings(plan.space, plan.seed)
    return trials(plan.base, plan.space, chosen, plan.seeds)


def sweep(
    plan: Plan, resume: bool, most_at_once: int | None, say: Callable[[str], None]
) -> tuple[Found, Stopped | None]:  # fmt: skip
    """Runs what is missing of a sweep, or what its budget (`train.budget`, of all trials together) pays for.

    Args:
        plan: what is to be done.
        resume: whether it may have been begun.
        most_at_once: trials that run together; None: as many as there is room for.
        say: takes lines for the user.

    Returns:
        The sweep as it lies in its store, and, where the budget left something undone, what there is to say of it.

    Raises:
        Stopped: by Ctrl-C, SIGTERM or SIGHUP.
        InputError: no room, the sweep's name is taken, or its budget was spent before.
        StoreError: the store cannot be written.
    """
    known = known_trials(plan)
    there = record(plan, [trial.name for trial in known], resume)
    if resume and not there:
        say(f"no sweep in {plan.url} yet: it begins")
    if waves := _waves(plan, known, rows := rows_of(plan)):
        budget, paid = plan.base_config.train.budget, {row.trial: row.dollars for row in rows}
        if budget is not None and sum(paid.values()) >= budget:
            raise InputError(*_spent(plan, sum(paid.values())))
        dollars = _run(plan, waves, most_at_once, paid, say)
        if budget is not None and dollars >= budget and _waves(plan, known, rows := rows_of(plan)):
            paid_at_last = sum(row.dollars for row in rows)  # saving has cost something, too
            return sweep_in(plan.url), Stopped(*_spent(plan, max(dollars, paid_at_last)))
    return sweep_in(plan.url), None


def _spent(plan: Plan, dollars: float) -> tuple[str, str]:
    found = f"{plan.url} has cost {dollars:.2f} USD, its budget is {plan.base_config.train.budget:g} USD"
    return found, "--resume with a larger --budget goes on"


def _waves(plan: Plan, known: list[Trial], rows: list[Row]) -> list[Wave]:
    """What is left to do, in order."""
    if plan.space.search == "pbt":
        return _members(plan, {row.trial for row in rows if row.state in DONE})
    done = {row.trial for row in rows if row.state in DONE}
    left = 0
    if plan.space.search == "tpe":
        base = {trial.name for trial in known}
        begun = {json.dumps(row.values): row.values for row in rows if row.trial not in base}
        known = known + [_again(plan, values, seed) for values in begun.values() for seed in plan.seeds]
        left = max(0, plan.space.trials - len(begun)) * len(plan.seeds)
    chosen = [trial for trial in known if trial.name not in done]
    if plan.stop != "none" and (chosen or left):  # those that ran tell their scores first: the rungs are as they were
        ran = {row.trial for row in rows if row.state in ("complete", "stopped early")}
        chosen = [trial for trial in known if trial.name in ran] + chosen
    listed = [{"values": trial.values, "seed": trial.seed} for trial in chosen]
    waves = [Wave({"trial": tune.grid_search(listed)}, len(listed))] if listed else []
    return [*waves, Wave({}, left, searches=True)] if left else waves


def _again(plan: Plan, values: dict[str, Any], seed: int) -> Trial:
    return plan.base.run(values, seed, trial_name(values, seed))


def _members(plan: Plan, done: set[str]) -> list[Wave]:
    """The population as it was left, or as it is drawn; the base setting is a member where it lies in the space."""
    chosen = settings(plan.space, plan.seed)
    inside = coordinates(plan, plan.trial({}, plan.seeds[0]).values) is not None
    begun, names = [], set()
    for member, given in enumerate(chosen[: plan.space.trials] if inside else chosen[1:]):
        turn, seed = newest_turn(plan, member), plan.seeds[member % len(plan.seeds)]
        names.add(name := run_name(member, max(turn, 0), seed))
        before = recorded(plan, name) if turn >= 0 else None
        values = values_of(before[0], plan.space.options) if before else plan.trial(given, seed).values
        point = coordinates(plan, values)
        assert point is not None, f"{name} has left the space"
        begun.append(point)
    return [] if names <= done else [Wave({"given": tune.grid_search(begun)}, len(begun))]


def _run(
    plan: Plan, waves: list[Wave], most_at_once: int | None, paid: dict[str, float], say: Callable[[str], None]
) -> float:  # fmt: skip
    """Returns USD that the sweep has cost, with what was `paid` for trials before."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with ray_running(plan.base_config) as gpus, TemporaryDirectory(prefix="satgan-tune-") as scratch:
        plan = _on_devices(plan, gpus)
        total = sum(wave.trials for wave in waves)
        at_once = min(total, trials_at_once(plan, machines_of_cluster(), gpus, most_at_once, slots_at_most))
        say(f"{total} trial(s), {at_once} at a time")
        check_placed(plan, at_once, gpus)
        plan = with_shared_prices(plan, at_once)
        budget = plan.base_config.train.budget
        board = open_sweep_board(budget, paid)
        unit = (float(plan.workers) or (plan.gpus if gpus else plan.cpus) or 0.0, "GPU" if gpus else "core")
        with StopSignals() as signals, watching_sweep(board, total, at_once, unit, budget, signals):
            try:
                for wave in waves:
                    _fit(plan, wave, at_once, board, scratch)
            except KeyboardInterrupt:
                raise _stopped(plan, "its trials keep the checkpoints that were written before") from None
        if signals.wished:
            raise _stopped(plan, "its trials have saved")
        return float(ray.get(board.dollars.remote()))


def _stopped(plan: Plan, kept: str) -> Stopped:
    found = f"the sweep {plan.name} was stopped; {kept}"
    return Stopped(found, "the same command with --resume finishes it; `satgan best` tells what there is")


def _fit(plan: Plan, wave: Wave, at_once: int, board: Any, scratch: str) -> None:
    needs = trial_needs(plan)
    work = partial(run_trial, plan=plan, board=board)
    searcher = searcher_of(plan, rows_of(plan)) if wave.searches else None
    tuner = tune.Tuner(
        tune.with_resources(work, {"cpu": needs["CPU"], "gpu": needs.get("GPU", 0)}),
        param_space=wave.space,
        tune_config=TuneConfig(
            num_samples=wave.trials if wave.searches else 1, search_alg=searcher, scheduler=scheduler_of(plan),
            # Members of a population take turns on what room there is: they must all have begun to be compared.
            max_concurrent_trials=None if plan.space.search == "pbt" else at_once, reuse_actors=plan.workers < 2,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=_run_config(plan, scratch, board),
    )  # fmt: skip
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    tuner.fit()


def rows_of(plan: Plan) -> list[Row]:
    """The trials that have begun."""
    return [row_of(run, plan.space.options) for run in trials_in(open_store(plan.url))]


def _run_config(plan: Plan, scratch: str, board: Any) -> RunConfig:
    """Ray Tune's own files: a population's pointers must be seen by all machines, others are of no use later."""
    failures = FailureConfig(max_failures=plan.base_config.train.restarts)
    place, filesystem = scratch, None
    if plan.space.search == "pbt":
        store = open_store(plan.url)
        place = f"{plan.url}/{RAY_FOLDER}"
        if isinstance(store, S3Store):
            place, filesystem = place.removeprefix("s3://"), s3_filesystem(store)
    return RunConfig(
        name=f"tune-{os.getpid()}-{int(time.time())}", storage_path=place, storage_filesystem=filesystem,
        failure_config=failures, verbose=0, stop=WhenSpent(board),
    )  # fmt: skip


def _on_devices(plan: Plan, gpus: bool) -> Plan:
    """With what a trial computes on decided: a GPU where there are some, else the cores that its lanes keep busy.

    Raises:
        InputError: a share of a GPU where there is none, or none where there are some.
    """
    if plan.gpus and not gpus:
        found = f"--gpus-per-trial {plan.gpus:g}, but the cluster has no GPU"
        raise InputError(found, "leave it out: trials then compute on the CPU")
    if plan.gpus == 0 and gpus:
        raise InputError("--gpus-per-trial 0, but trials compute on GPUs where there are some", "give a share above 0")
    train = decide(plan.base_config).train
    assert train.threads_per_lane is not None
    cpus = 1.0 if gpus else float(min(cores(), train.lanes * train.threads_per_lane))
    return plan._replace(gpus=float(gpus) if plan.gpus is None else plan.gpus, cpus=cpus)


if __name__ == "__main__":
    from satgan.__main__ import main

    sys.exit(main(["sweep", *sys.argv[1:]]))
