"""What the verbs `satgan tiles cut|pack|show` do."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from satgan.errors import ConfigError, StoreMissing, TilesError
from satgan.tiles.images import pack_folder
from satgan.tiles.inspect import REJECTED_NAME, count_rejected
from satgan.tiles.raster import RASTER_FILE_ENDINGS, cut_raster, raster_channels
from satgan.tiles.shards import NamedTile, PackReport, Pixels
from satgan.tiles.shards import pack as pack_tiles
from satgan.tiles.store import open_store
from satgan.tiles.tile_set import TileSet, open_tile_set
from satgan.tiles.workshop import refuse_taken


def cut(sources: Sequence[str], destination: str, size: int, stride: int | None, seed: int) -> PackReport:
    """Cut rasters into tiles and pack those that pass the inspection.

    Args:
        sources: raster files, folders of them, or single `s3://` objects, which are copied to a temporary file.
        destination: a new folder or `s3://` prefix for the tile set.
        size: height and width of a tile [pixels].
        stride: from one tile to the next [pixels]; None: `size`, so that tiles do not overlap.
        seed: of the packing shuffle.

    Raises:
        ConfigError: no sources, or a size or stride below 1.
        TilesError: a raster that cannot be cut, rasters with different channel counts, a destination that is taken.
        StoreError: a source or destination cannot be reached.
    """
    stride = size if stride is None else stride
    if not sources or min(size, stride) < 1:
        raise ConfigError(
            f"cannot cut {len(sources)} rasters: size {size}, stride {stride}", "give a raster; 1 or more"
        )
    refuse_taken(open_store(destination))
    with ExitStack() as downloads:
        rasters = [path for source in sources for path in _raster_files(source, downloads)]
        channels = _common_channels(rasters)
        return pack_tiles(
            _tiles(rasters, size, stride),
            destination,
            size=size,
            channels=channels,
            seed=seed,
            source=", ".join(path.name for path in rasters),
            cut={"size": size, "stride": stride},
        )


def _raster_files(source: str, downloads: ExitStack) -> list[Path]:
    if source.startswith("s3://"):
        above, _, name = source.rstrip("/").rpartition("/")
        path = Path(downloads.enter_context(tempfile.TemporaryDirectory(prefix="satgan-")), name)
        open_store(above).download(name, path)
        return [path]
    path = Path(source).expanduser()
    if not path.exists():
        raise StoreMissing(f"no such file or folder: {path}", "check the spelling of the path")
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in RASTER_FILE_ENDINGS)
    if not found:
        raise TilesError(f"no rasters in {path}", f"give files, or a folder of {', '.join(RASTER_FILE_ENDINGS)} files")
    return found


def _common_channels(rasters: Sequence[Path]) -> int:
    """The channel count that all rasters have."""
    channels = {path: raster_channels(path) for path in rasters}
    counts = Counter(channels.values()).most_common()
    if len(counts) > 1:
        usual = counts[0][0]
        other = next(path for path in rasters if channels[path] != usual)
        raise TilesError(
            f"{other} has {channels[other]} channels, other rasters have {usual}", "cut them into sets of their own"
        )
    return counts[0][0]


def _tiles(rasters: Sequence[Path], size: int, stride: int) -> Iterator[NamedTile]:
    for path in rasters:
        for tile in cut_raster(path, size, stride):
            yield f"{path.name}_y{tile.row:05d}_x{tile.column:05d}", tile.pixels


def pack(source: str, destination: str, seed: int) -> PackReport:
    """Pack a folder or `s3://` prefix of PNG or JPEG tiles; see `satgan.tiles.images.pack_folder`."""
    return pack_folder(source, destination, seed)


def show(source: str, sample_tiles: int = 64) -> tuple[dict[str, Any], Pixels]:
    """What a tile set is, as counts and statistics, and its first tiles `[n, H, W, C] uint8` (packed order is random).

    Raises:
        StoreMissing: no such folder or bucket.
        TilesError: no tile set there.
        CorruptData: a sampled piece differs from its digest.
    """
    tile_set = open_tile_set(source)
    manifest = tile_set.manifest
    rejected = count_rejected(tile_set.store.read(REJECTED_NAME)) if tile_set.store.exists(REJECTED_NAME) else {}
    facts = manifest.model_dump(mode="json", exclude={"shards"})
    return {
        "url": tile_set.store.url,
        "digest": tile_set.digest,
        **facts,
        "shards": len(manifest.shards),
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "rejected": rejected,
    }, _sample(tile_set, sample_tiles)


def _sample(tile_set: TileSet, wanted: int) -> Pixels:
    pieces = -(-min(wanted, tile_set.manifest.tile_count) // tile_set.manifest.piece_tiles)
    return np.concatenate([tile_set.read_piece(piece) for piece in range(max(pieces, 1))])[:wanted]
