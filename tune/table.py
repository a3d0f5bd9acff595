"""What came of the trials, read from their run folders: nothing is known of a sweep but what lies in its store."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import yaml

from satgan.errors import InputError
from satgan.tiles.store import Store, open_store
from satgan.train.checkpoint import FOLDER, complete_steps, name_of
from satgan.train.checkup import found_in
from satgan.train.journal import JOURNAL_NAME, JUDGED, dollars_of, judged_alike, seconds_in
from satgan.train.run_folder import CONFIG_NAME
from satgan.train.runs import about
from tune.plan import EARLY_STOP_NAME, SWEEP_NAME, TRIALS_FOLDER, read_record

DONE = ("complete", "stopped early", "diverged")
"""States of trials that have nothing left to do."""

ATTEMPTS = ("start", "resume")
MEMBER = re.compile(r"member-(\d+)-turn-(\d+)-s\d+")
"""Name of a population's run: whose it is, and how often that member took another's place before."""


class Row(NamedTuple):
    """A trial at a glance.

    state    as `satgan runs` tells it, or: diverged, stopped early, replaced (in a population), missing
    values   of the varied options
    score    of its best judged checkpoint, the one after `best_step`; None where none has a finite score
    scores   of that checkpoint, by name: value, floor and ratio
    curve    (step, score) of all that were judged by as many tiles as the last one
    numbers  of the last log step: losses, shares, and so on
    seconds  of training, over all attempts
    why      what ended it, where that was not its end
    dollars  USD that all attempts have cost; 0 where no price was known
    findings of the doctor: see `found_in`
    tiles    by how many a side it was judged; None where it was not
    """

    trial: str
    url: str
    seed: int
    state: str
    values: dict[str, Any]
    step: int
    steps: int
    score: float | None
    best_step: int | None
    scores: dict[str, dict[str, float]]
    curve: list[tuple[int, float]]
    numbers: dict[str, float]
    seconds: float
    why: str
    config: dict[str, Any]
    dollars: float = 0.0
    findings: Sequence[dict[str, Any]] = ()
    tiles: int | None = None

    @property
    def checkpoint(self) -> str | None:
        """Url of the best checkpoint, where it is still there."""
        if self.best_step is None or self.best_step not in complete_steps(open_store(self.url)):
            return None
        return f"{self.url}/{FOLDER}/{name_of(self.best_step)}"


class Found(NamedTuple):
    """A sweep as it lies in its store.

    options  that are varied
    base     their values in the setting that all are compared with
    record   what sweep.yaml tells
    rows     the trials, those that have not begun as well
    """

    url: str
    options: list[str]
    base: dict[str, Any]
    record: dict[str, Any]
    rows: list[Row]


def at_end(found: Found) -> Found | None:
    """The same with the score of each trial's last checkpoint in place of its best one's; None where these are one.

    A trial whose best checkpoint is an early one got worse, whatever its score; one whose last score is no number has
    none.
    """
    rows = [row if row.score is None else _at_end(row) for row in found.rows]
    if [row.score for row in rows] == [row.score for row in found.rows]:
        return None
    return found._replace(rows=rows)


def _at_end(row: Row) -> Row:
    step, score = row.curve[-1]
    if math.isfinite(score):
        return row._replace(score=score, best_step=step, scores={})
    why = row.why or f"the score after its last step, {step:,}, is not a finite number"
    return row._replace(score=None, best_step=None, scores={}, why=why)


def sweep_in(url: str) -> Found:
    """The sweep that lies at a url, or the only one of a store.

    Raises:
        InputError: there is none, or more than one.
        CheckpointError: its record, or a trial's config, cannot be read.
    """
    store = open_store(url)
    if not store.exists(SWEEP_NAME):
        names = sorted(key.split("/")[0] for key, _ in store.list() if key.count("/") == 1 and key.endswith(SWEEP_NAME))
        if len(names) != 1:
            which = f"{len(names)} sweeps ({', '.join(names)})" if names else "no sweep"
            raise InputError(
                f"{which} in {url}", "give the folder or s3:// prefix of a sweep: --store and --name of it"
            )
        store = store.child(names[0])
    record = read_record(store)
    options = [str(option) for option in record["settings"]["options"]]
    rows = _replaced([row_of(run, options) for run in trials_in(store)])
    begun = {row.trial for row in rows}
    missing = [_missing(str(name), store) for name in record["trials"] if name not in begun]
    base = {option: record["settings"][option] for option in options}
    return Found(store.url, options, base, record, rows + missing)


def _replaced(rows: list[Row]) -> list[Row]:
    """Of a population's members only the newest run of each is its own."""
    turns = {row.trial: match for row in rows if (match := MEMBER.fullmatch(row.trial))}
    newest: dict[str, int] = {}
    for match in turns.values():
        newest[match[1]] = max(int(match[2]), newest.get(match[1], 0))
    gone = {name for name, match in turns.items() if int(match[2]) < newest[match[1]]}
    return [row._replace(state="replaced", why="") if row.trial in gone else row for row in rows]


def trials_in(sweep: Store) -> list[Store]:
    """The folders of trials that have begun, by name."""
    trials = sweep.child(TRIALS_FOLDER)
    keys = (key.removeprefix(f"{TRIALS_FOLDER}/") for key, _ in sweep.list(f"{TRIALS_FOLDER}/"))
    names = sorted(key.split("/")[0] for key in keys if key.count("/") == 1 and key.endswith(f"/{CONFIG_NAME}"))
    return [trials.child(name) for name in names]


def row_of(run: Store, options: Iterable[str]) -> Row:
    """A trial that has begun.

    Raises:
        CheckpointError: its config cannot be read.
    """
    told = about(run)
    config = yaml.safe_load(run.read(CONFIG_NAME))
    entries = _entries(run)
    alike = judged_alike([entry for entry in entries if entry.get("event") == JUDGED])
    judged = {int(entry["step"]): entry for entry in alike}
    finite = {step: entry for step, entry in judged.items() if math.isfinite(entry["score"])}
    best = min(finite, key=lambda step: (finite[step]["score"], step), default=None)
    numbers = [entry["numbers"] for entry in entries if "numbers" in entry]
    state, why = _state(run, told.state, entries)
    if judged and not finite and not why:
        why = "its score is not a finite number"
    return Row(
        told.name, run.url, int(config["train"]["seed"]), state, {one: _of(config, one) for one in options},
        told.step, told.steps, None if best is None else float(finite[best]["score"]), best,
        {} if best is None else finite[best]["scores"],
        [(step, float(judged[step]["score"])) for step in sorted(judged)],
        numbers[-1] if numbers else {}, seconds_in(entries), why, config, dollars_of(entries),
        found_in(entries), alike[-1].get("tiles") if alike else None,
    )  # fmt: skip


def _missing(name: str, sweep: Store) -> Row:
    url = f"{sweep.url}/{TRIALS_FOLDER}/{name}"
    seed = int(name.rpartition("-s")[2])
    return Row(name, url, seed, "missing", {}, 0, 0, None, None, {}, [], {}, 0.0, "it has not begun", {})


def _state(run: Store, state: str, entries: list[dict[str, Any]]) -> tuple[str, str]:
    """With what ended it; a run that diverges notes that and nothing after it."""
    if run.exists(EARLY_STOP_NAME):
        early = json.loads(run.read(EARLY_STOP_NAME))
        return "stopped early", f"by {early['by']} after step {early['step']}"
    turns = [entry for entry in entries if entry.get("event") in (*ATTEMPTS, "diverged", "rollback", "end", "failed")]
    last = turns[-1] if turns else {}
    if state != "running" and last.get("event") == "diverged":
        return "diverged", f"step {last['step']}: {last['found']}"
    return state, str(last["found"]) if last.get("event") == "failed" else ""


def _entries(run: Store) -> list[dict[str, Any]]:
    """The journal's lines, but a torn last one."""
    if not run.exists(JOURNAL_NAME):
        return []
    lines = run.read(JOURNAL_NAME).decode(errors="replace").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def _of(tree: dict[str, Any], option: str) -> Any:
    group, _, field = option.partition(".")
    return tree[group][field]
