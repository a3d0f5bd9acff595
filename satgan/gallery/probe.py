"""A linear probe: how well classes that training never heard of can be told from the discriminator's features.

As in the DCGAN paper (arXiv 1511.06434, §5.1), with logistic regression in the place of its SVM, and beside the same
probe on raw pixels and on an untrained network of the same form: only what it gains over these was learned.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from satgan.errors import InputError, TilesError, require_extra
from satgan.gallery.draw import BATCH, DeviceName, Tiles, device_of, open_checkpoint
from satgan.gallery.features import Features, features_of, refuse_other_tiles
from satgan.gallery.labelled import By, Collection, open_collection
from satgan.gallery.linear import Labels, Measured, fit, measured_from, tails
from satgan.gan.networks import Discriminator, initialise, share_reference
from satgan.gan.normalization import batch_statistics, set_running_statistics
from satgan.tiles.pixels import to_unit_range
from satgan.train.restored import discriminator_of

Progress = Callable[[int, int | None], None]
FEWEST_OF_A_CLASS = 16
DISCRIMINATOR, UNTRAINED, PIXELS, USUAL = (
    "discriminator",
    "the same, untrained",
    "raw pixels",
    "always the commonest class",
)


class Probed(NamedTuple):
    """A probe's outcome: tiles by class for training and test, tiles left out for want of a class, and what was
    reached by kind of features."""

    training: dict[str, int]
    test: dict[str, int]
    unlabelled: int
    measured: dict[str, Measured]


class Part(NamedTuple):
    """Tiles `[N, S, S, C] uint8` and their classes `[N]`."""

    tiles: Tiles
    labels: Labels


def probe(
    checkpoint: str,
    tiles: str,
    *,
    test: str | None,
    by: By,
    table: str | None,
    count: int,
    seed: int,
    device: DeviceName,
    progress: Progress = lambda count, total: None,
) -> Probed:
    """Trains and tests the probes.

    Args:
        checkpoint: url of a checkpoint or a run.
        tiles: a tile set, or a folder or prefix of images in class folders.
        test: the same, to test on; None for the last quarter of each class in the order of names, so that overlapping
            neighbours of cut tiles are not spread over both.
        by: column of a set's tiles.parquet that says the class.
        table: Parquet or CSV file of name and label instead.
        count: at most so many tiles to train on, evenly spread over their names; to test on as many of `test`, or a
            third as many.
        seed: of the untrained network.
        device: to compute features on.
        progress: told how many tiles have their features.

    Raises:
        InputError: scikit-learn is not installed, no tiles are asked for, or fewer than two classes.
        TilesError: tiles of another shape than the checkpoint's, or too few of a class.
        CheckpointError, CorruptData, StoreError: something cannot be read.
    """
    require_extra("sklearn", "probe", "the probe", "pip install scikit-learn")
    opened = open_checkpoint(checkpoint)
    gan, trained = opened.config().gan, discriminator_of(opened)
    training, held, unlabelled = _parts(tiles, test, by, table, count, lambda found: refuse_other_tiles(gan, found))
    some_tiles = training.tiles[np.linspace(0, len(training.tiles) - 1, BATCH).round().astype(int)]
    untrained = untrained_like(trained, Discriminator(gan), some_tiles, seed)
    ways: dict[str, Callable[[Tiles], Features]] = {
        DISCRIMINATOR: lambda some: features_of(trained, some),
        UNTRAINED: lambda some: features_of(untrained, some),
        PIXELS: lambda some: some.reshape(len(some), -1).astype(np.float32),
    }
    measured = {}
    for network in (trained, untrained):
        network.to(device_of(device))
    total = len(ways) * (len(training.labels) + len(held.labels))
    for name, way in ways.items():
        seen, unseen = (_by_batches(way, part.tiles, lambda done: progress(done, total)) for part in (training, held))
        guessed = fit(seen, training.labels).predict(unseen)
        measured[name] = measured_from(seen.shape[1], guessed == held.labels)
    usual = max(_counted(training.labels).items(), key=lambda item: item[1])[0]
    measured[USUAL] = measured_from(0, held.labels == usual)
    return Probed(_counted(training.labels), _counted(held.labels), unlabelled, measured)


@torch.no_grad()
def untrained_like(trained: Discriminator, fresh: Discriminator, tiles: Tiles, seed: int) -> Discriminator:
    """`fresh` with first weights, in evaluation mode, its batch norms set to the statistics of some tiles: else deep
    maps of an untrained network are nearly alike, and the comparison would be too easy.

    Args:
        trained: whose reference batch of virtual norm is used.
        fresh: a network of the same form.
        tiles: `[B, S, S, C] uint8`.
        seed: of the weights.
    """
    initialise(fresh, seed, 1)
    share_reference(fresh, trained)
    fresh.train()(to_unit_range(torch.from_numpy(tiles)))
    set_running_statistics(fresh, batch_statistics(fresh))
    return fresh.eval()


def _parts(
    tiles: str, test: str | None, by: By, table: str | None, count: int, refuse: Callable[[Collection], None]
) -> tuple[Part, Part, int]:
    """Training and test tiles, and how many had no class."""
    if count < 1:
        raise InputError(f"--count {count}", "ask for some tiles to train on")
    collections = [open_collection(url, by, table) for url in (tiles, test) if url is not None]
    for collection in collections:
        refuse(collection)
    found = [_chosen(collection, count if test else count * 4 // 3) for collection in collections]
    unlabelled = sum(collection.labels.count(None) for collection in collections)
    if test is not None:
        training, held = found
    else:
        tail = tails(found[0].labels)
        training, held = (Part(found[0].tiles[which], found[0].labels[which]) for which in (~tail, tail))
    few = {name: number for name, number in _counted(training.labels).items() if number < FEWEST_OF_A_CLASS}
    if few:
        name, number = next(iter(few.items()))
        found_few = f"class {name!r} has {number} tiles to train on"
        raise TilesError(found_few, f"leave it out, or give it {FEWEST_OF_A_CLASS} or more")
    return training, held, unlabelled


def _chosen(collection: Collection, count: int) -> Part:
    """Labelled tiles in the order of their names, at most so many, evenly spread."""
    named = [number for number, label in enumerate(collection.labels) if label is not None]
    classes = {collection.labels[number] for number in named}
    if len(classes) < 2:
        found = f"{collection.url} has {len(classes)} class(es) among {len(collection.names):,} tiles"
        raise InputError(found, "give tiles in class folders, --by source, or --labels FILE")
    named.sort(key=lambda number: collection.names[number])
    spread = np.linspace(0, len(named) - 1, min(count, len(named))).round().astype(int)
    chosen = [named[place] for place in spread]
    rows = {number: row for row, number in enumerate(chosen)}
    tiles = np.empty((len(chosen), collection.size, collection.size, collection.channels), np.uint8)
    first = 0
    for batch in collection.batches():
        for number, tile in enumerate(batch, start=first):
            if number in rows:
                tiles[rows[number]] = tile
        first += len(batch)
    return Part(tiles, np.array([collection.labels[number] for number in chosen], np.str_))


def _by_batches(way: Callable[[Tiles], Features], tiles: Tiles, done: Callable[[int], None]) -> Features:
    parts = []
    for first in range(0, len(tiles), BATCH):
        parts.append(way(tiles[first : first + BATCH]))
        done(len(parts[-1]))
    return np.concatenate(parts)


def _counted(labels: Labels) -> dict[str, int]:
    names, counts = np.unique(labels, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}
