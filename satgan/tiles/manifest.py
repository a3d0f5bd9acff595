"""What a tile set is: `manifest.json` beside `shard-000000.npy`, `shard-000001.npy`, …

A shard is NumPy's own format, `[n, H, W, C] uint8`, so that anyone can `np.load` one. A *piece* is a run of whole
tiles within a shard, about 8 MB; it is what a reader fetches with one ranged GET and verifies with one digest.
All shards have `shard_tiles` tiles and all pieces `piece_tiles`, but for the last ones, so places are arithmetic.
The packed order is already a global shuffle under `packing_seed`.
"""

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

MANIFEST_NAME = "manifest.json"
PIECE_BYTES = 8 * 2**20
PIECES_PER_SHARD = 6


class Shard(BaseModel):
    """One `.npy` file. `digests` are xxh3-64 in hex, of the bytes before the first tile, then of each piece."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    tiles: int
    bytes: int
    header_bytes: int
    header_digest: str
    piece_digests: tuple[str, ...]


class PiecePlace(NamedTuple):
    """Where the bytes of a piece lie."""

    shard: Shard
    offset_bytes: int
    tiles: int
    digest: str


class Manifest(BaseModel):
    """The tile set's table of contents. Statistics are of the pixel values 0 to 255, per channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    size: int
    channels: int
    dtype: Literal["uint8"] = "uint8"
    layout: Literal["NHWC"] = "NHWC"
    tile_count: int
    piece_tiles: int
    shard_tiles: int
    shards: tuple[Shard, ...]
    source: str
    cut: dict[str, Any]
    stretch: dict[str, Any] | None = None
    channel_means: tuple[float, ...]
    channel_deviations: tuple[float, ...]
    packing_seed: int

    @property
    def tile_bytes(self) -> int:
        """Bytes of one tile."""
        return self.size * self.size * self.channels

    @property
    def piece_count(self) -> int:
        """Pieces of the whole set."""
        return -(-self.tile_count // self.piece_tiles)

    def piece_place(self, piece: int) -> PiecePlace:
        """Where piece number `piece` (0 to piece_count - 1, over all shards in order) lies."""
        shard_number, within = divmod(piece, self.shard_tiles // self.piece_tiles)
        shard = self.shards[shard_number]
        first = within * self.piece_tiles
        offset = shard.header_bytes + first * self.tile_bytes
        return PiecePlace(shard, offset, min(self.piece_tiles, shard.tiles - first), shard.piece_digests[within])


def piece_tiles_for(size: int, channels: int) -> int:
    """How many whole tiles make a piece of about 8 MB; at least one."""
    return max(1, PIECE_BYTES // (size * size * channels))
