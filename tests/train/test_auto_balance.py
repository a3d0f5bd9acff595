"""`recipe.auto_balance` in a run: off by default, its moves journalled, state of the checkpoint. That the numbers are
those of any other resume, kill and number of workers: test_exactness, test_kills, test_workers, with BALANCED."""

import json
from pathlib import Path
from typing import Any

import pytest

from satgan.config import load_config
from satgan.gallery.record import open_record
from satgan.gallery.report import report_page
from satgan.presets import PRESETS
from satgan.tiles.store import open_store
from satgan.train.examined import examine_run
from satgan.train.observed import observe_run
from satgan.train.start import prepare
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of
from tests.train.options import BALANCED


def moves(url: str) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in (Path(url) / "journal.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry.get("event") == "balance"]


@pytest.mark.parametrize("preset", PRESETS)
def test_it_is_off_by_default(preset: str) -> None:
    assert load_config(preset).recipe.auto_balance == 0


def test_moves_are_noted_and_hold_from_the_next_step_on(make_config: MakeConfig) -> None:
    """Until the first move the numbers are those of a run without it, from then on they are not."""
    done = run(make_config(**BALANCED, train={"log_steps": 1}))
    told = moves(done.run)
    assert [(entry["step"], entry["network"]) for entry in told] == [(step, "discriminator") for step in (6, 9, 12)]
    for before, entry in zip([{"rate": 0.1}, *told], told, strict=False):
        assert (entry["rate_before"], entry["rate"]) == (before["rate"], pytest.approx(before["rate"] / 2))
        assert "the discriminator outran the generator" in entry["why"]
    rates = {step: numbers["learning_rate.discriminator"] for step, numbers in journal_numbers(done.run)}
    assert [rates[step] for step in (6, 7, 9, 10, 12)] == [0.1, 0.05, 0.05, 0.025, 0.025]
    fixed = run(make_config(recipe=BALANCED["recipe"] | {"auto_balance": 0}, train={"name": "fixed", "log_steps": 1}))
    assert moves(fixed.run) == []
    same = [
        all(numbers[name] == value for name, value in usual.items())
        for (_, numbers), (_, usual) in zip(journal_numbers(done.run), journal_numbers(fixed.run), strict=True)
    ]
    assert same == [True] * 6 + [False] * 6


def test_log_report_and_doctor_have_the_moved_rates(make_config: MakeConfig) -> None:
    config = make_config(**BALANCED)
    done = run(config)
    entry = observe_run(open_store(config.train.store), "run")
    rate = config.recipe.generator_learning_rate
    assert entry["rates"] == {"generator": [rate, rate], "discriminator": [0.1, 0.0125]}
    assert entry["moves"] == 3
    assert examine_run(done.run)[1].rates == (rate, 0.0125)
    page = report_page(open_record(done.run))
    assert "the discriminator outran the generator" in page
    assert "Learning rates, as they moved" in page


def test_a_fork_says_that_the_moved_rates_are_not_kept(make_config: MakeConfig) -> None:
    """Without auto_balance nothing moves them any more, and the config's were the ones that did not do."""
    run(make_config(**BALANCED, train={"name": "parent", "steps": 8}))

    def said(name: str, **recipe: float) -> list[str]:
        lines: list[str] = []
        prepare(make_config(recipe=BALANCED["recipe"] | recipe, train={"name": name}), lines.append, "parent")
        return [line for line in lines if line.startswith("learning rates")]

    assert said("same") == []
    for name, rate, recipe in (
        ("fixed", 0.1, {"auto_balance": 0}), ("other", 0.08, {"discriminator_learning_rate": 0.08})
    ):  # fmt: skip
        (line,) = said(name, **recipe)
        assert f"the discriminator's {rate}, 0.05 in the checkpoint" in line


def test_a_fork_keeps_the_moved_rates_unless_it_is_given_others(make_config: MakeConfig) -> None:
    parent = run(make_config(**BALANCED, train={"name": "parent", "steps": 8}))
    assert len(moves(parent.run)) == 1
    whole = run(make_config(**BALANCED, train={"name": "whole", "steps": 12}))

    def forked(name: str, **recipe: float) -> list[dict[str, Any]]:
        config = make_config(recipe=BALANCED["recipe"] | recipe, train={"name": name})
        outcome = run(prepare(config, lambda text: None, "parent")[0])
        if not recipe:
            assert weights_of(outcome.checkpoint) == weights_of(whole.checkpoint)
        return moves(outcome.run)

    assert [entry["rate"] for entry in forked("same")] == [0.025, 0.0125]
    assert [entry["rate_before"] for entry in forked("other", discriminator_learning_rate=0.08)][:1] == [0.08]
