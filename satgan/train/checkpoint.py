"""Checkpoints as they are read: safetensors and JSON, named by step, whole or not there (`snapshot.py` writes them,
`restored.py` makes networks of them).

checkpoints/step-00000500/
    generator.safetensors       raw.* and average.*: weights, running statistics or virtual norm's reference batch
    discriminator.safetensors   the same of the discriminator
    optimizers.safetensors      {adam}.{exp_avg|exp_avg_sq}.{weight}, {adam}.step
    history/lane-000.safetensors
    state.json                  step, verdict, balance (of recipe.auto_balance), origin (origin.py), config, versions,
                                sha256 of every file above
    COMPLETE                    sha256 of state.json; written last
"""

import hashlib
import json
import re
from typing import Any, NamedTuple

from satgan.config import Config, load_config
from satgan.errors import CheckpointError, ConfigError, CorruptData, StoreMissing
from satgan.tiles.store import Store

FORMAT_VERSION = 1
FOLDER = "checkpoints"
BEST_NAME, HISTORY_FOLDER = "best.json", "history/"
STATE_NAME, COMPLETE_NAME, GENERATOR_NAME = "state.json", "COMPLETE", "generator.safetensors"
DISCRIMINATOR_NAME = "discriminator.safetensors"
PATTERN = rf"{FOLDER}/step-(\d{{8,}})/{COMPLETE_NAME}"
PART_BYTES = 8 * 2**20


def name_of(step: int) -> str:
    """Folder name of the checkpoint after `step` steps."""
    return f"step-{step:08d}"


def complete_steps(run: Store) -> list[int]:
    """Steps of the whole checkpoints of a run, ascending."""
    found = (re.fullmatch(PATTERN, key) for key, _ in run.list(f"{FOLDER}/step-"))
    return sorted(int(match[1]) for match in found if match)


class Best(NamedTuple):
    """A run's best checkpoint: its step, its score, and by how many tiles a side; None: that was not noted."""

    step: int
    score: float
    tiles: int | None


def best_of(run: Store) -> Best | None:
    """A run's best checkpoint; None where none was judged, or what is noted cannot be made out."""
    if not run.exists(BEST_NAME):
        return None
    try:
        told = json.loads(run.read(BEST_NAME))
        return Best(int(told["step"]), float(told["score"]), told.get("tiles"))
    except (ValueError, KeyError, TypeError):  # the journal has the scores too: no run shall end for this file
        return None


class Checkpoint:
    """A checkpoint opened for reading: whole, and every file verified when it is read.

    Args:
        store: the checkpoint's own folder or prefix.

    Raises:
        CheckpointError: there is none, or it was written by another format.
        CorruptData: state.json differs from what COMPLETE says.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        if not store.exists(COMPLETE_NAME):
            raise CheckpointError(
                f"no whole checkpoint in {store.url} (it has no file {COMPLETE_NAME})",
                "give the folder of a checkpoint, like RUN/checkpoints/step-00000500, or of a run that has one",
            )
        raw = self._read(STATE_NAME)
        self._verify(STATE_NAME, raw, store.read(COMPLETE_NAME).decode(errors="replace").strip())
        self.state: dict[str, Any] = json.loads(raw)
        if self.state["format_version"] != FORMAT_VERSION:
            found = f"{store.url} has checkpoint format {self.state['format_version']}, this satgan reads 1"
            raise CheckpointError(found, "read it with the satgan version that wrote it")

    @property
    def step(self) -> int:
        """Steps that had been taken."""
        return int(self.state["step"])

    def config(self) -> Config:
        """The config of the run that wrote it."""
        tree = self.state["config"]
        try:
            return load_config(tree["gan"]["preset"], tree)
        except ConfigError as error:
            found = f"{self.store.url} has a config that is not known: {error.found}"
            raise CheckpointError(found, error.remedy) from None

    def verify(self) -> None:
        """Reads every file, once all are there; of none more than 8 MB is in memory.

        Raises:
            CorruptData: one is gone, or differs from its digest.
        """
        sizes_bytes = dict(self.store.list())
        for name in self.state["sha256"]:
            if name not in sizes_bytes:
                raise self._lacks(name)
        for name, recorded in self.state["sha256"].items():
            self._compare(name, sizes_bytes[name], self._digest(name, sizes_bytes[name]), recorded)

    def verified(self, name: str) -> bytes:
        """A file as it was written.

        Raises:
            CorruptData: it is gone, or other bytes than those whose digest was recorded.
        """
        raw = self._read(name)
        self._verify(name, raw, self.state["sha256"][name])
        return raw

    def _read(self, name: str) -> bytes:
        try:
            return self.store.read(name)
        except StoreMissing as error:
            raise self._lacks(name) from error

    def _digest(self, name: str, size_bytes: int) -> str:
        digest, buffer = hashlib.sha256(), memoryview(bytearray(min(size_bytes, PART_BYTES)))
        try:
            for offset in range(0, size_bytes, PART_BYTES):
                self.store.read_range_into(name, offset, buffer[: size_bytes - offset], digest.update)
        except StoreMissing as error:  # since it was listed
            raise self._lacks(name) from error
        return digest.hexdigest()

    def _verify(self, name: str, raw: bytes, recorded: str) -> None:
        self._compare(name, len(raw), hashlib.sha256(raw).hexdigest(), recorded)

    def _compare(self, name: str, size_bytes: int, found: str, recorded: str) -> None:
        if found != recorded:
            raise CorruptData(
                f"{self.store.url}/{name} has {size_bytes} bytes with sha256 {found}, but {recorded} was recorded",
                self._remedy(),
            )

    def _lacks(self, name: str) -> CorruptData:
        return CorruptData(f"{self.store.url} lacks the file {name}", self._remedy())

    def _remedy(self) -> str:
        return "give an earlier checkpoint; `satgan train` goes on from the newest one that is whole by itself"


def history_name(lane: int) -> str:
    """File of a lane's past fakes in a checkpoint."""
    return f"{HISTORY_FOLDER}lane-{lane:03d}.safetensors"
