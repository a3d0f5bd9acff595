"""What a run's entry in the observation log says: what changed against the run before it, and what came out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from satgan.doctor.records import BEGINNINGS, RunRecord, newest_attempt, rates_of
from satgan.errors import Diverged, InputError, SatganError, Stopped
from satgan.tiles.store import Store
from satgan.train.journal import JOURNAL_NAME, MOVED, judged_alike
from satgan.train.observations import Entry, append, runs
from satgan.train.run_folder import CONFIG_NAME
from satgan.train.runs import is_running, runs_in
from satgan.train.told import Told, told_by

LOSSES = ("real_loss", "fake_loss", "generator_loss", "generator_regularizer", "discriminator_regularizer")
UNSAID = ("train.name", "train.store", "tiles.source")
"""Options that differ between any two runs and say nothing."""


def observe_run(store: Store, name: str, error: BaseException | None = None) -> Entry:
    """Appends a run's entry.

    Args:
        store: of the runs.
        name: of the run.
        error: what ended it; None where it came to its end.

    Raises:
        InputError: there is no such run, or it was broken off before its first log step.
        SatganError: it cannot be read, or the store does not take the entry.
    """
    told = told_by(store.child(name))
    how = outcome(told, error)
    if not told.entries and how == BROKEN_OFF:
        raise InputError(f"{name} has no log step yet: there is nothing to observe", "let it train for a while")
    return append(store, lambda known: entry_of(told, runs(known), how))


def entries_now(store: Store, known: list[Entry]) -> list[Entry]:
    """The newest entry of each run, newest first, with its notes. Where the newest attempt left none, as a kill does,
    it is what `observe_run` would append now, without an id.

    Args:
        store: of the runs.
        known: its log, as `read_log` has it.

    Raises:
        StoreError: it cannot be read.
    """
    logged = runs(known)
    missing = [entry for run in _idle(store) if (entry := _missing(run, logged))]
    return sorted(runs(known + missing), key=lambda entry: str(entry["time"]), reverse=True)


def _idle(store: Store) -> Iterator[Store]:
    with suppress(InputError):  # there is none
        yield from (run for run in runs_in(store.url) if not is_running(run))


def _missing(run: Store, logged: Sequence[Entry]) -> Entry | None:
    """The entry of a run's newest attempt; None where that is logged, or there is nothing to tell of it."""
    try:
        told = told_by(run)
    except SatganError:  # another version's, or removed meanwhile
        return None
    how = outcome(told, None)
    if not told.entries and how == BROKEN_OFF:
        return None
    entry = entry_of(told, logged, how)
    last: Entry = next((one for one in logged if one["run"] == told.name), {})
    if all(last.get(name) == entry[name] for name in ("step", "seconds", "resumed")):
        return None
    written = datetime.fromtimestamp(run.modified(JOURNAL_NAME), UTC)
    return {"id": None, "time": written.strftime("%Y-%m-%dT%H:%M:%SZ")} | entry


def outcome(told: Told, error: BaseException | None) -> str:
    """How a run ended: finished, stopped, diverged, failed; broken off where nothing tells."""
    if isinstance(error, Stopped):
        return "stopped"
    if isinstance(error, Diverged):
        return "diverged"
    if error is not None:
        return f"failed: {error.found if isinstance(error, SatganError) else type(error).__name__}"
    last = next((event["event"] for event in reversed(newest_attempt(told.events)) if event["event"] in OUTCOMES), "")
    return OUTCOMES.get(last, BROKEN_OFF)


BROKEN_OFF = "broken off"
OUTCOMES = {"end": "finished", "stop": "stopped", "diverged": "diverged", "failed": "failed"}


def entry_of(told: Told, earlier: Sequence[Entry], how: str) -> Entry:
    """The entry, but for its id and time.

    Args:
        told: the run.
        earlier: entries of runs, newest first.
        how: outcome.
    """
    facts = facts_of(told)
    parent = _parent(told, earlier)
    return {
        "kind": "run",
        "run": told.name,
        "outcome": how,
        "step": _step(told),
        "steps": told.config.train.steps,
        "parent": parent["run"] if parent else None,
        "changes": changes(parent["facts"], facts) if parent else {},
        "digest": told.config.digest(),
        "tile_set": told.origin.tile_set,
        "losses": _losses(told),
        "scores": _scores(told),
        "path_a_share": _mean([entry.numbers["path_a"] for entry in told.entries]),
        "rates": _rates(told),
        "moves": sum(event["event"] == MOVED for event in told.events),
        "seconds": told.seconds,
        "dollars": told.dollars,
        "resumed": sum(event["event"] == "resume" for event in told.events),
        "restarted": sum(event["event"] == "restart" for event in told.events),
        "findings": _findings(told),
        "facts": facts,
    }


def facts_of(told: Told) -> dict[str, Any]:
    """Every option by its name, and what else numbers and speed follow from: tile set, versions, machine."""
    tree = told.config.model_dump(mode="json")
    facts = {f"{group}.{field}": value for group, fields in tree.items() for field, value in fields.items()}
    facts["tile_set"] = told.origin.tile_set
    facts |= {f"versions.{name}": value for name, value in told.versions.items()}
    starts = [event for event in told.events if event["event"] in BEGINNINGS]
    start = starts[-1] if starts else {}
    return facts | {f"machine.{name}": start[name] for name in ("device", "workers", "cores") if name in start}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """[before, now] of the facts that differ, by name."""
    names = [name for name in dict.fromkeys((*before, *now)) if name not in UNSAID]
    return {name: [before.get(name), now.get(name)] for name in names if before.get(name) != now.get(name)}


def _parent(told: Told, earlier: Sequence[Entry]) -> Entry | None:
    """The entry of the run that this one was forked from, else of the one before it in the log."""
    others = [entry for entry in earlier if entry["run"] != told.name]
    if told.origin.forked_from:
        name = str(told.origin.forked_from["run"]).rstrip("/").rsplit("/", 1)[-1]
        others = [entry for entry in others if entry["run"] == name] or others
    return others[0] if others else None


def _step(told: Told) -> int:
    """How many steps were taken; a run may end before its first log step."""
    kinds = (*BEGINNINGS, "checkpoint", "stop", "end")
    taken = [event["step"] for event in newest_attempt(told.events) if event["event"] in kinds]
    return max([*taken, *(entry.step for entry in told.entries)], default=0)


def _rates(told: Told) -> dict[str, list[float]]:
    """[first, last] learning rates by network."""
    first = rates_of(told.config, told.entries[0] if told.entries else None)
    last = RunRecord(told.config, told.entries, told.events).rates
    return {name: [getattr(first, name), getattr(last, name)] for name in first._fields}


def _losses(told: Told) -> dict[str, list[float]]:
    """[first, last] by part; those of regularizers are told after the updates."""
    found = {}
    for loss in LOSSES:
        name = f"{loss}_after" if loss.endswith("regularizer") else f"{loss}_before"
        values = [entry.numbers[name] for entry in told.entries if name in entry.numbers]
        if values:
            found[loss] = [values[0], values[-1]]
    return found


def _scores(told: Told) -> dict[str, Any]:
    """The best judgement, of those by as many tiles as the last one, and that one's scores with their floors; empty
    where nothing was judged."""
    judged = judged_alike([event for event in told.events if event["event"] == "judged"])
    if not judged:
        return {}
    best = min(judged, key=lambda event: event["score"])
    parts = {name: [part["value"], part["floor"]] for name, part in judged[-1]["scores"].items()}
    return {
        "best": best["score"], "best_step": best["step"], "last": judged[-1]["score"], "tiles": judged[-1]["tiles"],
        "parts": parts,
    }  # fmt: skip


def _findings(told: Told) -> list[dict[str, Any]]:
    """What the doctor found while it went on, and after which step it was over."""
    found: list[dict[str, Any]] = []
    for event in told.events:
        if event["event"] == "finding":
            about = {name: event[name] for name in ("rule", "level", "since_step", "figure", "threshold")}
            found.append(about | {"over_step": None})
        elif event["event"] == "finding_over":
            for one in found:
                if one["rule"] == event["rule"] and one["over_step"] is None:
                    one["over_step"] = event["step"]
    return found


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def observe_end(store: Store, name: str, error: BaseException | None) -> str:
    """`observe_run` where the run itself has ended, well or not: returns why there is no entry, where there is none."""
    try:
        if store.exists(f"{name}/{CONFIG_NAME}"):  # else it never began
            observe_run(store, name, error)
    except SatganError as failure:
        return failure.found
    return ""
