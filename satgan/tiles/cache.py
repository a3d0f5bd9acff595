"""Where tiles are kept between epochs: on the GPU, in memory, on a scratch disk, or nowhere. Results are the same."""

import os
import shutil
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from satgan.errors import ConfigError
from satgan.tiles.folder import FolderStore
from satgan.tiles.pieces import PieceSource
from satgan.tiles.scratch import FREE_SHARE, ScratchTiles
from satgan.tiles.tile_set import TileSet

CacheKind = Literal["device", "memory", "disk", "none"]

ENVIRONMENT_NAME = "SATGAN_CACHE"
DEVICE_SHARE = 0.25
"""Of the GPU's free memory that tiles may take when nobody has chosen; the networks come later and need the rest."""


class Room(NamedTuple):
    """Bytes that a cache may take: of memory, of the GPU (0 without one), of the scratch disk (None without one)."""

    memory_bytes: int
    device_bytes: int
    disk_bytes: int | None


class Cache(NamedTuple):
    """What was chosen, and the tile set seen through it."""

    kind: CacheKind
    source: PieceSource


def choose_cache(own_bytes: int, set_bytes: int, is_local: bool, room: Room) -> CacheKind:
    """The nearest place that the tiles fit into.

    Args:
        own_bytes: tiles of this worker's lanes.
        set_bytes: tiles of the whole set; all workers of a machine share its disk.
        is_local: the set lies in a folder: another copy on a disk would win nothing.
        room: what there is.

    Returns:
        memory where nothing holds all of it: then a part is read again in every epoch.
    """
    if own_bytes <= room.device_bytes:
        return "device"
    if own_bytes <= room.memory_bytes or is_local or room.disk_bytes is None:
        return "memory"
    return "disk" if set_bytes <= room.disk_bytes else "memory"


def open_cache(
    tile_set: TileSet,
    asked: Literal["auto"] | CacheKind,
    folder: str | None,
    *,
    own_bytes: int,
    memory_bytes: int,
    device: torch.device,
) -> Cache:
    """The cache that the config names, or with "auto" the one that fits.

    Args:
        tile_set: an opened set.
        asked: `tiles.cache`.
        folder: `tiles.cache_folder`; None: that of the environment (SATGAN_CACHE), if any.
        own_bytes: tiles of this worker's lanes.
        memory_bytes: `tiles.memory_megabytes`, in bytes.
        device: where this worker computes.

    Raises:
        ConfigError: disk without a folder, or device without a GPU.
        StoreError: the folder cannot be made.
    """
    folder = folder or os.environ.get(ENVIRONMENT_NAME)
    if asked == "device" and device.type == "cpu":
        raise ConfigError("tiles.cache = device, but this worker computes on the CPU", "take --tiles.cache memory")
    if asked == "disk" and not folder:
        remedy = f"give --tiles.cache-folder DIR on a fast local disk, or set {ENVIRONMENT_NAME}"
        raise ConfigError("tiles.cache = disk, but there is no folder for it", remedy)
    if asked == "auto":
        room = Room(memory_bytes, _device_room(device), _disk_room(Path(folder)) if folder else None)
        set_bytes = tile_set.manifest.tile_count * tile_set.manifest.tile_bytes
        asked = choose_cache(own_bytes, set_bytes, isinstance(tile_set.store, FolderStore), room)
    if asked == "disk":
        assert folder is not None
        return Cache(asked, ScratchTiles(tile_set, Path(folder).expanduser()))
    return Cache(asked, tile_set)


def _device_room(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(device)
    return int(DEVICE_SHARE * min(free, torch.cuda.get_per_process_memory_fraction(device) * total))


def _disk_room(folder: Path) -> int:
    """Free bytes there, with those that caches take already; the folder need not exist yet."""
    folder = folder.expanduser().absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(there)
    kept = sum(path.stat().st_size for path in folder.glob("tiles-*/piece-*"))
    return int(usage.free + kept - FREE_SHARE * usage.total)
