"""The doctor beside a run: it finds what was broken on purpose while the run goes on, and notes it once."""

import json
from pathlib import Path
from typing import Any

import pytest

from satgan.config import Config
from satgan.doctor.rules import examine
from satgan.tiles.shards import pack
from satgan.train.checkup import Checkup, found_in
from satgan.train.examined import examine_run, first_difference
from satgan.train.loop import train_loop
from satgan.train.progress import Progress
from satgan.train.run_folder import RunFolder
from satgan.train.told import told_by
from satgan.train.watch import Watch
from tests.train.conftest import MakeConfig, made_tiles, run

STILL = {"discriminator_learning_rate": 1e-9}
STEPS = {"log_steps": 20, "checkpoint_steps": 100, "film_steps": 50, "lanes": 2}


def watched(config: Config) -> tuple[list[str], list[Progress]]:
    said: list[str] = []
    shown: list[Progress] = []
    train_loop(config, Watch(progress=shown.append, checkpoint=lambda *told: None, say=said.append))
    return said, shown


def findings(config: Config) -> list[dict[str, Any]]:
    lines = (Path(config.train.store) / config.train.name / "journal.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry.get("event", "").startswith("finding")]


def test_a_discriminator_that_does_not_learn_is_found_while_the_run_goes_on(make_config: MakeConfig) -> None:
    config = make_config(recipe=STILL, train=STEPS | {"steps": 220})
    said, shown = watched(config)
    told = [entry for entry in findings(config) if entry["rule"] == "S36"]
    assert [(entry["step"], entry["level"], entry["since_step"]) for entry in told] == [(200, "error", 200)]
    assert told[0]["action"] == "--recipe.discriminator-learning-rate 0.00015"
    assert sum("S36 error" in line for line in said) == 1
    assert "S36 error" in shown[-1].text()
    assert "S36" not in shown[0].text()


def test_a_regularizer_that_is_the_loss_is_an_error_and_the_usual_one_is_none(make_config: MakeConfig) -> None:
    train = STEPS | {"steps": 100, "log_steps": 10}
    for constant, found in ((1e-4, []), (1.0, [("S25", "error", 10)])):
        l2 = {"generator_l2": constant, "discriminator_l2": constant}
        config = make_config(recipe=l2, train=train | {"name": f"l2-{constant}"})
        watched(config)
        told = [(entry["rule"], entry["level"], entry["since_step"]) for entry in findings(config)]
        assert [one for one in told if one[0] != "S07"] == found


def test_rates_far_too_high_are_found(make_config: MakeConfig) -> None:
    rates = {"generator_learning_rate": 0.1, "discriminator_learning_rate": 0.1}
    config = make_config(recipe=rates, train=STEPS | {"steps": 400})
    watched(config)
    told = findings(config)
    assert "S31" in {entry["rule"] for entry in told}
    assert "error" in {entry.get("level") for entry in told}


def test_a_set_of_three_tiles_is_an_error_at_the_first_checkpoint(make_config: MakeConfig, tmp_path: Path) -> None:
    few = str(tmp_path / "few")
    pack(made_tiles(3), few, size=16, channels=3, seed=1, source="made", cut={})
    config = make_config(tiles={"source": few}, train={"lanes": 1, "steps": 6})
    watched(config)
    assert [(entry["rule"], entry["level"], entry["step"]) for entry in findings(config)] == [("S07", "error", 5)]


def test_a_finding_is_noted_once_though_the_run_is_stopped_and_resumed(make_config: MakeConfig) -> None:
    watched(make_config(recipe=STILL, train=STEPS | {"steps": 200}))
    config = make_config(recipe=STILL, train=STEPS | {"steps": 240})
    said, shown = watched(config)
    assert [entry["step"] for entry in findings(config) if entry["rule"] == "S36"] == [200]
    assert not any("S36" in line for line in said)
    assert "S36 error" in shown[-1].text()


def test_an_info_comes_after_warnings_and_is_not_in_the_progress_line(make_config: MakeConfig) -> None:
    checkup, found = Checkup(make_config()), []
    for rule, level in (("S27", "info"), ("S04", "warning"), ("S36", "error")):
        found.append({"step": 9, "event": "finding", "rule": rule, "level": level})
        checkup.hear(found[-1])
    assert checkup.summary() == "S36 error, S04 warning"
    assert [one["rule"] for one in found_in(found)] == ["S36", "S04", "S27"]


def test_what_is_over_is_noted(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile set's size cannot change while a run goes on; the limit can, here."""
    from satgan.doctor.limits import LIMITS

    usual = LIMITS["S07", "few"]
    config = make_config(train=STEPS | {"steps": 100})
    watched(config)
    monkeypatch.setitem(LIMITS, ("S07", "few"), usual._replace(warning=10.0))
    config = make_config(train=STEPS | {"steps": 200})
    watched(config)
    assert [(entry["event"], entry["step"]) for entry in findings(config)] == [("finding", 100), ("finding_over", 200)]


def test_a_run_is_examined_from_its_record(make_config: MakeConfig) -> None:
    config = make_config(recipe=STILL, train=STEPS | {"steps": 220})
    outcome = run(config)
    (Path(outcome.run) / "film.png").unlink()
    about_config, record = examine_run(outcome.run)
    assert about_config.config.recipe.discriminator_learning_rate == 1e-9
    assert (record.checkpoints, record.pictures) == (3, 5)
    assert len(record.entries) == 11
    assert "S36" in {finding.rule for finding in examine([record])}


def test_two_runs_of_one_config_that_differ_are_twins(make_config: MakeConfig) -> None:
    """S06: the same seed must give the same numbers; a number that was changed is found, another seed is no twin."""
    train = {"steps": 12, "log_steps": 2}
    for name, seed in (("first", 1234), ("second", 1234), ("third", 7)):
        run(make_config(train=train | {"name": name, "seed": seed}))
    store = Path(make_config().train.store)
    assert examine_run(str(store / "first"))[1].twin is None
    journal = store / "second" / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line.get("step") == 8 and "numbers" in line:
            line["numbers"]["real_loss_before"] += 1e-6
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert examine_run(str(store / "first"))[1].twin == ("second", 8)
    assert examine_run(str(store / "third"))[1].twin is None


def test_the_first_difference_is_that_of_steps_both_have_logged(make_config: MakeConfig) -> None:
    told = {}
    for name, log_steps in (("often", 2), ("seldom", 3)):
        run(make_config(train={"name": name, "log_steps": log_steps, "steps": 12}))
        told[name] = told_by(RunFolder(make_config().train.store, name).store).entries
    assert first_difference(told["often"], told["seldom"]) is None
    assert {entry.step for entry in told["often"]} & {entry.step for entry in told["seldom"]} == {6, 12}
