"""Checkpoints as they are written: a snapshot taken between two steps, brought to the store while training goes on.

A snapshot is a handful of flat copies on the networks' device, so the step waits for those alone. What is made of
them (tensors with names, files, digests) and where it goes is another thread's work.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from satgan.gan.networks import Generator
from satgan.gan.normalization import set_running_statistics
from satgan.gan.pair import Pair
from satgan.gan.player import Player
from satgan.gan.weights import named_views
from satgan.provenance import versions
from satgan.tiles.store import Store
from satgan.train import ranks
from satgan.train.checkpoint import (
    COMPLETE_NAME,
    DISCRIMINATOR_NAME,
    FOLDER,
    FORMAT_VERSION,
    GENERATOR_NAME,
    STATE_NAME,
    history_name,
    name_of,
)
from satgan.train.device import moment
from satgan.train.origin import Origin
from satgan.train.restored import Tensors


class PlayerSnapshot(NamedTuple):
    """One network between two steps. P parameters.

    weights   `[P]` float32
    buffers   running statistics and what else the network keeps, by name
    moments   for each Adam that has stepped: first moment `[P]`, second moment `[P]`, steps
    """

    weights: Tensor
    buffers: Tensors
    moments: dict[str, tuple[Tensor, Tensor, Tensor]]


class Snapshot(NamedTuple):
    """A pair between two steps, copied; `histories` are those of all lanes, `[kept, C, S, S]` each, and `taken` is
    reached on a GPU when the copies are made."""

    step: int
    state: dict[str, Any]
    generator: PlayerSnapshot
    discriminator: PlayerSnapshot
    average: Tensor
    histories: list[Tensor]
    taken: "torch.cuda.Event | None"


class Copies:
    """Copies of tensors by name, each where the one before was: pages that are new to a process take it longer to get
    than to fill."""

    def __init__(self) -> None:
        self._by_name: Tensors = {}

    def copy(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor's, of the same layout; it stands until the next of that name."""
        held = self._by_name.get(name)
        if held is None or held.shape != tensor.shape:
            held = self._by_name[name] = torch.empty_like(tensor)
        return held.copy_(tensor)


@torch.no_grad()
def take_snapshot(pair: Pair, step: int, origin: Origin, copies: Copies) -> Snapshot | None:
    """What the checkpoint after `step` steps needs; every worker calls it, worker 0 gets it.

    Args:
        pair: after that step.
        step: steps taken.
        origin: what the checkpoint records of where its numbers come from.
        copies: where they are made; the snapshot before is none any more.
    """
    filled = [lane.history.tiles[:step] for lane in pair.lanes]
    histories = ranks.gather_lanes(filled, pair.config.train.lanes)
    if histories is None:
        return None
    state = {
        "format_version": FORMAT_VERSION,
        "step": step,
        "verdict": list(pair.verdict),
        "balance": pair.balance and {**pair.balance._asdict(), "rates": pair.balance.rates._asdict()},
        **origin._asdict(),
        "config": pair.config.model_dump(mode="json"),
        "versions": versions(),
    }
    generator, discriminator = (
        _copied(player, partial(_copy_of, copies, name))
        for name, player in (("generator", pair.generator), ("discriminator", pair.discriminator))
    )
    average = copies.copy("average", pair.average)
    histories = [copies.copy(history_name(lane), tiles) for lane, tiles in enumerate(histories)]
    return Snapshot(step, state, generator, discriminator, average, histories, moment(pair.device))


@torch.no_grad()
def write_snapshot(run: Store, pair: Pair, snapshot: Snapshot, averaged: Generator) -> str:
    """Writes the checkpoint of a snapshot; COMPLETE last. May run beside the next steps. Returns its key in `run`.

    Args:
        run: the run's folder.
        pair: whose snapshot it is; only its networks' shapes are looked at.
        snapshot: see `take_snapshot`.
        averaged: the averaged generator of the snapshot, with its own statistics.

    Raises:
        StoreError: the store does not take it.
    """
    key = f"{FOLDER}/{name_of(snapshot.step)}"
    files = (
        (name, save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}))
        for name, tensors in _files(pair, snapshot, averaged)
    )
    write_files(run, key, snapshot.state, files)
    return key


def write_files(run: Store, key: str, state: dict[str, Any], files: Iterable[tuple[str, bytes]]) -> None:
    """Writes the files of a checkpoint under `key`, then state.json with their digests, then COMPLETE.

    Raises:
        StoreError: the store does not take them.
    """
    digests = {}
    for name, raw in files:
        digests[name] = hashlib.sha256(raw).hexdigest()
        run.write(f"{key}/{name}", raw)
    text = json.dumps(state | {"sha256": digests}, indent=2).encode()
    run.write(f"{key}/{STATE_NAME}", text)
    run.write(f"{key}/{COMPLETE_NAME}", hashlib.sha256(text).hexdigest().encode())


def _copy_of(copies: Copies, owner: str, name: str, tensor: Tensor) -> Tensor:
    return copies.copy(f"{owner}.{name}", tensor)


def _copied(player: Player, copy: Callable[[str, Tensor], Tensor]) -> PlayerSnapshot:
    def moments_of(adam: str) -> tuple[Tensor, Tensor, Tensor]:
        held = player.adams[adam].moments
        first, second, steps = (copy(f"{adam}.{name}", held[name]) for name in ("exp_avg", "exp_avg_sq", "step"))
        return first, second, steps

    set_running_statistics(player.network, player.running)
    parameters = {name for name, _ in player.network.named_parameters()}
    state = player.network.state_dict().items()
    return PlayerSnapshot(
        copy("weights", player.weights),
        {name: copy(name, value) for name, value in state if name not in parameters},
        # An Adam that never stepped has none.
        {name: moments_of(name) for name, adam in player.adams.items() if adam.moments},
    )


def _files(pair: Pair, snapshot: Snapshot, averaged: Generator) -> Iterator[tuple[str, Tensors]]:
    """File name and tensors, one file after the other."""
    generator, discriminator = snapshot.generator, snapshot.discriminator
    raw = _player_tensors(pair.generator, generator)
    yield GENERATOR_NAME, _prefixed("raw", raw) | _prefixed("average", averaged.state_dict())
    yield DISCRIMINATOR_NAME, _player_tensors(pair.discriminator, discriminator)
    yield (
        "optimizers.safetensors",
        _moment_tensors(pair.generator, generator) | _moment_tensors(pair.discriminator, discriminator),
    )
    for lane, tiles in enumerate(snapshot.histories):
        yield history_name(lane), {"tiles": tiles}


def _player_tensors(player: Player, snapshot: PlayerSnapshot) -> Tensors:
    return dict(named_views(player.network, snapshot.weights)) | snapshot.buffers


def _moment_tensors(player: Player, snapshot: PlayerSnapshot) -> Tensors:
    tensors: Tensors = {}
    for adam, (first, second, steps) in snapshot.moments.items():
        for order, vector in (("exp_avg", first), ("exp_avg_sq", second)):
            tensors |= {f"{adam}.{order}.{name}": view for name, view in named_views(player.network, vector)}
        tensors[f"{adam}.step"] = steps
    return tensors


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
