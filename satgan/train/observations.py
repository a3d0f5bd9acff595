"""The observation log (S05): `observations.jsonl` in a store, one JSON object per line, appended and never changed.

{"id": …, "time": …, "kind": "run", "run": NAME, "outcome": "finished", …}   satgan/train/observed.py
{"id": …, "time": …, "kind": "note", "run": NAME, "text": …, "by": …}
{"id": …, "time": …, "kind": "todo", "number": 3, "text": …, "by": …}
{"id": …, "time": …, "kind": "done", "number": 3, "by": …}

Several people on several machines share one: an entry is appended only to what was read, by a conditional write, and
read back, so that none is lost or torn. What stands for a run or a to-try item now follows from all entries.
"""

import getpass
import json
import random
import socket
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from satgan.errors import InputError, StoreMissing, StoreUnreachable
from satgan.tiles.store import Store

LOG_NAME = "observations.jsonl"
ATTEMPTS = 40
LONGEST_PAUSE_SECONDS = 1.0
Entry = dict[str, Any]


def read_log(store: Store) -> list[Entry]:
    """All entries, oldest first; what is no whole entry is passed over."""
    return entries_in(_read(store) or b"")


def entries_in(raw: bytes) -> list[Entry]:
    """The entries of a log's bytes."""
    found = []
    for line in raw.decode(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"id", "time", "kind"} <= entry.keys():
            found.append(entry)
    return found


def append(store: Store, make: Callable[[list[Entry]], Entry]) -> Entry:
    """Appends an entry and returns it, with its id and time.

    Args:
        store: of the runs.
        make: the entry, from those that are there; called again where somebody else was faster.

    Raises:
        StoreError: the store does not take it.
    """
    about = {"id": uuid4().hex, "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    for attempt in range(ATTEMPTS):
        raw = _read(store)
        before = raw or b""
        entry = about | make(entries_in(before))
        torn = b"\n" if before and not before.endswith(b"\n") else b""
        store.swap(LOG_NAME, raw, before + torn + json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        # Read back: an answer may be lost on the way, and not every server heeds conditions.
        if _has(store, about["id"]):
            return entry
        time.sleep(random.uniform(0, min(LONGEST_PAUSE_SECONDS, 0.01 * 2**attempt)))
    raise StoreUnreachable(
        f"{store.url}/{LOG_NAME} was changed by others {ATTEMPTS} times while an entry was to be appended",
        "try again",
    )


def note(store: Store, run: str, text: str) -> Entry:
    """Adds a note on a run."""
    return append(store, lambda known: {"kind": "note", "run": run, "text": text, "by": _somebody()})


def add_todo(store: Store, text: str) -> Entry:
    """Adds something to try; numbers count from 1."""

    def make(known: list[Entry]) -> Entry:
        number = 1 + max((entry["number"] for entry in known if entry["kind"] == "todo"), default=0)
        return {"kind": "todo", "number": number, "text": text, "by": _somebody()}

    return append(store, make)


def finish_todo(store: Store, number: int) -> Entry:
    """Marks something as tried.

    Raises:
        InputError: there is no such item, or it is done.
    """

    def make(known: list[Entry]) -> Entry:
        if number not in {item["number"] for item in todos(known)}:
            raise InputError(f"no open item has the number {number}", "see `satgan todo list`")
        return {"kind": "done", "number": number, "by": _somebody()}

    return append(store, make)


def todos(known: Iterable[Entry]) -> list[Entry]:
    """The items that are open, oldest first."""
    known = list(known)
    done = {entry["number"] for entry in known if entry["kind"] == "done"}
    return [entry for entry in known if entry["kind"] == "todo" and entry["number"] not in done]


def runs(known: Iterable[Entry]) -> list[Entry]:
    """The newest entry of each run, newest first, with its notes; a run that was begun anew is another one."""
    known = list(known)
    newest: dict[tuple[str, ...], Entry] = {}
    for entry in known:
        if entry["kind"] == "run":
            key = (entry["run"], entry["digest"], entry["tile_set"])
            newest.pop(key, None)
            newest[key] = entry
    notes = [entry for entry in known if entry["kind"] == "note"]
    return [entry | {"notes": _of(notes, entry["run"])} for entry in reversed(newest.values())]


def _of(notes: list[Entry], run: str) -> list[Entry]:
    return [{name: entry[name] for name in ("time", "text", "by")} for entry in notes if entry["run"] == run]


def _has(store: Store, identity: str) -> bool:
    return identity.encode() in (_read(store) or b"")


def _read(store: Store) -> bytes | None:
    try:
        return store.read(LOG_NAME)
    except StoreMissing:
        return None


def _somebody() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
