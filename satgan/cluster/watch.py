"""A run's journal, followed from anywhere its store can be read: no job server is asked.

In a bucket the journal comes with each checkpoint, in a folder with each line.
"""

import json
import time
from collections.abc import Callable, Iterator
from itertools import dropwhile
from typing import Any

from satgan.errors import InputError
from satgan.tiles.store import Store
from satgan.train.journal import JOURNAL_NAME, entries_in
from satgan.train.runs import is_running

LOOK_SECONDS = 5.0
FIRST_ENTRIES = 12
"""So many of the journal are shown at first."""
LAST = ("end", "stop", "failed", "diverged")


def watch(run: Store, show: Callable[[str], None], look_seconds: float = LOOK_SECONDS) -> None:
    """Shows what comes to a run's journal until the run ends.

    Raises:
        InputError: there is no journal, and nobody trains.
        StoreError: the store cannot be read.
    """
    shown: list[dict[str, Any]] | None = None
    seen: list[object] = []
    while True:
        running = is_running(run)
        now = [*run.list(JOURNAL_NAME), run.modified(JOURNAL_NAME)] if run.exists(JOURNAL_NAME) else []
        if now and (now != seen or not running):  # a bucket's time has whole seconds
            seen = now
            entries = entries_in(run.read(JOURNAL_NAME))
            for entry in _new(entries, shown):
                show(told(entry, run.url))
            shown = entries
        if not running:
            if shown is None:
                raise InputError(f"no journal in {run.url}", "give the url of a run, its name, or a job's id")
            if shown and shown[-1].get("event") not in LAST:
                show(f"nobody trains {run.url} now; the command that trained it goes on from its last checkpoint")
            return
        time.sleep(look_seconds)


def _new(entries: list[dict[str, Any]], shown: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """What was not shown. A resume drops what it computes anew, and goes on after what it keeps."""
    if shown is None:
        return entries[-FIRST_ENTRIES:]
    same = next((place for place, pair in enumerate(zip(entries, shown, strict=False)) if pair[0] != pair[1]), None)
    place = min(len(entries), len(shown)) if same is None else same
    return list(dropwhile(lambda entry: entry in shown[place:], entries[place:]))


def told(entry: dict[str, Any], url: str) -> str:
    """A line for an entry of the journal of the run at `url`."""
    if "numbers" in entry:
        return f"step {entry['step']} · {' · '.join(_figures(entry['numbers'], entry['timing']))}"
    about = {name: value for name, value in entry.items() if name not in ("step", "event", "scores")}
    if "grid" in about:
        about["grid"] = f"{url.rstrip('/')}/{about['grid']}"
    return " ".join([f"step {entry['step']} · {entry['event']}", *(f"{name}={_value(about[name])}" for name in about)])


def _figures(numbers: dict[str, float], timing: dict[str, float]) -> Iterator[str]:
    real, fake, fooling = (numbers.get(f"{name}_loss_before", float("nan")) for name in ("real", "fake", "generator"))
    yield f"D real {real:.2f} fake {fake:.2f}"
    yield f"G {fooling:.2f}"
    yield f"{timing['tiles_per_second']:,.0f} tiles/s"
    yield f"waited {timing['waited_share']:.0%}"
    yield f"path {'A' if numbers.get('path_a') else 'B'}"
    if "dollars" in timing:
        yield f"{timing['dollars']:.2f} USD"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
