"""A checkpoint brought home: every file verified, whole when it has its name, and not fetched twice."""

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

from satgan.errors import CorruptData, InputError
from satgan.gallery.draw import open_checkpoint
from satgan.tiles.folder import folder_errors_told
from satgan.tiles.store import Store, open_store
from satgan.train.checkpoint import (
    COMPLETE_NAME,
    FOLDER,
    GENERATOR_NAME,
    STATE_NAME,
    Checkpoint,
    complete_steps,
    name_of,
)
from satgan.train.journal import JOURNAL_NAME
from satgan.train.run_folder import CONFIG_NAME

Purpose = Literal["sampling", "resuming"]
ATTEMPTS = 2
"""The bytes may have changed on the way here."""


class Pulled(NamedTuple):
    """Where a checkpoint lies now, what was fetched (of another call's files only those that were missing), and the
    command that uses it."""

    source: str
    step: int
    folder: str
    files: int
    fetched: int
    bytes: int
    command: str

    def lines(self) -> list[str]:
        """For the user."""
        told = f"{self.fetched} of {self.files} files fetched, {self.bytes / 1e6:,.1f} MB"
        return [f"{self.source} > {self.folder}", told, f"use it: {self.command}"]


def pull(url: str, to: Path, purpose: Purpose) -> Pulled:
    """Fetches the checkpoint at a url: a checkpoint's own, or a run's best, else its newest.

    Args:
        url: of a checkpoint or a run.
        to: a local folder, new or from an earlier call: what is whole there is not fetched again.
        purpose: `sampling`: the generator, straight into `to`; `resuming`: `to` becomes a run with this checkpoint.

    Raises:
        CheckpointError: there is no whole checkpoint.
        CorruptData: a file differs from its digest, twice.
        InputError: `to` holds another checkpoint.
        StoreError: it cannot be read, or `to` not be written.
    """
    checkpoint = open_checkpoint(url)
    run_url = checkpoint.store.url.rsplit(f"/{FOLDER}/", 1)[0]
    place = to if purpose == "sampling" else to / FOLDER / name_of(checkpoint.step)
    names = [GENERATOR_NAME] if purpose == "sampling" else list(checkpoint.state["sha256"])
    _refuse_other(place, checkpoint)
    fetched, size = 0, 0
    if purpose == "resuming":
        run = open_store(run_url)
        _refuse_other_run(to, run, checkpoint.step)
        for name in (CONFIG_NAME, JOURNAL_NAME):
            if not (to / name).exists():
                run.download(name, to / name)
    for name in names:
        count = _fetch(checkpoint, name, place / name)
        fetched, size = fetched + bool(count), size + count
    for name in (STATE_NAME, COMPLETE_NAME):  # last: what has COMPLETE is whole
        checkpoint.store.download(name, place / name)
    command = f"satgan sample {to}"
    if purpose == "resuming":
        command = f"satgan train --config {to / CONFIG_NAME} --store {to.absolute().parent} --name {to.absolute().name}"
    return Pulled(checkpoint.store.url, checkpoint.step, str(place), len(names), fetched, size, command)


def _refuse_other(place: Path, checkpoint: Checkpoint) -> None:
    """A folder that is not this checkpoint's is left alone."""
    complete = place / COMPLETE_NAME
    if complete.exists() and complete.read_bytes() != checkpoint.store.read(COMPLETE_NAME):
        found = f"{place} holds another checkpoint than {checkpoint.store.url}"
        raise InputError(found, "give another --to, or remove that folder")


def _refuse_other_run(to: Path, run: Store, step: int) -> None:
    """A folder with another run, or with this one when it has gone on there, is left alone."""
    if not to.is_dir():
        return
    config, ahead = to / CONFIG_NAME, [one for one in complete_steps(open_store(str(to))) if one > step]
    if ahead or (config.exists() and config.read_bytes() != run.read(CONFIG_NAME)):
        what = f"this run after step {ahead[-1]}" if ahead else f"a run with another {CONFIG_NAME} than {run.url}"
        raise InputError(f"{to} holds {what}", "give another --to; nothing was touched")


def _fetch(checkpoint: Checkpoint, name: str, path: Path) -> int:
    """Bytes that were fetched; 0 where the file lies there as it was written.

    Raises:
        CorruptData: it differs from its digest each time.
    """
    recorded = checkpoint.state["sha256"][name]
    if path.exists() and _digest(path) == recorded:
        return 0
    found = ""
    for _ in range(ATTEMPTS):
        checkpoint.store.download(name, path)
        found = _digest(path)
        if found == recorded:
            return path.stat().st_size
    path.unlink()
    raise CorruptData(
        f"{checkpoint.store.url}/{name} has sha256 {found}, but {recorded} was recorded",
        "give an earlier checkpoint of the run: RUN/checkpoints/step-…",
    )


def _digest(path: Path) -> str:
    with folder_errors_told("read", str(path)), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
