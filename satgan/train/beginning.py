"""How an attempt at a run begins: that its workers see the same, and what the journal is told of it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from satgan.errors import StoreError
from satgan.tiles.tile_set import TileSet
from satgan.train import ranks
from satgan.train.checkpoint import complete_steps
from satgan.train.divergence import Rollback
from satgan.train.journal import CORRUPT, Journal
from satgan.train.origin import Origin
from satgan.train.recovery import Corrupt
from satgan.train.run_folder import RunFolder
from satgan.train.watch import Entry


class Start(NamedTuple):
    """From where an attempt goes on, and why.

    step      after which
    origin    of the checkpoint there
    rollback  where it follows one
    restarts  why workers were started anew, in order
    corrupt   checkpoints that were set aside, and not noted yet
    """

    step: int
    origin: Origin
    rollback: Rollback | None
    restarts: Sequence[Entry]
    corrupt: Sequence[Corrupt]


def check_agreement(tile_set: TileSet, folder: RunFolder) -> None:
    """Every worker must see the tile set and the checkpoints that worker 0 sees, or numbers would be mixed.

    Raises:
        StoreError: this one does not.
    """
    seen = f"tile set {tile_set.digest}, checkpoints after steps {complete_steps(folder.store)}"
    first = ranks.from_first(seen)
    if seen != first:
        raise StoreError(
            f"worker {ranks.rank()} sees {seen} in {tile_set.store.url} and {folder.url}, worker 0 sees "
            f"{first}: the machines do not share these places",
            "give --tiles and --store that all machines see, such as s3:// urls",
        )


def note_start(journal: Journal, start: Start, about: Mapping[str, Any]) -> None:
    """Notes where the attempt begins, what it follows, and with what it computes."""
    if start.rollback:
        journal.event(start.step, "rollback", **start.rollback._asdict())
    forked = start.origin.forked_from
    if forked and forked["step"] == start.step and not journal.events("fork"):
        journal.event(start.step, "fork", parent=forked["run"], parent_step=forked["step"])
    told = {entry["time"] for entry in journal.events("restart")}
    for restart in start.restarts:
        if restart["time"] not in told:
            journal.event(start.step, "restart", **restart)
    journal.event(start.step, "resume" if start.step else "start", undone_steps=journal.undone_steps, **about)
    for corrupt in start.corrupt:
        journal.event(start.step, CORRUPT, **corrupt.about())
