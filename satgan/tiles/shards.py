"""Packing a tile set: tiles are inspected, shuffled once for all, and written as shards with their digests.

Opening one is `tile_set.py`'s; its names can be had from here too.
"""

import io
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.lib import format as npy
from numpy.typing import NDArray

from satgan.errors import TilesError
from satgan.randomness import Purpose, generator
from satgan.tiles.inspect import REJECTED_NAME, Rejection, inspect_tile, write_rejected
from satgan.tiles.manifest import MANIFEST_NAME, PIECES_PER_SHARD, Manifest, Shard, piece_tiles_for
from satgan.tiles.store import open_store
from satgan.tiles.tile_set import Pixels, TileSet, open_tile_set
from satgan.tiles.workshop import built_aside

__all__ = ["NamedTile", "PackReport", "Pixels", "TileSet", "open_tile_set", "pack", "packed_once"]

NamedTile = tuple[str, Pixels | Rejection]
"""A tile's name with its pixels, `[H, W, C] uint8`, or with the reason why there are none."""

LEVELS = 256
SPOOL_NAME = "accepted.raw"


@dataclass(frozen=True)
class PackReport:
    """What came of packing: tiles accepted, tiles rejected per reason, the manifest, and where the set lies."""

    accepted: int
    rejected: dict[str, int]
    manifest: Manifest
    url: str


def pack(
    tiles: Iterable[NamedTile],
    destination: str,
    *,
    size: int,
    channels: int,
    seed: int,
    source: str,
    cut: dict[str, Any],
) -> PackReport:
    """Inspect tiles and write those that pass as a tile set; the others are listed in its `rejected.parquet`.

    Accepted tiles are spooled to disk before they are shuffled, so memory holds one shard at most (about 48 MB). The
    set appears whole or not at all.

    Args:
        tiles: (name, `[H, W, C] uint8`), in an order that can be repeated: the shuffle permutes positions.
        destination: a folder that does not exist or is empty, or an `s3://` prefix without a tile set.
        size: height and width of the set's tiles [pixels].
        channels: of the set's tiles.
        seed: of the shuffle, 0 to 2**64 - 1.
        source: where the tiles come from, for the manifest.
        cut: how they were cut, for the manifest.

    Raises:
        TilesError: the destination is taken, or no tile passed the inspection.
        StoreError: the destination cannot be written.
    """
    store = open_store(destination)
    rejected: list[tuple[str, Rejection]] = []
    with built_aside(store) as folder:
        count = _spool(tiles, folder / SPOOL_NAME, size, channels, rejected)
        reasons = dict(Counter(rejection.reason for _, rejection in rejected).most_common())
        if not count:
            raise _nothing_left(source, reasons)
        order = generator(seed, Purpose.PACKING).permutation(count)
        shards, level_counts = _write_shards(folder, order, size, channels)
        manifest = _manifest(shards, level_counts, size=size, source=source, cut=cut, packing_seed=seed)
        write_rejected(rejected, folder / REJECTED_NAME)
        (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1) + "\n")
    return PackReport(count, reasons, manifest, store.url)


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


def _spool(
    tiles: Iterable[NamedTile], path: Path, size: int, channels: int, rejected: list[tuple[str, Rejection]]
) -> int:
    """Write the accepted tiles one after the other and note the others; how many were accepted."""
    count = 0
    with path.open("wb") as spool:
        for name, tile in tiles:
            rejection = tile if isinstance(tile, Rejection) else inspect_tile(tile, size, channels)
            if rejection is not None:
                rejected.append((name, rejection))
            else:
                spool.write(np.ascontiguousarray(tile, np.uint8).data)
                count += 1
    return count


def _nothing_left(source: str, reasons: dict[str, int]) -> TilesError:
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return TilesError(
        f"no tile of {source} can be used; rejected: {counts or 'none, it is empty'}",
        "look at some of them: are they pictures of land, of one size, with one number of channels?",
    )


def _write_shards(
    folder: Path, order: NDArray[np.int64], size: int, channels: int
) -> tuple[tuple[Shard, ...], NDArray[np.int64]]:
    """Shards of the spooled tiles in this order, and how often each level 0 to 255 occurs: `[channels, 256]`."""
    spool = folder / SPOOL_NAME
    spooled: Pixels = np.memmap(spool, np.uint8, "r", shape=(len(order), size, size, channels))
    piece_tiles = piece_tiles_for(size, channels)
    shard_tiles = PIECES_PER_SHARD * piece_tiles
    level_counts = np.zeros((channels, LEVELS), np.int64)
    shards = []
    for number, first in enumerate(range(0, len(order), shard_tiles)):
        tiles = np.asarray(spooled[order[first : first + shard_tiles]])
        shards.append(_write_shard(folder / f"shard-{number:06d}.npy", tiles, piece_tiles))
        for channel in range(channels):
            level_counts[channel] += np.bincount(tiles[..., channel].ravel(), minlength=LEVELS)
    spool.unlink()
    return tuple(shards), level_counts


def _write_shard(path: Path, tiles: Pixels, piece_tiles: int) -> Shard:
    head = io.BytesIO()
    npy.write_array_header_1_0(head, npy.header_data_from_array_1_0(tiles))
    header = head.getvalue()
    with path.open("wb") as file:
        file.write(header)
        file.write(tiles.data)
    pieces = (tiles[first : first + piece_tiles] for first in range(0, len(tiles), piece_tiles))
    return Shard(
        name=path.name,
        tiles=len(tiles),
        bytes=len(header) + tiles.nbytes,
        header_bytes=len(header),
        header_digest=xxhash.xxh3_64_hexdigest(header),
        piece_digests=tuple(xxhash.xxh3_64_hexdigest(piece.data) for piece in pieces),
    )


def _manifest(
    shards: tuple[Shard, ...],
    level_counts: NDArray[np.int64],
    *,
    size: int,
    source: str,
    cut: dict[str, Any],
    packing_seed: int,
) -> Manifest:
    piece_tiles = piece_tiles_for(size, len(level_counts))
    moments = [_mean_and_deviation(counts) for counts in level_counts]
    return Manifest(
        size=size,
        channels=len(level_counts),
        tile_count=sum(shard.tiles for shard in shards),
        piece_tiles=piece_tiles,
        shard_tiles=PIECES_PER_SHARD * piece_tiles,
        shards=shards,
        source=source,
        cut=cut,
        channel_means=tuple(mean for mean, _ in moments),
        channel_deviations=tuple(deviation for _, deviation in moments),
        packing_seed=packing_seed,
    )


def _mean_and_deviation(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Of pixels whose levels 0 to 255 occur so often: sums are whole numbers, so nothing depends on their order."""
    pixels, total, squares = (
        sum(int(count) * level**power for level, count in enumerate(counts)) for power in range(3)
    )
    return total / pixels, math.sqrt((pixels * squares - total**2) / pixels**2)
