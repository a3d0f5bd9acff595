"""Packing a tile set: tiles are inspected, shuffled once for all, and written as shards with their digests.

Opening one is `tile_set.py`'s; its names can be had from here too.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from satgan.errors import TilesError
from satgan.randomness import Purpose, generator
from satgan.tiles.aside import flush_to_disk
from satgan.tiles.inspect import DEFAULT_LIMITS, LIMITS, Limits, Rejection
from satgan.tiles.manifest import MANIFEST_NAME, PIECES_PER_SHARD, Manifest, Shard, piece_tiles_for
from satgan.tiles.npy import npy_header
from satgan.tiles.records import REJECTED_NAME, TILES_NAME, Tile, write_places, write_table
from satgan.tiles.samples import Sample
from satgan.tiles.spool import JUDGES, TileFile, in_order, spool
from satgan.tiles.store import open_store
from satgan.tiles.tile_set import Pixels, TileSet, open_tile_set
from satgan.tiles.workshop import built_aside

__all__ = ["NamedTile", "PackReport", "Pixels", "TileSet", "open_tile_set", "pack", "packed_once"]

NamedTile = tuple[str, Pixels | Rejection]
"""A tile's name with its pixels, `[H, W, C] uint8`, or with the reason why there are none: the short form of a Tile."""

SHARDS_AT_ONCE = 3
TILES_SUMMED_AT_ONCE = 8
SPOOL_NAME = "accepted.raw"


class Moments(NamedTuple):
    """Of a channel: its pixels, the sum of their levels 0 to 255, and of the squares of these: whole numbers, so
    nothing depends on the order in which they are added."""

    pixels: int
    total: int
    squares: int


@dataclass(frozen=True)
class PackReport:
    """What came of packing: tiles accepted, tiles rejected per reason, the manifest, where the set lies, and some tiles
    of each reason (and accepted ones) to look at."""

    accepted: int
    rejected: dict[str, int]
    manifest: Manifest
    url: str
    samples: Mapping[str, list[Sample]] = field(default_factory=dict)


def pack(
    tiles: Iterable[NamedTile | Tile],
    destination: str,
    *,
    size: int,
    channels: int,
    seed: int,
    source: str,
    cut: dict[str, Any],
    stretch: dict[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    seen: Callable[[int], None] = lambda count: None,
) -> PackReport:
    """Inspect tiles and write those that pass as a tile set; the others are listed in its `rejected.parquet`.

    Accepted tiles are spooled to disk before they are shuffled, so memory holds one shard at most (about 48 MB) and
    some bytes of each tile. The set appears whole or not at all; where each tile came from is in its `tiles.parquet`.

    Args:
        tiles: in an order that can be repeated: the shuffle permutes positions.
        destination: a folder that does not exist or is empty, or an `s3://` prefix without a tile set.
        size: height and width of the set's tiles [pixels].
        channels: of the set's tiles.
        seed: of the shuffle, 0 to 2**64 - 1.
        source: where the tiles come from, for the manifest.
        cut: how they were cut, for the manifest.
        stretch: how they became bytes, for the manifest; None where they were.
        limits: which tiles are taken.
        seen: told now and then how many more tiles were judged.

    Raises:
        TilesError: the destination is taken, or no tile passed the inspection.
        StoreError: the destination cannot be written.
    """
    store = open_store(destination)
    with built_aside(store) as folder:
        path = folder / SPOOL_NAME
        spooled = spool(
            (Tile(*tile) for tile in tiles), path,
            size=size, channels=channels, limits=limits, threads=JUDGES, seen=seen,
        )  # fmt: skip
        reasons = dict(sorted(spooled.reasons.items(), key=lambda item: -item[1]))
        if not len(spooled.kept):
            raise _nothing_left(source, reasons)
        order = spooled.kept[generator(seed, Purpose.PACKING).permutation(len(spooled.kept))]
        shards, level_counts = _write_shards(folder, spooled.tiles, order)
        path.unlink()
        about = {"source": source, "cut": cut, "stretch": stretch, "packing_seed": seed}
        manifest = _manifest(shards, level_counts, size, about)
        write_places(spooled.places.table(), order, folder / TILES_NAME)
        write_table(spooled.rejected.table(), folder / REJECTED_NAME)
        (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1) + "\n")
    return PackReport(len(order), reasons, manifest, store.url, spooled.samples.chosen())


def packed_once(destination: Path, build: Callable[[str], PackReport]) -> TileSet:
    """The tile set at `destination`; where there is none yet, `build` packs one there.

    Several processes may call this at the same time: the first that is through gives the set.
    """
    if not (destination / MANIFEST_NAME).exists():
        try:
            build(str(destination))
        except TilesError:
            if not (destination / MANIFEST_NAME).exists():
                raise
    return open_tile_set(str(destination))


def _nothing_left(source: str, reasons: dict[str, int]) -> TilesError:
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    remedy = "look at some of them: are they pictures of land, of one size, with one number of channels?"
    if len(reasons) == 1 and (only := next(iter(reasons))) in LIMITS:
        remedy = f"look at some of them: {LIMITS[only].about}; if they are good all the same, --limit {only}=off"
    return TilesError(f"no tile of {source} can be used; rejected: {counts or 'none, it is empty'}", remedy)


def _write_shards(folder: Path, spooled: TileFile, order: NDArray[np.int64]) -> tuple[tuple[Shard, ...], list[Moments]]:
    """Shards of the spooled tiles in this order, and the moments of each channel."""
    piece_tiles = piece_tiles_for(*spooled.shape[2:])
    shard_tiles = PIECES_PER_SHARD * piece_tiles

    def written(first: int) -> tuple[Shard, list[Moments]]:
        numbers = order[first : first + shard_tiles]
        return _write_shard(folder / f"shard-{first // shard_tiles:06d}.npy", spooled, numbers, piece_tiles)

    with ThreadPoolExecutor(SHARDS_AT_ONCE) as pool:
        done = list(in_order(pool, written, range(0, len(order), shard_tiles), SHARDS_AT_ONCE - 1))
    return tuple(shard for shard, _ in done), _sum_moments(moments for _, moments in done)


def _write_shard(
    path: Path, spooled: TileFile, numbers: NDArray[np.int64], piece_tiles: int
) -> tuple[Shard, list[Moments]]:
    """A shard of the tiles of these numbers, a piece at a time, on disk when this returns."""
    header = npy_header((len(numbers), *spooled.shape[1:]), np.uint8)
    digests, moments = [], []
    with path.open("wb") as file:
        file.write(header)
        for first in range(0, len(numbers), piece_tiles):
            piece = spooled.take(numbers[first : first + piece_tiles])
            file.write(piece.data)
            digests.append(xxhash.xxh3_64_hexdigest(piece.data))
            moments.append(_moments(piece))
    flush_to_disk(path)  # the other threads compute while this one waits for the disk
    shard = Shard(
        name=path.name,
        tiles=len(numbers),
        bytes=path.stat().st_size,
        header_bytes=len(header),
        header_digest=xxhash.xxh3_64_hexdigest(header),
        piece_digests=tuple(digests),
    )
    return shard, _sum_moments(moments)


def _sum_moments(parts: Iterable[list[Moments]]) -> list[Moments]:
    """Of each channel, over parts of the tiles."""
    return [Moments(*map(sum, zip(*channel, strict=True))) for channel in zip(*parts, strict=True)]


def _moments(tiles: Pixels) -> list[Moments]:
    """Of each channel of tiles `[n, H, W, C]`."""
    channels = tiles.shape[3]
    totals, squares = (np.zeros(tiles.shape[1:], np.uint64) for _ in range(2))
    for first in range(0, len(tiles), TILES_SUMMED_AT_ONCE):
        # Place by place, as adding whole tiles is fastest; 255² and 8 · 255² fit the types.
        values = tiles[first : first + TILES_SUMMED_AT_ONCE].astype(np.uint16)
        totals += np.add.reduce(values, axis=0, dtype=np.uint16)
        squares += np.add.reduce(np.multiply(values, values, out=values), axis=0, dtype=np.uint32)
    sums = (array.reshape(-1, channels).sum(axis=0).tolist() for array in (totals, squares))
    return [Moments(tiles.size // channels, *both) for both in zip(*sums, strict=True)]


def _manifest(shards: tuple[Shard, ...], moments: list[Moments], size: int, about: dict[str, Any]) -> Manifest:
    piece_tiles = piece_tiles_for(size, len(moments))
    return Manifest(
        size=size,
        channels=len(moments),
        tile_count=sum(shard.tiles for shard in shards),
        piece_tiles=piece_tiles,
        shard_tiles=PIECES_PER_SHARD * piece_tiles,
        shards=shards,
        **about,
        channel_means=tuple(total / pixels for pixels, total, _ in moments),
        channel_deviations=tuple(
            math.sqrt((pixels * squares - total**2) / pixels**2) for pixels, total, squares in moments
        ),
    )
