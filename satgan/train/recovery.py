"""Where an attempt at a run goes on: from the newest checkpoint whose every file is what was written.

A corrupt one is set aside under a name of its own, never removed; what killed attempts left unfinished is. So only one
process may call this, and nobody else may be writing: worker 0 of the driver that holds the run's lease.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from satgan.errors import CorruptData
from satgan.tiles.store import Store
from satgan.train.checkpoint import BEST_NAME, COMPLETE_NAME, FOLDER, Checkpoint, best_of, complete_steps, name_of
from satgan.train.origin import origin_of
from satgan.train.retention import look, regular_step, remove

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
        Those, by step.

    Raises:
        CorruptData: there are checkpoints, but none is whole; nothing is set aside then.
    """
    run.sweep()
    for files in look(run).orphans.values():
        remove(run, files)
    _, faults = newest_whole(run)
    corrupt = [Corrupt(step, fault.found, _set_aside(run, step)) for step, fault in sorted(faults.items())]
    best = best_of(run)
    if best and best[0] in faults:
        run.delete(BEST_NAME)
    return corrupt


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


def _set_aside(run: Store, step: int) -> str:
    """Moves the files of a checkpoint; COMPLETE last, so that a kill leaves what is found corrupt, and moved, again."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    folder, aside = f"{FOLDER}/{name_of(step)}", f"{FOLDER}/corrupt-{name_of(step)}-{stamp}"
    names = [key.removeprefix(f"{folder}/") for key, _ in look(run).whole[step]]
    for name in sorted(names, key=lambda name: name == COMPLETE_NAME):
        run.move(f"{folder}/{name}", f"{aside}/{name}")
    return aside
