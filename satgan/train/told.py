"""What a run's folder tells of it: its config and its journal, and where its numbers come from."""

from typing import Any, NamedTuple

from satgan.config import Config
from satgan.doctor.records import Entry
from satgan.tiles.store import Store
from satgan.train.journal import JOURNAL_NAME, dollars_of, entries_in, seconds_in
from satgan.train.origin import Origin
from satgan.train.run_folder import config_in


class Told(NamedTuple):
    """What a run's folder tells.

    name      of the run
    config    that it was started with
    origin    tile set, and the parent of a fork
    versions  of what computed it
    entries   its log steps
    events    what its journal notes beside them
    seconds   of all attempts
    dollars   that they have cost [USD]; None where no price was known
    """

    name: str
    config: Config
    origin: Origin
    versions: dict[str, str]
    entries: list[Entry]
    events: list[dict[str, Any]]
    seconds: float
    dollars: float | None


def told_by(run: Store) -> Told:
    """Reads a run's config and journal.

    Raises:
        CheckpointError: its config is none.
        StoreError: it cannot be read.
    """
    config, origin, versions = config_in(run)
    raw = run.read(JOURNAL_NAME) if run.exists(JOURNAL_NAME) else b""
    entries, events = [], []
    lines = entries_in(raw)
    for line in lines:
        if "numbers" in line:
            entries.append(Entry(line["step"], line["numbers"], line.get("timing", {})))
        elif "event" in line:
            events.append(line)
    name = run.url.rstrip("/").rsplit("/", 1)[-1]
    return Told(name, config, origin, versions, entries, events, seconds_in(lines), dollars_of(lines) or None)
