"""What a checkpoint costs the steps: how long they wait for it, and how much slower they are while it is written."""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bench.measure import seconds_of, wait_for
from bench.variants import OurStep, make_batches
from satgan.config import Config
from satgan.tiles.store import FolderStore
from satgan.train.device import decide
from satgan.train.divergence import wrong_tensors
from satgan.train.origin import Origin
from satgan.train.snapshot import Copies, PlayerSnapshot, Snapshot, take_snapshot, write_snapshot


class Held(NamedTuple):
    """One preset's figures, those in seconds one per round.

    step_seconds    of a step on average, without a checkpoint
    hold_seconds    the steps stand still for: everything is looked at (is it finite?) and copied
    extra_seconds   a checkpoint takes in all: standing still, and the steps that are slower while another thread makes
                    the averaged generator, files and digests, to a local folder
    snapshot_bytes  memory of the copies
    file_bytes      of the checkpoint
    """

    preset: str
    config: Config
    step_seconds: tuple[float, ...]
    hold_seconds: tuple[float, ...]
    extra_seconds: tuple[float, ...]
    snapshot_bytes: int
    file_bytes: int


def measure_checkpoints(preset: str, config: Config, device: torch.device, rounds: int, steps: int) -> Held:
    """Steps without and with a checkpoint in turn, so many of each per round; the history is full.

    Args:
        preset: its name.
        config: one lane.
        device: where.
        rounds: of which one figure each.
        steps: enough of them that a checkpoint is written meanwhile.
    """
    config = decide(config)
    ours = OurStep(config, make_batches(config, device), device)
    taken = config.recipe.history_capacity
    ours.step(0)
    alone, hold, extra, snapshot_bytes, copies = [], [], [], 0, Copies()
    with tempfile.TemporaryDirectory(prefix="satgan-bench-") as folder, ThreadPoolExecutor(1) as writer:
        store = FolderStore(Path(folder))
        for _ in range(rounds):
            alone.append(seconds_of(ours.step, steps, device) / steps)
            start = time.perf_counter()
            assert not wrong_tensors(ours.pair)
            snapshot = take_snapshot(ours.pair, taken, Origin("bench"), copies)
            assert snapshot is not None
            wait_for(device)
            hold.append(time.perf_counter() - start)
            snapshot_bytes = _bytes(snapshot)
            writing = writer.submit(_write, store, ours, snapshot)
            stepping = seconds_of(ours.step, steps, device)
            writing.result()
            extra.append(hold[-1] + stepping - steps * alone[-1])
        file_bytes = sum(size for _, size in store.list())
    return Held(preset, config, tuple(alone), tuple(hold), tuple(extra), snapshot_bytes, file_bytes)


def _write(store: FolderStore, ours: OurStep, snapshot: Snapshot) -> None:
    write_snapshot(store, ours.pair, snapshot, ours.pair.averaged_generator(snapshot.average))


def _bytes(snapshot: Snapshot) -> int:
    tensors = [snapshot.average, *snapshot.histories]
    for player in (snapshot.generator, snapshot.discriminator):
        tensors += _tensors(player)
    return sum(tensor.nbytes for tensor in tensors)


def _tensors(player: PlayerSnapshot) -> Iterator[Tensor]:
    yield player.weights
    yield from player.buffers.values()
    for moments in player.moments.values():
        yield from moments
