"""Numbers that are not finite never enter a checkpoint: the run stops and says what and where, or is rolled back."""

import json
import weakref
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from satgan.config import Config
from satgan.errors import Diverged, Stopped
from satgan.gan.noise import Draws, draw
from satgan.gan.pair import Pair
from satgan.train.checkpoint import complete_steps
from satgan.train.divergence import wrong_tensors
from satgan.train.loop import train_loop
from satgan.train.retention import regular_step
from satgan.train.run_folder import RunFolder
from satgan.train.watch import Watch
from tests.gan.conftest import make_pair, take_step
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of
from tests.train.processes import Fate, run_processes, ticks_of

POISON = (7, 1)
"""Step (from 0) and lane whose noise is infinite; checkpoints are after steps 5 and 10."""


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the noise of POISON infinite in so many attempts: all that follows is computed."""

    def poison_attempts(attempts: int) -> None:
        def poisoned(config: Config, step: int, lane: int, attempt: int) -> Draws:
            draws = draw(config, step, lane, attempt)
            wrong = (step, lane) == POISON and attempt < attempts
            return draws._replace(noise=torch.full_like(draws.noise, torch.inf)) if wrong else draws

        monkeypatch.setattr("satgan.train.feed.draw", poisoned)

    return poison_attempts


def events_of(config: Config) -> list[dict[str, Any]]:
    lines = (Path(config.train.store) / config.train.name / "journal.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if "event" in entry]


def whole(config: Config) -> list[int]:
    return complete_steps(RunFolder(config.train.store, config.train.name).store)


def test_a_run_that_diverges_stops_and_says_where(make_config: MakeConfig, poison: Any) -> None:
    config = make_config()
    poison(1)
    with pytest.raises(Diverged) as caught:
        run(config)
    for told in ("in step 8", "fake_loss_before = nan", "checkpoints/step-00000005", "--train.on-nan", "--fork"):
        assert told in str(caught.value)
    assert whole(config) == [5]
    assert events_of(config)[-1]["event"] == "diverged"
    assert all(step <= 6 for step, _ in journal_numbers(str(Path(config.train.store) / "run")))


def test_a_rollback_goes_on_with_other_choices(make_config: MakeConfig, poison: Any) -> None:
    untouched = run(make_config(train={"name": "untouched"}))
    poison(2)
    config = make_config(train={"on_nan": "rollback"})
    outcome = run(config)
    told = [entry for entry in events_of(config) if entry["event"] == "rollback"]
    assert [(entry["step"], entry["attempt"], entry["diverged_step"]) for entry in told] == [(5, 1, 8), (5, 2, 8)]
    assert [entry["step"] for entry in events_of(config) if entry["event"] == "diverged"] == [8, 8]
    assert json.loads((Path(outcome.checkpoint) / "state.json").read_text())["attempt"] == 2
    before, after = journal_numbers(untouched.run), journal_numbers(outcome.run)
    assert [step for step, _ in after] == [step for step, _ in before]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False, False, False, False]


def test_a_rollback_holds_no_networks_of_the_attempts_before(
    make_config: MakeConfig, poison: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Pair]] = []
    alive: list[int] = []

    class Counted(Pair):
        def __init__(self, *given: Any) -> None:
            alive.append(sum(one() is not None for one in made))
            super().__init__(*given)
            made.append(weakref.ref(self))

    monkeypatch.setattr("satgan.train.attempt.Pair", Counted)
    poison(2)
    run(make_config(train={"on_nan": "rollback"}))
    assert alive == [0, 0, 0]


@pytest.mark.parametrize("stops", [[7], [3, 6, 7]])
def test_a_rollback_goes_where_it_would_without_stops_and_clock(
    make_config: MakeConfig, poison: Any, stops: list[int]
) -> None:
    """Not to the checkpoint of a stop, though only that is among the newest; and a clock leaves none out."""
    train = {"on_nan": "rollback", "steps": 12, "keep_checkpoints": 1}
    poison(1)
    alone = run(make_config(train=train | {"name": "alone"}))
    config = make_config(train=train | {"checkpoint_seconds": 1000})
    for step in stops:
        taken = count(max((one for one in stops if one < step), default=0) + 1)
        watch = Watch(lambda progress: None, lambda *told: None, stop=lambda: next(taken) == step)  # noqa: B023
        with pytest.raises(Stopped):
            train_loop(config, watch)
        assert whole(config)[-1] == step
    outcome = run(config)
    (told,) = [entry for entry in events_of(config) if entry["event"] == "rollback"]
    assert (told["step"], told["diverged_step"]) == (5, 8)
    assert weights_of(outcome.checkpoint) == weights_of(alone.checkpoint)
    assert journal_numbers(outcome.run) == journal_numbers(alone.run)


def test_where_a_rollback_goes() -> None:
    assert [regular_step(newest, 5, None) for newest in (0, 4, 5, 9, 10)] == [0, 0, 5, 5, 10]
    forked = {"run": "base", "step": 12}
    assert [regular_step(newest, 5, forked) for newest in (12, 14, 15, 17)] == [12, 12, 15, 15]


def test_another_attempt_draws_all_anew(make_config: MakeConfig) -> None:
    recipe = {"history_share": 1.0, "history_capacity": 64, "instance_noise": 0.1}
    config = make_config(recipe=recipe | {"differentiable_augmentation": "color"}, train={"lane_batch": 32})
    first, second = (draw(config, 1000, 1, attempt) for attempt in (0, 1))
    for name, one, other in zip(Draws._fields, first, second, strict=True):
        same = np.array_equal(np.asarray(one), np.asarray(other))
        assert same == (name == "history_turn"), name
    turns = [[draw(make_config(), step, 1, attempt).history_turn for step in range(99)] for attempt in (0, 1)]
    assert turns[0] != turns[1]


def test_rollbacks_have_an_end(make_config: MakeConfig, poison: Any) -> None:
    poison(9)
    config = make_config(train={"on_nan": "rollback", "rollbacks": 2})
    with pytest.raises(Diverged, match=r"after 2 rollback\(s\) in step 8") as caught:
        run(config)
    assert "--train.rollbacks 4" in str(caught.value)
    assert whole(config) == [5]


def test_a_kill_after_a_rollback_changes_nothing(make_config: MakeConfig) -> None:
    """Before the next checkpoint the attempt is not recorded yet: the run diverges again, and is rolled back again."""
    train = {"on_nan": "rollback", "checkpoint_steps": 5, "steps": 20}
    alone = make_config(train=train | {"name": "alone"})
    fate = Fate(poison=(*POISON, 1))
    assert run_processes(alone, fate=fate) == [0]
    last = f"checkpoints/step-{20:08d}"
    for part in (0.3, 0.5, 0.7):
        killed = make_config(train=train | {"name": f"killed-{part}"})
        assert run_processes(killed, fate=fate._replace(kill_at=round(part * ticks_of(alone)))) == [-9]
        assert run_processes(killed, fate=fate) == [0]
        left = [Path(config.train.store) / config.train.name for config in (alone, killed)]
        assert weights_of(str(left[0] / last)) == weights_of(str(left[1] / last))
        assert journal_numbers(str(left[0])) == journal_numbers(str(left[1]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="gloo moves no GPU tensors")
def test_workers_are_rolled_back_together(make_config: MakeConfig, poison: Any) -> None:
    poison(1)
    alone = run(make_config(train={"name": "alone", "on_nan": "rollback"}))
    config = make_config(train={"name": "two", "on_nan": "rollback"})
    assert run_processes(config, 2, Fate(poison=(*POISON, 1))) == [0, 0]
    together = Path(config.train.store) / "two"
    assert weights_of(alone.checkpoint) == weights_of(str(together / "checkpoints/step-00000012"))
    assert journal_numbers(alone.run) == journal_numbers(str(together))


def test_what_overflows_within_adam_is_found_before_a_checkpoint(make_config: MakeConfig) -> None:
    """A penalty so large that the square of its gradient is infinite: the losses are finite all the while."""
    config = make_config(recipe={"discriminator_l2": 1e25})
    with pytest.raises(Diverged, match=r"discriminator Adam \w+ exp_avg_sq: \d+ number"):
        run(config)
    assert whole(config) == []


def test_every_number_of_a_checkpoint_is_looked_at(make_config: MakeConfig) -> None:
    pair = make_pair(make_config(train={"lanes": 1}))
    for step in range(3):
        take_step(pair, step)
    assert not wrong_tensors(pair)
    places = {"generator weights": pair.generator.weights, "averaged generator": pair.average}
    places["discriminator running statistics"] = pair.discriminator.running
    for player in (pair.generator, pair.discriminator):
        for adam, optimizer in player.adams.items():
            state = optimizer.moments
            places |= {f"Adam {adam} {part}": value for part, value in state.items() if part != "step"}
    assert len(places) >= 7
    for name, vector in places.items():
        for wrong in (torch.nan, torch.inf, -torch.inf):
            kept = vector[3].clone()
            vector[3] = wrong
            assert f"{name}: 1 number" in wrong_tensors(pair)
            vector[3] = kept
    pair.average.fill_(3e38)
    assert not wrong_tensors(pair), "large numbers are numbers, though their sum is none"
