"""Where an attempt at a run goes on: from the newest checkpoint whose every file is what was written.

A corrupt one is set aside under a name of its own, never removed; what killed attempts left unfinished is. So only one
process may call this, and nobody else may be writing: worker 0 of the driver that holds the run's lease.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from satgan.errors import CheckpointError, CorruptData
from satgan.tiles.store import Store
from satgan.train.checkpoint import BEST_NAME, COMPLETE_NAME, FOLDER, Checkpoint, best_of, complete_steps, name_of
from satgan.train.journal import CORRUPT, JOURNAL_NAME, events_in
from satgan.train.origin import origin_of
from satgan.train.retention import look, regular_step, remove

ASIDE_NAME = re.compile(rf"{FOLDER}/corrupt-step-(\d{{8,}})-.*")

LOOKS = 2
"""A checkpoint is read again before it is called corrupt: the bytes may have changed on the way here."""


class Corrupt(NamedTuple):
    """A checkpoint that is not what was written: what was found, and whither it was moved (a key in the run)."""

    step: int
    found: str
    aside: str

    def about(self) -> dict[str, Any]:
        """For the journal."""
        return {"corrupt_step": self.step, "found": self.found, "aside": self.aside}

    def text(self) -> str:
        """For the user."""
        return f"the checkpoint after step {self.step} is corrupt and was set aside as {self.aside}: {self.found}"


def newest_whole(run: Store) -> tuple[int, dict[int, CorruptData]]:
    """Step of the newest checkpoint whose files all have their digests, 0 where there is no checkpoint at all; and
    what is wrong with the newer ones. Only reads.

    Raises:
        CorruptData: there are checkpoints, but none is whole.
    """
    faults: dict[int, CorruptData] = {}
    for step in reversed(complete_steps(run)):
        fault = fault_of(run.child(f"{FOLDER}/{name_of(step)}"))
        if fault is None:
            return step, faults
        faults[step] = fault
    if faults:
        listed = "\n".join(f"  step {step}: {fault.found}" for step, fault in faults.items())
        raise CorruptData(
            f"none of the {len(faults)} checkpoint(s) of {run.url} is whole:\n{listed}",
            "restore one of them from a copy, or start anew under another --name",
        )
    return 0, faults


def fault_of(checkpoint: Store) -> CorruptData | None:
    """What is wrong with the files of a checkpoint; None where every one has its digest.

    Raises:
        CheckpointError: it was written by another format.
        StoreError: it cannot be read.
    """
    fault = None
    for _ in range(LOOKS):
        try:
            Checkpoint(checkpoint).verify()
            return None
        except CorruptData as error:
            fault = error
    return fault


def recover(run: Store) -> list[Corrupt]:
    """Sweeps what killed attempts left, and sets corrupt checkpoints aside that are newer than the newest whole one.

    Returns:
        Those, by step, and what lies aside without a word of it in the journal: whoever set it aside was killed.

    Raises:
        CorruptData: there are checkpoints, but none is whole; nothing is set aside then.
    """
    run.sweep()
    for files in look(run).orphans.values():
        remove(run, files)
    _, faults = newest_whole(run)
    before, found = look(run).aside, dict[str, str]()
    for step, fault in faults.items():
        aside = _set_aside(run, step)
        if aside not in before:  # else some of its files were there already, and that was the fault
            found[aside] = fault.found
    best = best_of(run)
    if best and best[0] in faults:
        run.delete(BEST_NAME)
    return sorted(_untold(run, found))


def rollback_step(run: Store, newest: int, checkpoint_steps: int) -> int:
    """Where a rollback goes from the checkpoint after step `newest`, a whole one; see `regular_step`."""
    forked_from = origin_of(Checkpoint(run.child(f"{FOLDER}/{name_of(newest)}")).state).forked_from
    return regular_step(newest, checkpoint_steps, forked_from)


def go_back(run: Store, checkpoint_steps: int) -> None:
    """For a rollback: removes the checkpoints after the one where it goes; see `regular_step`.

    Where that one is not there or not whole, because it could not be written or the settings were others, none is
    removed: the rollback goes to the newest one. Call it after `recover`.
    """
    steps = complete_steps(run)
    if not steps:
        return
    target = rollback_step(run, steps[-1], checkpoint_steps)
    if target and (target not in steps or fault_of(run.child(f"{FOLDER}/{name_of(target)}"))):
        return
    best = best_of(run)
    if best and best[0] > target:
        run.delete(BEST_NAME)
    for step, files in look(run).whole.items():
        if step > target:
            remove(run, files)


def _untold(run: Store, found: Mapping[str, str]) -> Iterator[Corrupt]:
    """What lies aside and is not named in the journal; `found` has by folder what was wrong, where that is known."""
    aside = look(run).aside
    raw = run.read(JOURNAL_NAME) if aside and run.exists(JOURNAL_NAME) else b""
    named = [entry["aside"] for entry in events_in(raw) if entry["event"] == CORRUPT]
    for folder in aside:
        if (name := ASIDE_NAME.fullmatch(folder)) and folder not in named:
            yield Corrupt(int(name[1]), found.get(folder) or _fault_aside(run.child(folder)), folder)


def _fault_aside(aside: Store) -> str:
    try:
        fault = fault_of(aside)
    except CheckpointError as error:  # its last file never came there, or another format
        return error.found
    return fault.found if fault else "it is whole now: its bytes changed on the way"


def _set_aside(run: Store, step: int) -> str:
    """Moves the files of a checkpoint; COMPLETE last, so that a kill leaves what is found corrupt again, and is moved
    on to the same folder."""
    shelf, stamp = look(run), datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    folder, begin = f"{FOLDER}/{name_of(step)}", f"{FOLDER}/corrupt-{name_of(step)}-"
    names = [key.removeprefix(f"{folder}/") for key, _ in shelf.whole[step]]
    is_last = names == [COMPLETE_NAME]  # a bucket's move is a copy and a deletion, with time for a kill between
    begun = [place for place, files in shelf.aside.items() if is_last or f"{place}/{COMPLETE_NAME}" not in dict(files)]
    aside = max((place for place in begun if place.startswith(begin)), default=f"{begin}{stamp}")
    for name in sorted(names, key=lambda name: name == COMPLETE_NAME):
        run.move(f"{folder}/{name}", f"{aside}/{name}")
    return aside
