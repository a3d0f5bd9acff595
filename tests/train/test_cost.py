"""What a run costs is counted over all attempts, and a spent budget stops it with a checkpoint."""

import json
from pathlib import Path
from typing import Any

import pytest

from satgan.config import load_config
from satgan.errors import ConfigError, InputError, Stopped
from satgan.tiles.store import open_store
from satgan.train import cost
from satgan.train.checkpoint import complete_steps
from satgan.train.checkup import Checkup
from satgan.train.journal import dollars_in
from satgan.train.journal_writer import Journal
from satgan.train.ray_board import Noticeboard
from satgan.train.run_folder import RunFolder
from satgan.train.start import prepare
from satgan.train.troubles import Troubles
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of

AN_HOUR = 3600.0
PRICED = {"worker_price": 1.0 * AN_HOUR, "head_price": 0.5 * AN_HOUR}
"""A run of tests costs 1.5 USD per second."""


def entries(url: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(url) / "journal.jsonl").read_text().splitlines()]


def test_a_spent_budget_stops_with_a_checkpoint_and_a_larger_one_goes_on(make_config: MakeConfig) -> None:
    """The numbers are those of a run that was never stopped; the second bill begins where the first ended."""
    whole = run(make_config(train={"name": "whole"}))
    assert whole.dollars is None
    assert not any("dollars" in str(entry) for entry in entries(whole.run))
    with pytest.raises(Stopped, match=r"the budget of 1e-06 USD is spent: stopped after step 1 of 12"):
        run(make_config(train=PRICED | {"budget": 1e-6}))
    store = open_store(whole.run.replace("whole", "run"))
    assert complete_steps(store) == [1]
    paid = dollars_in(store.read("journal.jsonl"))
    assert paid > 1e-6
    with pytest.raises(InputError, match="its budget is 1e-06 USD"):
        prepare(make_config(train=PRICED | {"budget": 1e-6}), lambda text: None)
    config, step = prepare(make_config(train=PRICED | {"budget": 1e6}), lambda text: None)
    assert step == 1
    done = run(config)
    assert done.dollars is not None
    assert done.dollars > paid
    told = [entry["timing"]["dollars"] for entry in entries(done.run) if "timing" in entry]
    assert told == sorted(told)
    assert paid < told[0] < told[-1] < done.dollars
    assert weights_of(done.checkpoint) == weights_of(whole.checkpoint)
    assert journal_numbers(done.run) == journal_numbers(whole.run)


def test_what_a_kill_took_from_the_journal_was_paid_all_the_same(make_config: MakeConfig) -> None:
    """Lines after the checkpoint that a run resumes from are dropped, their cost is not."""
    config = make_config()
    folder = RunFolder(config.train.store, config.train.name)
    troubles = Troubles(print)
    with Journal(folder, 0, troubles, Checkup(config), config) as journal:
        journal.numbers(2, {"loss": 1.0}, {"dollars": 2.0})
        journal.numbers(4, {"loss": 1.0}, {"dollars": 4.0})
    with Journal(folder, 2, troubles, Checkup(config), config) as journal:
        assert journal.dollars == 4.0
        journal.event(3, "stop", dollars=4.5)
    assert dollars_in(folder.store.read("journal.jsonl")) == 4.5
    assert dollars_in(b'{"step": 1}\n{"step": 2, "timing": {"dollars": 9') == 0.0


def test_the_bill_goes_on_while_workers_are_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers for 10 s, then one for 10 s; the journal of the attempt before had less, or nothing."""
    now = 100.0
    monkeypatch.setattr("satgan.train.ray_board.time.monotonic", lambda: now)
    board = Noticeboard()
    now = 150.0  # what is before the first workers does not count
    assert board.bill(2.0, 7.0) == 7.0
    now = 160.0
    assert board.bill(1.0, 25.0) == 27.0
    now = 170.0
    assert board.bill(2.0, 27.5) == 37.0


def test_the_cost_follows_workers_and_prices() -> None:
    """2 workers at 3 and a head at 1 USD per hour: 7 USD in an hour; without prices nothing is said."""
    train = load_config("demo", {"train": {"worker_price": 3, "head_price": 1, "budget": 10}}).train
    meter = cost.Meter(train, 2, lambda rate, told: told + 3600 * rate, 2.0)
    assert meter.dollars == pytest.approx(9.0, abs=0.1)
    assert not meter.is_spent()
    assert cost.Meter(train, 2, lambda rate, told: 10.0, 0.0).is_spent()
    free = cost.Meter(load_config("demo").train, 2, lambda rate, told: 1 / 0, 0.0)
    assert (free.dollars, free.about(), free.is_spent()) == (None, {}, False)


def test_a_budget_without_a_price_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^train\.budget = 20 USD, but no price"):
        load_config("demo", {"train": {"budget": 20}})
