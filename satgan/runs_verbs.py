"""The verbs `satgan runs [STORE]` and `satgan prune RUN|STORE`: their options, and what they print."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from satgan.errors import CheckpointError, CorruptData, SatganError
from satgan.options import Parser
from satgan.tiles.store import Store, open_store
from satgan.train.lease import Lease
from satgan.train.runs import Litter, Run, about, clear, is_running, litter, runs_in
from satgan.train.watch import say_on_stderr

HEADINGS = ("run", "state", "step", "best score", "judged by", "newest", "size", "checkpoints")
Told = TypeVar("Told")
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def runs(words: Sequence[str]) -> None:
    """Lists the runs of a store."""
    parser = Parser(prog="satgan runs", description="list runs: state, step, best score, age and size")
    parser.add_argument(
        "store", nargs="?", default="runs", metavar="STORE", help="folder or s3:// prefix, or one run (default: runs)"
    )
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)
    found, failed = _each(runs_in(given.store), about)
    print(json.dumps([run._asdict() for run in found], indent=2) if given.json else _table(found))
    _raise(failed)


def prune(words: Sequence[str]) -> None:
    """Shows what can go from runs, and removes it if that is wished."""
    parser = Parser(
        prog="satgan prune",
        description="show the checkpoints that are neither among the newest (train.keep_checkpoints) nor the best "
        "(train.keep_best), not finished, or corrupt and set aside; remove them with --yes, or when asked",
    )
    parser.add_argument("place", metavar="RUN|STORE", help="a run, or a store of runs: folder or s3:// prefix")
    parser.add_argument("--yes", action="store_true", help="remove what is shown, without asking")
    parser.add_argument("--json", action="store_true", help="what was found as JSON")
    given = parser.parse_all(words)
    found, failed = _each(_idle(runs_in(given.place)), lambda run: (run, litter(run)))
    total = sum(one.bytes for _, what in found for one in what)
    if not given.json:
        print(_listed(found, total))
    is_wished = bool(total) and (given.yes or (not given.json and _asked()))
    for run, what in found:
        if is_wished and what:
            with Lease(run.url, say_on_stderr) as lease:
                still = {one.key for one in litter(run)}
                clear(open_store(run.url, check=lease.check_writing), [one for one in what if one.key in still])
    if given.json:
        shown = [{"run": run.url, "key": one.key, "why": one.why, "bytes": one.bytes} for run, w in found for one in w]
        print(json.dumps({"found": shown, "bytes": total, "removed": is_wished}, indent=2))
    elif total:
        print(f"removed {_size(total)}" if is_wished else "nothing was removed: --yes removes it")
    _raise(failed)


def _each(runs: list[Store], tell: Callable[[Store], Told]) -> tuple[list[Told], list[SatganError]]:
    """What there is to tell of each run, and why there is nothing of the others: one does not hide the rest."""
    found: list[Told] = []
    failed: list[SatganError] = []
    for run in runs:
        try:
            found.append(tell(run))
        except (CheckpointError, CorruptData) as error:
            failed.append(error)
    return found, failed


def _raise(failed: list[SatganError]) -> None:
    """Tells all of them, and ends with the last."""
    for error in failed[:-1]:
        say_on_stderr(str(error))
    for error in failed[-1:]:
        raise error


def _idle(found: list[Store]) -> list[Store]:
    """Those that nobody trains; of the others a word."""
    running = [run for run in found if is_running(run)]
    for run in running:
        say_on_stderr(f"{run.url} is running: it is left alone")
    return [run for run in found if run not in running]


def _asked() -> bool:
    if not sys.stdin.isatty():
        return False
    print("remove them? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _listed(found: list[tuple[Store, list[Litter]]], total: int) -> str:
    lines = [f"{run.url.rstrip('/')}/{one.key}  {_size(one.bytes)}  {one.why}" for run, what in found for one in what]
    return "\n".join([*lines, f"{len(lines)} to remove, {_size(total)}"])


def _table(found: list[Run]) -> str:
    rows = [HEADINGS, *(_row(run) for run in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(run: Run) -> tuple[str, ...]:
    score = "" if run.score is None else f"{run.score:.2f} after {run.best_step:,}"
    age = "" if run.age_seconds is None else f"{_age(run.age_seconds)} ago"
    step = f"{run.step:,} of {run.steps:,}"
    by = "" if run.tiles is None else f"{run.tiles:,} tiles"
    return run.name, run.state, step, score, by, age, _size(run.bytes), f"{run.checkpoints}"


def _age(seconds: float) -> str:
    seconds_each, unit = next((unit for unit in UNITS if seconds >= unit[0]), UNITS[-1])
    return f"{seconds / seconds_each:.0f} {unit}"


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
