"""Drawing from a checkpoint. The same noise gives the same tile, whatever else is drawn with it."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from satgan.config import Config
from satgan.errors import ConfigError, InputError, StoreMissing
from satgan.gan.networks import Generator
from satgan.randomness import Purpose, generator
from satgan.tiles.pixels import to_bytes
from satgan.tiles.store import open_store
from satgan.train.checkpoint import FOLDER, Checkpoint, best_of, complete_steps, name_of
from satgan.train.device import training_device
from satgan.train.restored import generator_of

BATCH = 64
"""Every pass has this shape: libraries choose their kernels, and with them the last bits, by the batch."""

LEAST_TRUNCATION = 0.02
"""Below, nearly every number would have to be drawn hundreds of times."""

Noise = NDArray[np.float32]
Tiles = NDArray[np.uint8]
DeviceName = Literal["auto", "cpu", "cuda"]
DEVICES: tuple[DeviceName, ...] = ("auto", "cpu", "cuda")


class Choice(NamedTuple):
    """How to draw.

    Attributes:
        seed: of the noise, 0 to 2**64 - 1.
        truncation: numbers of the noise beyond this many deviations are drawn again (Brock, Donahue and Simonyan,
            arXiv 1809.11096, section 3.1): tiles more alike, and more ordinary; None for noise as in training.
        raw: the generator as trained instead of the averaged one.
        device: `auto` is the GPU where there is one. Its tiles differ from the CPU's by a level here and there.
    """

    seed: int = 0
    truncation: float | None = None
    raw: bool = False
    device: DeviceName = "auto"


class Artist(NamedTuple):
    """A generator and what it draws with.

    Attributes:
        checkpoint: where it is from.
        config: of the run that wrote that.
        network: in evaluation mode, on the device of the choice.
        choice: seed and truncation of its noise.
    """

    checkpoint: Checkpoint
    config: Config
    network: Generator
    choice: Choice

    def noise(self, first: int, count: int) -> Noise:
        """Noise `[count, Z]` of the samples first, first + 1, …"""
        return sample_noise(self.choice.seed, first, count, self.config.gan.noise_size, self.choice.truncation)

    def batches(self, count: int) -> Iterator[Tiles]:
        """The first `count` tiles, batch by batch."""
        for first in range(0, count, BATCH):
            yield draw_tiles(self.network, self.noise(first, min(BATCH, count - first)))


def open_artist(url: str, choice: Choice) -> Artist:
    """The generator of a checkpoint, or of a run's best.

    Raises:
        InputError: a truncation that is too small.
        ConfigError: a GPU is asked for and there is none.
        CheckpointError, CorruptData, StoreError: the checkpoint cannot be used.
    """
    if choice.truncation is not None and choice.truncation < LEAST_TRUNCATION:
        raise InputError(
            f"--truncation {choice.truncation:g}",
            f"give {LEAST_TRUNCATION} or more; from 1 to 2 it is seen, and much is left",
        )
    device = device_of(choice.device)
    checkpoint = open_checkpoint(url)
    network = generator_of(checkpoint, "raw" if choice.raw else "average").to(device)
    return Artist(checkpoint, checkpoint.config(), network, choice)


def device_of(name: DeviceName) -> torch.device:
    """The device of that name, set up to give the same bits every time.

    Raises:
        ConfigError: there is no GPU.
    """
    if name == "cpu":
        return torch.device("cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: PyTorch finds no GPU here", "leave --device out, or check `nvidia-smi`")
    return training_device(deterministic=True)


def open_checkpoint(url: str) -> Checkpoint:
    """The checkpoint in a folder or prefix: a checkpoint's own, or a run's best, where it was judged, else its newest.

    Raises:
        StoreMissing: there is no such place.
        CheckpointError: there is no whole one.
        CorruptData: it differs from its digests.
    """
    store = open_store(url)
    try:
        steps, best = complete_steps(store), best_of(store)
    except StoreMissing as error:
        found = f"no checkpoint and no run in {url}: {error.found}"
        raise StoreMissing(found, "check the spelling; `satgan runs` lists the runs of ./runs") from None
    if not steps:
        return Checkpoint(store)
    return Checkpoint(store.child(f"{FOLDER}/{name_of(best[0] if best and best[0] in steps else steps[-1])}"))


def sample_noise(seed: int, first: int, count: int, size: int, truncation: float | None = None) -> Noise:
    """Noise of the samples first, first + 1, …: `[count, size]`; each a function of seed, its number and truncation."""
    rows = [_row(seed, size, truncation, number) for number in range(first, first + count)]
    return np.stack(rows) if rows else np.zeros((0, size), np.float32)


def _row(seed: int, size: int, truncation: float | None, number: int) -> Noise:
    stream = generator(seed, Purpose.SAMPLE, step=number)
    row = stream.standard_normal(size, dtype=np.float32)
    while truncation is not None and (beyond := np.abs(row) > truncation).any():
        row[beyond] = stream.standard_normal(np.count_nonzero(beyond), dtype=np.float32)
    return row


@torch.no_grad()
def draw_tiles(network: Generator, noise: Noise) -> Tiles:
    """Tiles `[N, S, S, C]` uint8 of noise `[N, Z]`, in evaluation mode, float32 and passes of one fixed shape."""
    parts, device = [], next(network.parameters()).device
    for first in range(0, len(noise), BATCH):
        rows = noise[first : first + BATCH]
        padded = np.zeros((BATCH, noise.shape[1]), np.float32)
        padded[: len(rows)] = rows
        parts.append(to_bytes(network(torch.from_numpy(padded).to(device)))[: len(rows)].cpu().numpy())
    return np.concatenate(parts)
