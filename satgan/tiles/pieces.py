"""Pieces in memory: where they lie, which are kept, and how batches are gathered from them."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from satgan.tiles.batches import BatchBuffer, Pixels
from satgan.tiles.manifest import Manifest

Rows = NDArray[np.int64]


class PieceSource(Protocol):
    """A tile set that hands out verified pieces."""

    @property
    def manifest(self) -> Manifest:
        """What the set is."""

    def read_piece_into(self, piece: int, tiles: Pixels) -> None:
        """Fill `tiles`, `[n, H, W, C] uint8`, with a piece's, verified; may be called by several threads at once."""


class Arena(Protocol):
    """Memory for a number of pieces. A piece in slot s has its tiles in rows s · piece_tiles, …"""

    on_device: bool

    def load(self, slot: int, piece: int) -> None:
        """Read a piece into a slot; may be called by several threads at once, for different slots."""

    def gather(self, rows: Rows, buffer: BatchBuffer, lane: int, first: int) -> None:
        """Copy tiles into the places `first`, … of a lane (by its place in the batch)."""


class HostArena:
    """In this process's memory, which the system gives as it is filled.

    Args:
        source: where pieces come from.
        slots: how many pieces find room.
    """

    on_device = False

    def __init__(self, source: PieceSource, slots: int) -> None:
        manifest = source.manifest
        self._source, self._manifest = source, manifest
        self._tiles: Pixels = np.empty((slots * manifest.piece_tiles, *tile_shape(manifest)), np.uint8)
        self._rows = self._tiles.reshape(len(self._tiles), manifest.tile_bytes)

    def load(self, slot: int, piece: int) -> None:
        first = slot * self._manifest.piece_tiles
        self._source.read_piece_into(piece, self._tiles[first : first + tiles_of(self._manifest, piece)])

    def gather(self, rows: Rows, buffer: BatchBuffer, lane: int, first: int) -> None:
        # Rows are ours and in range; the mode that checks them copies everything twice.
        self._rows.take(rows, axis=0, out=buffer.rows[lane, first : first + len(rows)], mode="clip")


class DeviceArena:
    """In the memory of the device that computes: after the first epoch nothing crosses the bus but row numbers.

    Args:
        source: where pieces come from.
        slots: how many pieces find room.
        device: a GPU; the CPU in tests.
        side: its stream for copies.
    """

    on_device = True

    def __init__(self, source: PieceSource, slots: int, device: torch.device, side: torch.cuda.Stream | None) -> None:
        manifest = source.manifest
        self._source, self._manifest, self._device, self._side = source, manifest, device, side
        shape = (slots * manifest.piece_tiles, manifest.tile_bytes)
        self._rows = torch.empty(shape, dtype=torch.uint8, device=device)
        self._thread = threading.local()

    def load(self, slot: int, piece: int) -> None:
        if not hasattr(self._thread, "staging"):
            shape = (self._manifest.piece_tiles, *tile_shape(self._manifest))
            self._thread.staging = torch.empty(shape, dtype=torch.uint8, pin_memory=self._side is not None)
        count, first = tiles_of(self._manifest, piece), slot * self._manifest.piece_tiles
        staging: torch.Tensor = self._thread.staging[:count]
        self._source.read_piece_into(piece, staging.numpy())
        with torch.cuda.stream(self._side):
            self._rows[first : first + count].copy_(staging.flatten(1))
            if self._side is not None:
                self._side.synchronize()

    def gather(self, rows: Rows, buffer: BatchBuffer, lane: int, first: int) -> None:
        with torch.cuda.stream(self._side):
            where = torch.from_numpy(rows).to(self._device)
            target = buffer.tiles.flatten(2)[lane, first : first + len(rows)]
            torch.index_select(self._rows, 0, where, out=target)


class PieceCache:
    """Which pieces lie in an arena or are on their way there.

    Each epoch wants every piece once, in a new order. So the piece that was read last is dropped first: what stays is
    found again in every epoch, and a set of which half fits is half read from memory. (Dropping the least recently
    used instead would find a seventh.)

    Only the gathering thread calls it, so it needs no lock.

    Args:
        begin: starts to read a piece into a slot.
        slots: of the arena.
        piece_tiles: tiles of a piece.
    """

    def __init__(self, begin: Callable[[int, int], "Future[None]"], slots: int, piece_tiles: int) -> None:
        self._begin = begin
        self._piece_tiles = piece_tiles
        self._free = list(reversed(range(slots)))
        self._slots: dict[int, int] = {}
        self._futures: dict[int, Future[None]] = {}
        self._wanted: dict[int, frozenset[int]] = {}

    def want(self, lane: int, pieces: Sequence[int]) -> None:
        """Replace what a lane wants, and begin to read what is not here."""
        self._wanted[lane] = frozenset(pieces)
        for piece in pieces:
            if piece not in self._slots:
                slot = self._free.pop() if self._free else self._dropped()
                self._slots[piece] = slot
                self._futures[piece] = self._begin(piece, slot)

    def rows(self, tiles: Rows) -> Rows:
        """The arena's rows of tiles (packed numbers `[n]`) whose pieces are wanted; waits for these."""
        numbers, within = np.divmod(tiles, self._piece_tiles)
        pieces, which = np.unique(numbers, return_inverse=True)
        for piece in pieces.tolist():
            self._futures[piece].result()
        slots = np.array([self._slots[piece] for piece in pieces.tolist()], np.int64)
        return slots[which] * self._piece_tiles + within

    def _dropped(self) -> int:
        """The slot of a piece that nobody wants any more."""
        wanted = frozenset[int]().union(*self._wanted.values())
        piece = next(piece for piece in reversed(self._slots) if piece not in wanted)
        self._futures.pop(piece).result()  # nobody may still write there
        return self._slots.pop(piece)


def tile_shape(manifest: Manifest) -> tuple[int, int, int]:
    """`(H, W, C)`."""
    return manifest.size, manifest.size, manifest.channels


def tiles_of(manifest: Manifest, piece: int) -> int:
    """How many tiles a piece has: the last one may have fewer."""
    return min(manifest.piece_tiles, manifest.tile_count - piece * manifest.piece_tiles)
