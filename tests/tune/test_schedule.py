"""Who decides what is tried next knows what was tried, and decides by the judge's score."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from satgan.config import load_config
from tests.tune.plans import plan_of, row
from tune.plan import Stop
from tune.schedule import coordinates, known_points, scheduler_of, searcher_of
from tune.space import space_from
from tune.table import Row

pytestmark = pytest.mark.filterwarnings("ignore")
VARY = {
    "recipe.generator_learning_rate": {"log_uniform": [0.1, 10], "times": "base"},
    "recipe.path_threshold": {"uniform": [0.4, 1.0]},
    "gan.filters": {"values": [0.5, 1, 2], "times": "base"},
}
PLAN = plan_of(space=space_from({"vary": VARY, "search": "tpe"}))


def tried(given: dict[str, Any], seed: int, score: float | None, state: str = "complete") -> Row:
    trial = PLAN.trial(given, seed)
    return row(0, seed, score, state, trial=trial.name, values=trial.values)


def test_a_setting_lies_where_it_was_taken_from() -> None:
    for share in (0.0, 0.3, 0.999):
        given = {one.option: one.at(share) for one in PLAN.space.parameters}
        point = coordinates(PLAN, PLAN.trial(given, 1).values)
        assert point is not None
        again = {one.option: one.given(point[one.option]) for one in PLAN.space.parameters}
        assert PLAN.trial(again, 1).values == PLAN.trial(given, 1).values
    assert coordinates(PLAN, PLAN.trial({}, 1).values | {"recipe.path_threshold": 0.1}) is None


def test_tpe_is_told_the_mean_of_settings_that_are_complete_from_every_seed() -> None:
    given = {one.option: one.at(0.5) for one in PLAN.space.parameters}
    other = {one.option: one.at(0.1) for one in PLAN.space.parameters}
    rows = [tried(given, 1, 4.0), tried(given, 2, 6.0), tried(other, 1, 3.0), tried(other, 2, None, "diverged")]
    ((point, score),) = known_points(PLAN, rows)
    assert score == 5.0
    assert point["gan.filters"] == 1


def test_tpe_repeats_a_suggestion_for_every_seed_and_does_not_begin_anew_when_it_is_resumed() -> None:
    pytest.importorskip("optuna")
    first, again = (searcher_of(PLAN, []).suggest("a") for _ in range(2))
    assert first == again
    searcher = searcher_of(PLAN, [])
    pair = [searcher.suggest(name) for name in ("a", "b")]
    assert pair[0]["given"] == pair[1]["given"]
    assert [one["__trial_index__"] for one in pair] == [0, 1]
    given = {one.option: one.given(first["given"][one.option]) for one in PLAN.space.parameters}
    resumed = searcher_of(PLAN, [tried(given, 1, 4.0), tried(given, 2, 5.0)]).suggest("a")
    assert resumed["given"] != first["given"]


def test_what_a_scheduler_ends_is_noted_and_what_was_decided_before_is_not_decided_again(tmp_path: Path) -> None:
    """A resumed sweep tells the scores of done trials once more: the rungs know them, and none of them ends by it."""
    config = load_config("demo", {"train": {"store": str(tmp_path), "steps": 9, "checkpoint_steps": 1}})
    scheduler = scheduler_of(PLAN._replace(stop="asha", base_config=config))
    decided = {}
    for name, score, replayed in (("good", 2.0, True), ("bad", 9.0, True), ("new", 8.0, False), ("better", 1.0, False)):
        trial = SimpleNamespace(trial_id=name)
        scheduler.on_trial_add(None, trial)
        result = {"step": 1, "score": score, "run": name, "replayed": replayed}
        decided[name] = scheduler.on_trial_result(None, trial, result)
    assert decided == {"good": "CONTINUE", "bad": "CONTINUE", "new": "STOP", "better": "CONTINUE"}
    (note,) = (tmp_path / "x" / "trials").rglob("*.json")
    assert note.parent.name == "new"
    assert json.loads(note.read_text()) == {"step": 1, "by": "asha"}


@pytest.mark.parametrize("stop", ["asha", "median"])
def test_schedulers_look_at_the_score_alone(stop: Stop) -> None:
    scheduler = scheduler_of(PLAN._replace(stop=stop))
    assert (scheduler._metric, scheduler._mode, scheduler._time_attr) == ("score", "min", "step")
    assert scheduler_of(PLAN) is None
