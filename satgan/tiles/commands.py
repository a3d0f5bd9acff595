"""What the verbs `satgan tiles cut|pack|inspect|show` do."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from satgan.errors import ConfigError, TilesError
from satgan.tiles.cutter import cut_tiles, set_aside, skippable, tiles_total
from satgan.tiles.idx import read_idx
from satgan.tiles.images import look_at_folder, pack_folder
from satgan.tiles.inspect import DEFAULT_LIMITS, Limits
from satgan.tiles.look import CutOptions, TooSmall, look
from satgan.tiles.manifest import MANIFEST_NAME
from satgan.tiles.raster import RasterPlan
from satgan.tiles.records import REJECTED_NAME, TILES_NAME, Tile, count_places, count_rejected, write_table
from satgan.tiles.samples import Sample
from satgan.tiles.shards import PackReport, Pixels
from satgan.tiles.shards import pack as pack_tiles
from satgan.tiles.sources import Source, find_sources
from satgan.tiles.spool import JUDGES, spool
from satgan.tiles.store import open_store
from satgan.tiles.tile_set import TileSet, open_tile_set
from satgan.tiles.workshop import refuse_taken

Progress = Callable[[int, int | None], None]
"""Told how many more tiles were judged, and how many there are in all where that is known."""

READERS = 16
FEW = 12
"""A set of more sources is named in its manifest by their number."""


def cut(
    sources: Sequence[str],
    destination: str,
    options: CutOptions,
    seed: int,
    limits: Limits = DEFAULT_LIMITS,
    skip_unreadable: bool = False,
    progress: Progress = lambda count, total: None,
) -> PackReport:
    """Cut rasters into tiles and pack those that pass the inspection.

    Args:
        sources: raster files, folders of them, `s3://` objects or prefixes; objects are read by ranges.
        destination: a new folder or `s3://` prefix for the tile set.
        options: size, stride, resolution, bands, stretch.
        seed: of the packing shuffle.
        limits: which tiles are taken.
        skip_unreadable: whether rasters that cannot be cut are listed as rejected instead of stopping the work, as
            those smaller than a tile are anyway where others are not.
        progress: told how far it is.

    Raises:
        ConfigError: no sources.
        TilesError: a raster that cannot be cut, rasters with different channel counts, a destination that is taken.
        StoreError: a source or destination cannot be reached.
    """
    if not sources:
        raise ConfigError("no rasters to cut", "give files, folders or s3:// urls")
    refuse_taken(open_store(destination))
    plans, skipped = _look_at_all(find_sources(sources, READERS), options, skip_unreadable)
    channels = _common_channels(plans)
    total = tiles_total(plans, options)
    return pack_tiles(
        chain(skipped, cut_tiles(plans, options, skip_unreadable)),
        destination,
        size=options.size,
        channels=channels,
        seed=seed,
        source=_names(plans),
        cut=_cut_settings(options),
        stretch=_stretches(plans),
        limits=limits,
        seen=lambda count: progress(count, total),
    )


def _look_at_all(
    sources: Sequence[Source], options: CutOptions, skip_unreadable: bool
) -> tuple[list[RasterPlan], list[Tile]]:
    """How each raster will be cut, found out by threads, and those that are set aside as rejected tiles."""

    def outcome(source: Source) -> RasterPlan | TilesError:
        try:
            return look(source, options)
        except TilesError as error:
            if skip_unreadable or isinstance(error, TooSmall):
                return error
            if len(sources) == 1:
                raise
            raise skippable(error) from error

    with ThreadPoolExecutor(READERS) as threads:
        found = list(threads.map(outcome, sources))
    plans = [item for item in found if isinstance(item, RasterPlan)]
    left = [(source.name, item) for source, item in zip(sources, found, strict=True) if isinstance(item, TilesError)]
    if not plans:
        first = left[0][1]
        if len(sources) == 1:
            raise first
        raise TilesError(f"none of {len(sources):,} rasters can be cut: {first.found}", first.remedy)
    return plans, [set_aside(name, error) for name, error in left]


def _common_channels(plans: Sequence[RasterPlan]) -> int:
    """The channel count that all rasters have."""
    usual = Counter(plan.channels for plan in plans).most_common(1)[0][0]
    for plan in plans:
        if plan.channels != usual:
            raise TilesError(
                f"{plan.source.url} has {plan.channels} channels, other rasters have {usual}",
                "cut them into sets of their own, or choose the same --bands of all",
            )
    return usual


def _names(plans: Sequence[RasterPlan]) -> str:
    names = [plan.source.name for plan in plans]
    return ", ".join(names) if len(names) <= FEW else f"{len(names)} rasters, the first {names[0]}"


def _cut_settings(options: CutOptions) -> dict[str, Any]:
    settings: dict[str, Any] = {"size": options.size, "stride": options.stride}
    if options.resolution_metres is not None:
        settings["resolution_metres"] = options.resolution_metres
    if options.bands:
        settings["bands"] = list(options.bands)
    return settings


def _stretches(plans: Sequence[RasterPlan]) -> dict[str, Any] | None:
    """By source the values of each band that became 0 and 255."""
    stretches = {plan.source.name: plan.stretch for plan in plans if plan.stretch is not None}
    return {name: {"low": list(low), "high": list(high)} for name, (low, high) in stretches.items()} or None


def pack(
    source: str,
    destination: str,
    seed: int,
    limits: Limits = DEFAULT_LIMITS,
    kind: str = "images",
    progress: Progress = lambda count, total: None,
) -> PackReport:
    """Pack a folder or `s3://` prefix of small pictures (`kind` images), or IDX files with their labels (`idx`).

    See `satgan.tiles.images.pack_folder` and `satgan.tiles.idx.read_idx`.
    """
    if kind == "images":
        return pack_folder(source, destination, seed, limits, lambda count: progress(count, None))
    refuse_taken(open_store(destination))
    files = read_idx(source)
    return pack_tiles(
        chain.from_iterable(file.tiles() for file in files),
        destination,
        size=files[0].images.shape[1],
        channels=1,
        seed=seed,
        source=", ".join(file.name for file in files),
        cut={},
        limits=limits,
        seen=lambda count: progress(count, sum(len(file.images) for file in files)),
    )


class Inspection(NamedTuple):
    """What an inspection found: counts, figures as [least, mean, most], and tiles of each reason to look at."""

    tiles: int
    accepted: int
    rejected: dict[str, int]
    figures: dict[str, list[float]]
    samples: Mapping[str, list[Sample]]


def inspect(
    source: str,
    limits: Limits = DEFAULT_LIMITS,
    listing: Path | None = None,
    progress: Progress = lambda count, total: None,
) -> Inspection:
    """Judge the tiles of a set, or of a folder or prefix of small pictures. Nothing is changed there.

    Args:
        source: where they are.
        limits: which tiles would be taken.
        listing: a Parquet file to write, with every tile that would be rejected.
        progress: told how far it is.

    Raises:
        StoreMissing: no such folder or bucket.
        TilesError: neither a tile set nor tiles there.
        CorruptData: a piece of the set, or a shard's header, differs from its digest.
    """
    if open_store(source).exists(MANIFEST_NAME):
        tile_set = open_tile_set(source)
        size, channels, total = tile_set.manifest.size, tile_set.manifest.channels, tile_set.manifest.tile_count
        tiles = _tiles_of(tile_set)
    else:
        folder = look_at_folder(source)
        size, channels, total = folder.shape.height, folder.shape.channels, len(folder.listing)
        tiles = folder.tiles()
    with tempfile.TemporaryDirectory(prefix="satgan-") as scratch:
        spooled = spool(
            tiles, Path(scratch, "accepted.raw"), size=size, channels=channels, limits=limits,
            threads=JUDGES, seen=lambda count: progress(count, total),
        )  # fmt: skip
    if listing is not None:
        write_table(spooled.rejected.table(), listing)
    reasons = dict(sorted(spooled.reasons.items(), key=lambda item: -item[1]))
    return Inspection(total, len(spooled.kept), reasons, spooled.ranges.summary(), spooled.samples.chosen())


def _tiles_of(tile_set: TileSet) -> Iterator[Tile]:
    """All tiles of a set, every byte of its shards verified."""
    for shard in tile_set.manifest.shards:
        tile_set.check_header(shard)
    for piece in range(tile_set.manifest.piece_count):
        first = piece * tile_set.manifest.piece_tiles
        for number, pixels in enumerate(tile_set.read_piece(piece), start=first):
            yield Tile(f"tile {number}", pixels)


def show(source: str, sample_tiles: int = 64) -> tuple[dict[str, Any], Pixels]:
    """What a tile set is, as counts and statistics, and its first tiles `[n, H, W, C] uint8` (packed order is random).

    Raises:
        StoreMissing: no such folder or bucket.
        TilesError: no tile set there.
        CorruptData: a sampled piece differs from its digest.
    """
    tile_set = open_tile_set(source)
    manifest, store = tile_set.manifest, tile_set.store
    rejected = count_rejected(store.read(REJECTED_NAME)) if store.exists(REJECTED_NAME) else {}
    facts = manifest.model_dump(mode="json", exclude={"shards"})
    return {
        "url": store.url,
        "digest": tile_set.digest,
        **facts,
        "shards": len(manifest.shards),
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "rejected": rejected,
        **(_places(store.read(TILES_NAME)) if store.exists(TILES_NAME) else {}),
    }, _sample(tile_set, sample_tiles)


def _places(side_table: bytes) -> dict[str, Any]:
    sources, labels, georeferenced = count_places(side_table)
    return {
        "sources": sources if len(sources) <= FEW else len(sources),
        "labels": labels,
        "georeferenced": georeferenced,
    }


def _sample(tile_set: TileSet, wanted: int) -> Pixels:
    pieces = -(-min(wanted, tile_set.manifest.tile_count) // tile_set.manifest.piece_tiles)
    return np.concatenate([tile_set.read_piece(piece) for piece in range(max(pieces, 1))])[:wanted]
