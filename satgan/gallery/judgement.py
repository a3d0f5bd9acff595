"""Two sides before the judge: tile sets, folders of images, or checkpoints to draw from."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.errors import StoreMissing, TilesError
from satgan.gallery.draw import Choice, open_artist
from satgan.gallery.labelled import checked_tiles
from satgan.judge.inception_scores import (
    CHANNELS,
    SUBSET_TILES,
    Extractor,
    InceptionJudgement,
    InceptionReference,
    Tell,
    inception_reference_of,
    judge_inception,
    make_inception_reference,
)
from satgan.judge.judgement import Judgement, judge, published
from satgan.judge.reference import Reference, make_reference, pick_tiles, reference_of
from satgan.judge.spectrum import Spectrum, log_power
from satgan.kinds import FEWEST_JUDGED
from satgan.randomness import Purpose, generator
from satgan.tiles.images import TileFolder, look_at_folder
from satgan.tiles.manifest import MANIFEST_NAME
from satgan.tiles.store import FolderStore, open_store
from satgan.tiles.tile_set import TileSet, open_tile_set
from satgan.train.checkpoint import COMPLETE_NAME, complete_steps

Tiles = NDArray[np.uint8]

TILES_PER_SIDE = 2048
SHOWN = 64


class Side(NamedTuple):
    """A side that was looked at but not read.

    Attributes:
        url: as it was given.
        available: its tiles; None for a checkpoint, which draws any number.
        size: height and width of its tiles in pixels.
        channels: of its tiles.
        take: so many of them in random order, `[n, S, S, C] uint8`; a function of the seed.
        tile_set: if it is one.
    """

    url: str
    available: int | None
    size: int
    channels: int
    take: Callable[[int], Tiles]
    tile_set: TileSet | None = None


class Finding(NamedTuple):
    """A judgement with what a page shows beside it: some tiles of both sides, and their spectra; and what Inception
    features say, if they were asked for."""

    judgement: Judgement
    fakes: Tiles
    reals: Tiles
    fake_spectrum: Spectrum
    real_spectrum: Spectrum
    inception: InceptionJudgement | None


def compare(
    fakes: str,
    reals: str,
    tiles_per_side: int | None,
    held_out: str | None,
    seed: int,
    extractor: Extractor | None,
    tell: Tell,
) -> Finding:
    """Judges one side against the other.

    Args:
        fakes: a tile set, a folder or prefix of images, a checkpoint or a run.
        reals: the same; twice as many tiles are taken of it.
        tiles_per_side: N; None for 2,048, or what both sides have.
        held_out: real tiles that were not trained on, for the floor of `memory`.
        seed: of the choice of tiles and of the noise.
        extractor: Inception weights, for FID and KID as well.
        tell: hears how far these are.

    Raises:
        TilesError: sides of different shape, too few tiles on one, or channels that the extractor cannot see.
        CheckpointError, CorruptData, StoreError: a side cannot be used.
    """
    fake_side, real_side = open_side(fakes, seed), open_side(reals, seed)
    held_side = open_side(held_out, seed) if held_out else None
    for side in (fake_side, *([held_side] if held_side else [])):
        refuse_other_shape(side, real_side)
    count = _tiles_per_side(fake_side, real_side, tiles_per_side, FEWEST_JUDGED if extractor is None else SUBSET_TILES)
    if extractor is not None:
        _refuse_channels(real_side)
    # Read at most once, and not at all where both references are kept.
    real_tiles = cache(lambda: real_side.take(2 * count))
    drawn = fake_side.take(count)
    reference = _reference(real_side, count, real_tiles, held_side, seed)
    judgement, half, inception = judge(drawn, reference), reference.half, None
    judgement = judgement._replace(scores={**judgement.scores, **published(drawn, reference)})
    if extractor is not None:
        seen = _seen(real_side, count, real_tiles, seed, extractor, tell)
        inception = judge_inception(drawn, seen, extractor, tell)
    return Finding(
        judgement, drawn[:SHOWN], half.tiles[:SHOWN], log_power(drawn), half.spectrum, inception
    )  # fmt: skip


def open_side(url: str, seed: int) -> Side:
    """What lies at a url: a tile set, a checkpoint or a run with one, else a folder of images.

    Raises:
        StoreMissing, TilesError: none of them.
        CheckpointError, CorruptData: a checkpoint that cannot be used.
    """
    store = open_store(url)
    if isinstance(store, FolderStore) and not store.folder.is_dir():
        raise StoreMissing(f"no such folder: {url}", "give a tile set, a folder of images, a checkpoint or a run")
    if store.exists(MANIFEST_NAME):
        tile_set = open_tile_set(url)
        about = tile_set.manifest
        take: Callable[[int], Tiles] = lambda count: pick_tiles(tile_set, count, seed)  # noqa: E731
        return Side(url, about.tile_count, about.size, about.channels, take, tile_set)
    if store.exists(COMPLETE_NAME) or complete_steps(store):
        return _checkpoint_side(url, seed)
    folder = look_at_folder(url)
    return Side(
        url, len(folder.listing), folder.shape.height, folder.shape.channels,
        lambda count: _from_folder(folder, count, seed),
    )  # fmt: skip


def _checkpoint_side(url: str, seed: int) -> Side:
    artist = open_artist(url, Choice(seed, device="cpu"))

    def take(count: int) -> Tiles:
        return np.concatenate(list(artist.batches(count)))

    return Side(url, None, artist.config.gan.size, artist.config.gan.channels, take)


def _from_folder(folder: TileFolder, count: int, seed: int) -> Tiles:
    order = generator(seed, Purpose.JUDGE, lane=5).permutation(len(folder.listing))[:count]
    chosen = folder._replace(listing=[folder.listing[number] for number in order])
    tiles = np.empty((count, folder.shape.height, folder.shape.width, folder.shape.channels), np.uint8)
    for number, pixels in enumerate(checked_tiles(chosen)):
        tiles[number] = pixels
    return tiles


def refuse_other_shape(side: Side, reals: Side) -> None:
    """Raises TilesError where two sides' tiles differ in size or channels."""
    if (side.size, side.channels) != (reals.size, reals.channels):
        raise TilesError(
            f"{side.url} has tiles of {side.size} pixels and {side.channels} channels, {reals.url} of {reals.size} "
            f"and {reals.channels}",
            "compare tiles of the same size and channels; `satgan tiles cut --size --bands` makes others",
        )


def _refuse_channels(side: Side) -> None:
    if side.channels not in CHANNELS:
        remedy = "judge without --inception, or tiles of three bands: `satgan tiles cut --bands`"
        raise TilesError(f"{side.url} has tiles of {side.channels} channels; Inception sees red, green, blue", remedy)


def _tiles_per_side(fakes: Side, reals: Side, wanted: int | None, fewest: int) -> int:
    """N, or a refusal: the reals are needed twice."""
    room = min(TILES_PER_SIDE if count is None else count for count in (_half(reals), fakes.available))
    count = min(TILES_PER_SIDE, room) if wanted is None else wanted
    if count < fewest:
        there = ", ".join(f"{side.url} has {side.available}" for side in (fakes, reals) if side.available is not None)
        found = f"{count} tiles per side: {there or 'so few are asked for'}; the reals are needed twice"
        who, way_out = ("the judge", "") if fewest == FEWEST_JUDGED else ("KID", "; else leave out --inception")
        raise TilesError(found, f"{who} needs {fewest:,} fakes and {2 * fewest:,} reals, or more{way_out}")
    for side, needed in ((fakes, count), (reals, 2 * count)):
        if side.available is not None and side.available < needed:
            found = f"--tiles-per-side {count} needs {needed:,} tiles of {side.url}, which has {side.available:,}"
            raise TilesError(found, f"ask for at most {room:,}")
    return count


def _half(side: Side) -> int | None:
    return None if side.available is None else side.available // 2


def _reference(side: Side, count: int, reals: Callable[[], Tiles], held_out: Side | None, seed: int) -> Reference:
    if side.tile_set is not None and held_out is None:
        return reference_of(side.tile_set, count, seed, reals)
    held = None if held_out is None else held_out.take(min(count, held_out.available or count))
    return make_reference(reals(), held)


def _seen(
    side: Side, count: int, reals: Callable[[], Tiles], seed: int, extractor: Extractor, tell: Tell
) -> InceptionReference:
    """The real side by Inception features: of the same tiles as our own reference."""
    if side.tile_set is not None:
        return inception_reference_of(side.tile_set, count, seed, reals, extractor, tell)
    return make_inception_reference(reals(), extractor, tell)
