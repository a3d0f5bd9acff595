"""A run as it stands in its folder: what a report tells of it. Nothing is computed here."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from satgan.errors import CheckpointError, StoreMissing
from satgan.tiles.store import Store, open_store
from satgan.train.checkpoint import best_of
from satgan.train.journal import JOURNAL_NAME, JUDGED, entries_in, reached_in
from satgan.train.run_folder import CONFIG_NAME

Entry = dict[str, Any]
Series = tuple[list[int], list[float]]
"""Steps, ascending, and a number after each."""


class Record(NamedTuple):
    """What a run left.

    run      its folder
    config   the groups of its config
    about    versions, tile set and origin, as config.yaml has them
    entries  the journal, in order
    grids    by step, keys of the pictures of fixed noise
    best     step of the best checkpoint; None where none was judged
    """

    run: Store
    config: dict[str, dict[str, Any]]
    about: dict[str, Any]
    entries: list[Entry]
    grids: dict[int, str]
    best: int | None

    @property
    def name(self) -> str:
        """Of the run: the last part of its url."""
        return self.run.url.rstrip("/").rsplit("/", 1)[-1]

    def series(self, group: str, name: str) -> Series:
        """A number of the log steps, such as ("numbers", "real_loss_after") or ("timing", "tiles_per_second")."""
        found = [(entry["step"], entry[group][name]) for entry in self.entries if name in entry.get(group, {})]
        return [step for step, _ in found], [value for _, value in found]

    def events(self, kind: str | None = None) -> list[Entry]:
        """What happened, in order; of one kind if it is named."""
        return [entry for entry in self.entries if "event" in entry and kind in (None, entry["event"])]

    def judged(self, score: str, figure: str) -> Series:
        """A figure (value, floor or ratio) of one score, checkpoint by checkpoint."""
        found = [entry for entry in self.events(JUDGED) if score in entry["scores"]]
        return [entry["step"] for entry in found], [entry["scores"][score][figure] for entry in found]

    def step(self) -> int:
        """How far the run came."""
        return reached_in(self.entries)


def open_record(url: str) -> Record:
    """Reads a run's config and journal.

    Raises:
        StoreMissing: there is no run.
        CheckpointError: its config cannot be read.
        StoreError: the store does not answer.
    """
    run = open_store(url)
    if not run.exists(CONFIG_NAME):
        raise StoreMissing(f"no run in {url}: it has no {CONFIG_NAME}", "give the folder or s3:// prefix of a run")
    try:
        tree = yaml.safe_load(run.read(CONFIG_NAME))
        about = tree.pop("about", {})
        groups = {group: dict(fields) for group, fields in tree.items()}
        int(groups["train"]["steps"]), int(groups["gan"]["size"])  # what all versions wrote
    except (yaml.YAMLError, TypeError, AttributeError, ValueError, KeyError) as error:
        found = f"{run.url}/{CONFIG_NAME} is not a run's config: {type(error).__name__} {error}"
        raise CheckpointError(found, "restore the file, or report another run") from None
    entries = entries_in(run.read(JOURNAL_NAME)) if run.exists(JOURNAL_NAME) else []
    best = best_of(run)
    return Record(run, groups, about, entries, dict(_grids(run)), best[0] if best else None)


def _grids(run: Store) -> Iterator[tuple[int, str]]:
    for key, _ in sorted(run.list("film/grid-")):
        yield int(key.removeprefix("film/grid-").split(".")[0]), key
