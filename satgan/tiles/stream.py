"""From a plan to batches: pieces are read ahead by threads while the current step computes (S04).

Three kinds of threads, all in this process: `connections` readers fetch pieces; one gathering thread holds the pieces,
follows the plan of each lane and fills batches; the consumer takes them. What is delivered follows from the plan
alone, so it does not depend on connections, prefetch, memory, or on who holds which lane.

A failure in any thread ends the stream and is raised by the consumer's next call, before batches that lie ready.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from satgan.tiles.manifest import Manifest
from satgan.tiles.plan import WINDOW_PIECES, LanePlan

Pixels = NDArray[np.uint8]
Batch = tuple[int, Pixels]


class PieceSource(Protocol):
    """A tile set that hands out verified pieces."""

    @property
    def manifest(self) -> Manifest:
        """What the set is."""

    def read_piece(self, piece: int) -> Pixels:
        """The tiles of a piece, `[n, H, W, C] uint8`, verified; may be called by several threads at once."""


class _PieceCache:
    """Pieces that are here or under way, at most `capacity_pieces`.

    Each epoch wants every piece once, in a new order. So the piece that was read last is dropped first: what stays is
    found again in every epoch, and a set of which half fits is half read from memory. (Dropping the least recently
    used instead would find a seventh.)

    Only the gathering thread calls it, so it needs no lock.
    """

    def __init__(self, read: Callable[[int], "Future[Pixels]"], capacity_pieces: int) -> None:
        self._read = read
        self._capacity_pieces = capacity_pieces
        self._futures: dict[int, Future[Pixels]] = {}
        self._wanted: dict[int, frozenset[int]] = {}

    def want(self, lane: int, pieces: Sequence[int]) -> None:
        """Replace what a lane wants, and begin to read what is not here."""
        self._wanted[lane] = frozenset(pieces)
        for piece in pieces:
            if piece not in self._futures:
                self._make_room()
                self._futures[piece] = self._read(piece)

    def take(self, piece: int) -> Pixels:
        """A wanted piece; waits for it."""
        return self._futures[piece].result()

    def _make_room(self) -> None:
        wanted = frozenset[int]().union(*self._wanted.values())
        while len(self._futures) >= self._capacity_pieces:
            del self._futures[next(piece for piece in reversed(self._futures) if piece not in wanted)]


class _LaneReader:
    """Fills batches in a lane's order. It wants the pieces of its window and of the next ones, as its share allows."""

    def __init__(
        self, plan: LanePlan, start_step: int, cache: _PieceCache, share_pieces: int, ahead_windows: int
    ) -> None:
        self._plan = plan
        self._windows = plan.windows(start_step)
        self._cache = cache
        self._share_pieces = share_pieces
        self._ahead_windows = ahead_windows
        self._upcoming: deque[NDArray[np.int64]] = deque()
        self._window = np.empty(0, np.int64)

    def fill(self, rows: Pixels) -> None:
        """Write the lane's next tiles into `rows`, `[lane_batch, H, W, C] uint8`."""
        filled = 0
        while filled < len(rows):
            if not len(self._window):
                self._window = self._next_window()
            tiles = self._window[: len(rows) - filled]
            self._gather(tiles, rows[filled : filled + len(tiles)])
            self._window = self._window[len(tiles) :]
            filled += len(tiles)

    def _next_window(self) -> NDArray[np.int64]:
        while len(self._upcoming) <= self._ahead_windows:
            self._upcoming.append(next(self._windows))
        pieces = [piece for window in self._upcoming for piece in np.unique(window // self._plan.piece_tiles).tolist()]
        # A window has at most WINDOW_PIECES pieces, and no share is smaller: the current one is always wanted whole.
        self._cache.want(self._plan.lane, list(dict.fromkeys(pieces))[: self._share_pieces])
        return self._upcoming.popleft()

    def _gather(self, tiles: NDArray[np.int64], rows: Pixels) -> None:
        pieces, within = np.divmod(tiles, self._plan.piece_tiles)
        for piece in np.unique(pieces).tolist():
            chosen = np.flatnonzero(pieces == piece)
            rows[chosen] = self._cache.take(piece)[within[chosen]]


class TileStream:
    """Batches of some lanes of a run, from a step on, without end. A context manager; leaving it stops all threads.

    Iterating gives `(step, tiles)` for start_step, start_step + 1, …; tiles are
    `[len(my_lanes), lane_batch, H, W, C] uint8`, a fresh array each time.

    Memory: pieces that are here or under way take at most `capacity_bytes`, the larger of `memory_megabytes` and
    what progress needs, WINDOW_PIECES pieces (about 64 MB) per lane; a set that fits is read once. Beyond that,
    prefetch_steps + 2 batches, and what `read_piece` takes for itself on each connection.

    Args:
        source: an opened tile set.
        lanes: lanes of the whole run.
        my_lanes: numbers of the lanes that this process computes; batches hold them in this order.
        lane_batch: tiles of a lane in one step.
        seed: the run's seed (S06).
        start_step: first step that is given.
        prefetch_steps: batches kept ready.
        connections: pieces read at the same time [threads].
        memory_megabytes: memory for pieces [10⁶ bytes].

    Attributes:
        capacity_bytes: the bound of memory for pieces.
        waited_seconds: how long the consumer has waited for batches so far (S04).

    Raises:
        TilesError: the set has fewer tiles than the run has lanes.
        SatganError: while iterating, whatever `read_piece` raised.
        ValueError: while iterating, the stream was closed.
    """

    def __init__(
        self,
        source: PieceSource,
        *,
        lanes: int,
        my_lanes: Sequence[int],
        lane_batch: int,
        seed: int,
        start_step: int = 0,
        prefetch_steps: int = 4,
        connections: int = 16,
        memory_megabytes: int = 1024,
    ) -> None:
        manifest = source.manifest
        self._source = source
        self._plans = [
            LanePlan(manifest.tile_count, manifest.piece_tiles, lanes, lane, lane_batch, seed) for lane in my_lanes
        ]
        self._batch_shape = (len(my_lanes), lane_batch, manifest.size, manifest.size, manifest.channels)
        self._prefetch_steps = prefetch_steps
        piece_bytes = manifest.piece_tiles * manifest.tile_bytes
        self._capacity_pieces = max(memory_megabytes * 10**6 // piece_bytes, WINDOW_PIECES * len(my_lanes))
        self.capacity_bytes = self._capacity_pieces * piece_bytes
        self.waited_seconds = 0.0
        self._ahead_windows = -(-connections // (WINDOW_PIECES * len(my_lanes)))
        self._changed = threading.Condition()
        self._ready: deque[Batch] = deque()
        self._failure: BaseException | None = None
        self._closed = False
        self._readers = ThreadPoolExecutor(connections, thread_name_prefix="tiles-read")
        self._gatherer = threading.Thread(target=self._produce, args=(start_step,), name="tiles-gather", daemon=True)
        self._gatherer.start()

    def __enter__(self) -> "TileStream":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        began = time.perf_counter()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended)
            self.waited_seconds += time.perf_counter() - began
            if self._closed:
                raise ValueError("the tile stream is closed")
            if self._failure is not None:
                raise self._failure
            self._changed.notify_all()
            return self._ready.popleft()

    def close(self) -> None:
        """Stop all threads and wait until they are gone: for reads under way, at most as long as these may take."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._readers.shutdown(cancel_futures=True)
        self._gatherer.join()

    @property
    def _ended(self) -> bool:
        return self._closed or self._failure is not None

    def _produce(self, start_step: int) -> None:
        """The gathering thread."""
        try:
            cache = _PieceCache(self._read, self._capacity_pieces)
            share = self._capacity_pieces // len(self._plans)
            lanes = [_LaneReader(plan, start_step, cache, share, self._ahead_windows) for plan in self._plans]
            for step in count(start_step):
                tiles = np.empty(self._batch_shape, np.uint8)
                for lane, rows in zip(lanes, tiles, strict=True):
                    lane.fill(rows)
                if not self._hand_over((step, tiles)):
                    break
        except BaseException as error:
            self._fail(error)

    def _hand_over(self, batch: Batch) -> bool:
        """Wait for room and add a batch; False once the stream has ended."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) < self._prefetch_steps or self._ended)
            if not self._ended:
                self._ready.append(batch)
                self._changed.notify_all()
            return not self._ended

    def _read(self, piece: int) -> "Future[Pixels]":
        """Begin to read a piece. A failure is told at once, not when the piece's turn comes."""
        future = self._readers.submit(self._source.read_piece, piece)
        future.add_done_callback(self._note_failure)
        return future

    def _note_failure(self, future: "Future[Pixels]") -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if not self._ended:  # else it would keep the frames, and with them the pieces, of a closed stream
                self._failure = error
                self._changed.notify_all()
