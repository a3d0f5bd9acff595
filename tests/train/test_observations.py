"""The observation log: every run leaves its entry, several writers lose none, and what stands follows from all."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from satgan.config import Config
from satgan.errors import Diverged, InputError, Stopped, StoreUnreachable
from satgan.gan.noise import Draws, draw
from satgan.tiles.store import FolderStore, Store, open_store
from satgan.train.journal import seconds_in
from satgan.train.loop import train_loop
from satgan.train.observations import (
    LOG_NAME,
    add_todo,
    append,
    entries_in,
    finish_todo,
    note,
    read_log,
    runs,
    todos,
)
from satgan.train.observed import entries_now, observe_run
from satgan.train.runs import about, runs_in
from satgan.train.start import hold, prepare, start
from satgan.train.watch import Watch
from tests.train.conftest import MakeConfig, run

WRITERS, EACH = 4, 6
WRITE = (
    "import sys; from satgan.tiles.store import open_store; from satgan.train.observations import note\n"
    f"for number in range({EACH}): note(open_store(sys.argv[1]), sys.argv[2], f'{{number}} ' + 'x' * 500)"
)


def trained(config: Config, parent: str | None = None) -> None:
    """As `satgan train` does it."""
    with hold(config, lambda text: None) as lease:
        config, _ = prepare(config, lambda text: None, parent)
        start(config, lease, lambda progress: None, lambda text: None)


def log_of(config: Config) -> list[dict[str, Any]]:
    return runs(read_log(open_store(config.train.store)))


def test_writers_at_the_same_time_lose_nothing(place: str) -> None:
    """Law 5, by processes on one folder and on one bucket."""
    command = [sys.executable, "-c", WRITE, place]
    writers = [subprocess.Popen([*command, f"writer-{number}"]) for number in range(WRITERS)]
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    known = read_log(open_store(place))
    lines = open_store(place).read(LOG_NAME).splitlines()
    assert len(known) == len(lines) == len({entry["id"] for entry in known}) == WRITERS * EACH
    for number in range(WRITERS):
        mine = [entry["text"].split()[0] for entry in known if entry["run"] == f"writer-{number}"]
        assert mine == [str(number) for number in range(EACH)]


class Forgetful(FolderStore):
    """A store whose answers to the first swaps are lost, or whose swaps are never done."""

    def __init__(self, folder: Path, lost: int, refused: bool = False) -> None:
        super().__init__(folder)
        self.lost, self.refused = lost, refused

    def swap(self, key: str, expected: bytes | None, data: bytes) -> bool:
        if self.refused:
            return False
        done = super().swap(key, expected, data)
        self.lost -= 1
        return done and self.lost < 0


def test_an_answer_that_was_lost_makes_no_second_entry(tmp_path: Path) -> None:
    store = Forgetful(tmp_path, lost=3)
    for number in range(3):
        note(store, "demo", str(number))
    assert [entry["text"] for entry in read_log(store)] == ["0", "1", "2"]


def test_a_store_that_never_takes_an_entry_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satgan.train.observations.LONGEST_PAUSE_SECONDS", 0.0)
    with pytest.raises(StoreUnreachable, match=r"observations\.jsonl"):
        note(Forgetful(tmp_path, 0, refused=True), "demo", "x")


def test_torn_lines_are_passed_over_and_not_made_worse(tmp_path: Path) -> None:
    store: Store = FolderStore(tmp_path)
    note(store, "demo", "first")
    torn = store.read(LOG_NAME) + b'{"id": "x", "ki'
    store.write(LOG_NAME, torn)
    note(store, "demo", "second")
    assert [entry["text"] for entry in read_log(store)] == ["first", "second"]
    assert store.read(LOG_NAME).startswith(torn)
    assert entries_in(b"[1]\n3\n\xff\n{}\n") == []


def test_what_is_to_be_tried_is_counted_on(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert [add_todo(store, text)["number"] for text in ("a", "b", "c")] == [1, 2, 3]
    finish_todo(store, 2)
    assert [item["text"] for item in todos(read_log(store))] == ["a", "c"]
    assert add_todo(store, "d")["number"] == 4
    for number in (2, 9):
        with pytest.raises(InputError, match=str(number)):
            finish_todo(store, number)


def test_every_run_leaves_its_entry_with_what_was_changed(make_config: MakeConfig) -> None:
    """S05: and what came out; beside it stands what people note and want to try."""
    trained(make_config(train={"name": "first"}))
    trained(make_config(train={"name": "second", "seed": 7}, recipe={"beta1": 0.4}))
    second, first = log_of(make_config())
    assert (first["run"], first["outcome"], first["parent"], first["changes"]) == ("first", "finished", None, {})
    assert (first["step"], first["steps"], first["resumed"]) == (12, 12, 0)
    assert second["parent"] == "first"
    assert second["changes"] == {"train.seed": [1234, 7], "recipe.beta1": [0.5, 0.4]}
    assert set(first["losses"]) == {
        "real_loss", "fake_loss", "generator_loss", "generator_regularizer", "discriminator_regularizer",
    }  # fmt: skip
    assert {"versions.satgan", "versions.commit", "versions.torch", "machine.cores", "gan.preset"} <= set(
        first["facts"]
    )
    assert 0 <= first["path_a_share"] <= 1
    assert first["seconds"] > 0
    store = open_store(make_config().train.store)
    note(store, "first", "roads")
    add_todo(store, "more steps")
    assert [[one["text"] for one in entry["notes"]] for entry in log_of(make_config())] == [[], ["roads"]]
    assert [item["text"] for item in todos(read_log(store))] == ["more steps"]


def test_seconds_are_those_of_all_attempts() -> None:
    """Also where an attempt logged once, or later than the one before it began."""
    lines: list[dict[str, Any]] = []
    for kind, seconds in (("start", [1.0, 2.0]), ("resume", [3.0]), ("resume", [5.0, 6.5])):
        lines.append({"step": 0, "event": kind})
        lines += [{"step": 0, "numbers": {}, "timing": {"seconds": one}} for one in seconds]
    assert seconds_in(lines) == 2.0 + 3.0 + 6.5
    assert seconds_in([*lines, {"step": 9, "event": "end", "seconds": 7.0}]) == 2.0 + 3.0 + 7.0
    assert seconds_in([]) == 0.0


def test_a_run_in_a_bucket_leaves_its_entry_there(make_config: MakeConfig, s3_prefix: str) -> None:
    trained(make_config(train={"store": s3_prefix}))
    (entry,) = runs(read_log(open_store(s3_prefix)))
    assert (entry["run"], entry["outcome"], entry["step"]) == ("run", "finished", 12)


def test_a_resumed_run_is_one_run_and_a_fork_has_its_parent(make_config: MakeConfig) -> None:
    trained(make_config(train={"name": "whole", "steps": 5}))
    trained(make_config(train={"name": "whole"}))
    trained(make_config(train={"name": "other"}))
    trained(make_config(train={"name": "child", "steps": 15}, recipe={"beta1": 0.3}), parent="whole")
    child, other, whole = log_of(make_config())
    assert (whole["resumed"], whole["step"], other["parent"]) == (1, 12, "whole")
    assert child["parent"] == "whole"
    assert child["changes"]["recipe.beta1"] == [0.5, 0.3]


def test_a_run_that_diverges_says_so(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(config: Config, step: int, lane: int, attempt: int) -> Draws:
        draws = draw(config, step, lane, attempt)
        return draws._replace(noise=draws.noise * float("inf")) if step == 7 else draws

    monkeypatch.setattr("satgan.train.feed.draw", poisoned)
    with pytest.raises(Diverged):
        trained(make_config())
    (entry,) = log_of(make_config())
    assert (entry["outcome"], entry["step"]) == ("diverged", 6)


def test_a_run_that_was_killed_is_added_from_its_journal(make_config: MakeConfig) -> None:
    config = make_config()
    run(config)
    store = open_store(config.train.store)
    assert log_of(config) == []
    journal = Path(config.train.store) / "run" / "journal.jsonl"
    journal.write_text("".join(line for line in journal.read_text().splitlines(True) if '"end"' not in line))
    assert observe_run(store, "run")["outcome"] == "broken off"
    lines = journal.read_text().splitlines(True)
    failed = {"step": 99, "event": "failed", "found": "no room"}
    journal.write_text("".join([lines[0], json.dumps(failed) + "\n", *lines]))
    entry = observe_run(store, "run")
    assert (entry["outcome"], entry["step"]) == ("broken off", 12), "it was begun anew after that"
    assert [entry["run"] for entry in log_of(config)] == ["run"]


def test_the_log_tells_what_ended_the_newest_attempt_whatever_it_was(make_config: MakeConfig) -> None:
    """Also a kill, after which nobody could append: as `satgan runs` tells it, and once that is added, no more."""
    trained(make_config(train={"steps": 5}))
    store = open_store(make_config().train.store)
    assert entries_now(store, read_log(store)) == runs(read_log(store)), "nothing is missing"
    asked = iter(range(1, 13))
    with pytest.raises(Stopped):  # its driver is gone before it could append
        train_loop(make_config(), Watch(lambda _: None, lambda *_: None, stop=lambda: next(asked) == 3))
    (now,) = entries_now(store, read_log(store))
    (shown,) = map(about, runs_in(store.url))
    assert (now["outcome"], now["step"], now["resumed"]) == (shown.state, shown.step, 1) == ("stopped", 8, 1)
    observe_run(store, "run")
    assert entries_now(store, read_log(store)) == runs(read_log(store))


def test_a_store_without_runs_has_its_log(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert entries_now(store, read_log(store)) == []
    append(store, lambda known: {"kind": "run", "run": "gone", "digest": "d", "tile_set": "t"})
    assert [entry["run"] for entry in entries_now(store, read_log(store))] == ["gone"]


def test_notes_stand_with_their_run(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for name in ("demo", "other"):
        entry = {"kind": "run", "run": name, "digest": "d", "tile_set": "t"}
        append(store, lambda known, entry=entry: entry)  # type: ignore[misc]
    note(store, "demo", "roads")
    assert [(entry["run"], [one["text"] for one in entry["notes"]]) for entry in runs(read_log(store))] == [
        ("other", []), ("demo", ["roads"]),
    ]  # fmt: skip


def test_a_run_without_a_log_step_leaves_its_entry_and_no_complaint(make_config: MakeConfig) -> None:
    said: list[str] = []
    config = make_config(train={"steps": 6, "log_steps": 20})
    with hold(config, lambda text: None) as lease:
        config, _ = prepare(config, lambda text: None)
        start(config, lease, lambda progress: None, said.append)
    (entry,) = log_of(config)
    assert (entry["outcome"], entry["step"], entry["losses"], entry["path_a_share"]) == ("finished", 6, {}, None)
    assert not any("observation log" in line for line in said)


def test_a_run_that_never_began_is_refused(make_config: MakeConfig) -> None:
    config = make_config(train={"steps": 6, "log_steps": 20})
    run(config)
    (Path(config.train.store) / "run" / "journal.jsonl").unlink()
    with pytest.raises(InputError, match="no log step yet"):
        observe_run(open_store(config.train.store), "run")


def test_what_a_run_has_cost_is_in_its_entry(make_config: MakeConfig) -> None:
    """Of all attempts; nothing where no price is known."""
    trained(make_config(train={"name": "free"}))
    prices = {"worker_price": 3600.0, "name": "paid"}
    trained(make_config(train=prices | {"steps": 5}))
    half = log_of(make_config())[0]["dollars"]
    trained(make_config(train=prices))
    paid, free = log_of(make_config())
    assert (paid["run"], free["dollars"]) == ("paid", None)
    assert paid["dollars"] > half > 0
    assert paid["dollars"] >= paid["seconds"] * 0.5
