"""New tiles from a checkpoint. The same noise gives the same tile, whatever else is drawn with it."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from satgan.errors import InputError
from satgan.gan.networks import Generator
from satgan.pictures.grid import grid_png, png
from satgan.randomness import Purpose, generator
from satgan.tiles.pixels import to_bytes
from satgan.tiles.store import Store, open_store
from satgan.train.checkpoint import FOLDER, Checkpoint, best_of, complete_steps, name_of

BATCH = 64
"""Every pass has this shape: libraries choose their kernels, and with them the last bits, by the batch."""


def open_checkpoint(url: str) -> Checkpoint:
    """The checkpoint in a folder or prefix: a checkpoint's own, or a run's best, where it was judged, else its newest.

    Raises:
        CheckpointError: there is no whole one.
        CorruptData: it differs from its digests.
    """
    store = open_store(url)
    steps, best = complete_steps(store), best_of(store)
    if not steps:
        return Checkpoint(store)
    return Checkpoint(store.child(f"{FOLDER}/{name_of(best[0] if best and best[0] in steps else steps[-1])}"))


def sample_noise(seed: int, first: int, count: int, size: int) -> NDArray[np.float32]:
    """Noise of the samples first, first + 1, …: `[count, size]`; each a function of seed and its number alone."""
    rows = [
        generator(seed, Purpose.SAMPLE, step=number).standard_normal(size, dtype=np.float32)
        for number in range(first, first + count)
    ]
    return np.stack(rows) if rows else np.zeros((0, size), np.float32)


@torch.no_grad()
def draw_tiles(network: Generator, noise: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Tiles `[N, S, S, C]` uint8 of noise `[N, Z]`, in evaluation mode, float32 and passes of one fixed shape."""
    parts = []
    for first in range(0, len(noise), BATCH):
        rows = noise[first : first + BATCH]
        padded = np.zeros((BATCH, noise.shape[1]), np.float32)
        padded[: len(rows)] = rows
        parts.append(to_bytes(network(torch.from_numpy(padded)))[: len(rows)].numpy())
    return np.concatenate(parts)


def draw_batches(network: Generator, seed: int, count: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """`count` tiles of a seed, batch by batch, so that memory stays flat."""
    for first in range(0, count, BATCH):
        yield draw_tiles(network, sample_noise(seed, first, min(BATCH, count - first), size))


def sample(checkpoint: str, count: int, out: str, seed: int, grid: bool, raw: bool) -> list[str]:
    """Draws `count` tiles and writes them as PNG: a file each, or one grid.

    Args:
        checkpoint: url of a checkpoint or a run.
        count: how many; at least 1.
        out: folder or prefix for the files.
        seed: of the noise; tile number i is the same for every count.
        grid: one sheet, `grid.png`, instead of files.
        raw: the generator as trained instead of the averaged one.

    Returns:
        The urls written. Files of an earlier call under the same names are replaced.

    Raises:
        InputError: nothing to draw.
        CheckpointError, CorruptData, StoreError: the checkpoint cannot be used, or `out` cannot be written.
    """
    if count < 1:
        raise InputError(f"--count {count}", "ask for one tile or more")
    opened, store = open_checkpoint(checkpoint), open_store(out)
    network, size = opened.generator("raw" if raw else "average"), opened.config().gan.noise_size
    batches = draw_batches(network, seed, count, size)
    if grid:
        tiles = np.concatenate(list(batches))
        return [_write(store, "grid.png", grid_png(tiles, columns=max(1, round(count**0.5))))]
    numbered = enumerate(tile for batch in batches for tile in batch)
    return [_write(store, f"tile-{number:06d}.png", png(tile)) for number, tile in numbered]


def _write(store: Store, key: str, data: bytes) -> str:
    store.write(key, data)
    return f"{store.url.rstrip('/')}/{key}"
