"""Reading a tile set: the manifest once, then pieces, each verified whenever it is read."""

import hashlib
import json
from functools import cached_property

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import ValidationError

from satgan.errors import CorruptData, StoreMissing, TilesError
from satgan.kinds import refusal_of
from satgan.tiles.manifest import MANIFEST_NAME, Manifest, Shard
from satgan.tiles.store import Patience, Store, open_store

Pixels = NDArray[np.uint8]

MAKE_ONE = (
    "make a tile set with `satgan tiles cut RASTER… DESTINATION`, or of a folder of PNG or JPEG tiles with "
    "`satgan tiles pack FOLDER DESTINATION`"
)


class TileSet:
    """An opened tile set; may be shared by threads and pickled."""

    def __init__(self, manifest: Manifest, store: Store) -> None:
        self.manifest = manifest
        self.store = store

    @cached_property
    def digest(self) -> str:
        """The set's identity: sha256 in hex of the manifest, and by its digests of every tile."""
        canonical = json.dumps(self.manifest.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def read_piece(self, piece: int) -> Pixels:
        """The tiles of a piece, `[n, H, W, C] uint8`, in memory of its own; see `read_piece_into`."""
        size = self.manifest.size
        tiles = np.empty((self.manifest.piece_place(piece).tiles, size, size, self.manifest.channels), np.uint8)
        self.read_piece_into(piece, tiles)
        return tiles

    def read_piece_into(self, piece: int, tiles: Pixels) -> None:
        """Fill `tiles` with piece number `piece` (0 to manifest.piece_count - 1).

        Bytes that do not have their recorded digest are read a second time before that is an error.

        Args:
            piece: its number.
            tiles: `[n, H, W, C] uint8`, contiguous; n as `manifest.piece_place(piece)` has it.

        Raises:
            CorruptData: wrong bytes both times, or a shard that is too short.
            StoreError: what the store raises, say StoreMissing for a shard that is gone.
        """
        shard, offset_bytes, count, digest = self.manifest.piece_place(piece)
        assert len(tiles) == count, (len(tiles), count)
        self._read_verified(shard, offset_bytes, tiles.data.cast("B"), digest, f"piece {piece}")

    def check_header(self, shard: Shard) -> None:
        """CorruptData where the bytes before the first tile are wrong: `np.load` goes by them, we do not."""
        self._read_verified(shard, 0, memoryview(bytearray(shard.header_bytes)), shard.header_digest, "header")

    def _read_verified(self, shard: Shard, offset_bytes: int, buffer: memoryview, digest: str, what: str) -> None:
        found = ""
        for _ in range(2):
            bytes_read = xxhash.xxh3_64()  # fed as they come, while they are in the processor's cache
            self.store.read_range_into(shard.name, offset_bytes, buffer, bytes_read.update)
            found = bytes_read.hexdigest()
            if found == digest:
                return
        last_byte = offset_bytes + len(buffer) - 1
        raise CorruptData(
            f"{self.store.url}/{shard.name}, bytes {offset_bytes} to {last_byte} ({what}): xxh3 "
            f"digest {found}, the manifest says {digest}",
            "copy this shard again from where the set came, or pack the set again",
        )


def open_tile_set(source: str, connections: int = 16, patience: Patience = Patience()) -> TileSet:  # noqa: B008
    """The tile set at `source`, a folder or `s3://` prefix, its manifest read and checked.

    Args:
        source: where the set lies.
        connections: how many threads will read pieces at the same time.
        patience: with S3.

    Raises:
        StoreMissing: no such folder or bucket.
        TilesError: no tile set there, or a manifest that is none.
    """
    store = open_store(source, connections, patience)
    try:
        data = store.read(MANIFEST_NAME)
    except StoreMissing as error:
        raise _no_set(store) from error
    return TileSet(_manifest(data, f"{store.url}/{MANIFEST_NAME}"), store)


def _no_set(store: Store) -> StoreMissing | TilesError:
    try:
        objects = len(store.list())
    except StoreMissing as error:
        return StoreMissing(error.found, f"check the spelling; {MAKE_ONE}")
    found = f"it holds {objects} other files" if objects else "it is empty"
    return TilesError(f"no tile set in {store.url}: {found}, but no {MANIFEST_NAME}", MAKE_ONE)


def _manifest(data: bytes, place: str) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TilesError(f"{place} is not a tile set's manifest: {where}: {refusal_of(first)}", MAKE_ONE) from None
    if not _adds_up(manifest):
        raise TilesError(f"{place} contradicts itself: its shards do not hold {manifest.tile_count} tiles", MAKE_ONE)
    return manifest


def _adds_up(manifest: Manifest) -> bool:
    """Whether shards, pieces and bytes are what the tile counts say."""
    piece_tiles, shard_tiles = manifest.piece_tiles, manifest.shard_tiles
    if min(piece_tiles, shard_tiles, manifest.tile_count, manifest.tile_bytes) < 1 or shard_tiles % piece_tiles:
        return False
    counts = [min(shard_tiles, manifest.tile_count - first) for first in range(0, manifest.tile_count, shard_tiles)]
    return counts == [shard.tiles for shard in manifest.shards] and all(
        len(shard.piece_digests) == -(-shard.tiles // piece_tiles)
        and shard.bytes == shard.header_bytes + shard.tiles * manifest.tile_bytes
        for shard in manifest.shards
    )
