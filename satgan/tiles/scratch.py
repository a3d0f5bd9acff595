"""Pieces kept on a scratch disk (NVMe), for sets that are larger than memory and farther away than the disk.

A piece is a file under the set's digest, written aside and then named, and verified by its digest on every read: one
that is damaged, cut short or gone is read from the set again. Nothing needs to be flushed or repaired, so a kill or a
crash of the machine costs no more than some pieces. Several workers may share a folder.
"""

import fcntl
import os
import shutil
import warnings
from pathlib import Path
from uuid import uuid4

import numpy as np
import xxhash
from numpy.typing import NDArray

from satgan.tiles.aside import UNFINISHED_SUFFIX
from satgan.tiles.folder import folder_errors_told
from satgan.tiles.manifest import Manifest
from satgan.tiles.tile_set import TileSet

Pixels = NDArray[np.uint8]

FREE_SHARE = 0.05
"""Of the disk; it is left free for others."""


class ScratchTiles:
    """A tile set seen through a folder that keeps its pieces. Results are the set's own.

    A set that is larger than the disk is kept as far as it goes.

    Args:
        tile_set: whose pieces.
        folder: on a local disk; several sets may share it.

    Raises:
        StoreError: the folder cannot be made.
    """

    def __init__(self, tile_set: TileSet, folder: Path) -> None:
        self._tile_set = tile_set
        self._folder = folder / f"tiles-{tile_set.digest[:16]}"
        self._keeps = True
        with folder_errors_told("make the cache", str(self._folder)):
            self._folder.mkdir(parents=True, exist_ok=True)
            _sweep(self._folder)

    @property
    def manifest(self) -> Manifest:
        """The set's."""
        return self._tile_set.manifest

    def read_piece_into(self, piece: int, tiles: Pixels) -> None:
        """As `TileSet.read_piece_into`; from the disk where it has the piece."""
        path = self._folder / f"piece-{piece:09d}"
        if not self._found(path, self.manifest.piece_place(piece).digest, tiles):
            self._tile_set.read_piece_into(piece, tiles)
            self._keep(path, tiles)

    def _found(self, path: Path, digest: str, tiles: Pixels) -> bool:
        """Whether the file had the right bytes; they are in `tiles` then. A wrong file is removed."""
        try:
            with path.open("rb", buffering=0) as file:
                filled, count, buffer = 0, -1, tiles.data.cast("B")
                while count and filled < len(buffer):
                    count = file.readinto(buffer[filled:])
                    filled += count
        except OSError:  # not there, or the disk fails: the set has it
            return False
        if filled == len(buffer) and xxhash.xxh3_64_hexdigest(tiles.data) == digest:
            return True
        path.unlink(missing_ok=True)
        return False

    def _keep(self, path: Path, tiles: Pixels) -> None:
        try:
            usage = shutil.disk_usage(self._folder)
            if self._keeps and usage.free - tiles.nbytes > FREE_SHARE * usage.total:
                _write(path, tiles)
        except OSError as error:
            # What cannot be kept is read again later: slower, but no reason to end a run.
            if self._keeps:
                self._keeps = False
                warnings.warn(f"the tile cache {self._folder} keeps no more pieces: {error}", stacklevel=2)


def _write(path: Path, tiles: Pixels) -> None:
    """Written aside, then named. The lock tells a living writer's file from what a killed one left behind."""
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}{UNFINISHED_SUFFIX}")
    try:
        with aside.open("wb", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            rest = tiles.data.cast("B")
            while len(rest):
                rest = rest[file.write(rest) :]
            os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what killed writers left: files aside that nobody has locked."""
    for aside in folder.glob(f".*{UNFINISHED_SUFFIX}"):
        try:
            with aside.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                aside.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            pass  # its writer lives, or has just named it
