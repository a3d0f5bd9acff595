"""From a plan to batches: pieces are read ahead by threads while the current step computes (S04).

Three kinds of threads, all in this process: `connections` readers fetch pieces; one gathering thread holds the pieces,
follows the plan of each lane, fills batches and prepares a step's random choices; the consumer takes both. What is
delivered follows from the plan alone, so it does not depend on connections, prefetch, memory, or on who holds which
lane.

A failure in any thread ends the stream and is raised by the consumer's next call, before batches that lie ready.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray

from satgan.tiles.batches import Batch, BatchBuffer, Pixels, side_stream
from satgan.tiles.pieces import Arena, DeviceArena, HostArena, PieceCache, PieceSource, tile_shape
from satgan.tiles.plan import WINDOW_PIECES, LanePlan

__all__ = ["Batch", "PieceSource", "Pixels", "TileStream"]

CPU = torch.device("cpu")


class _LaneReader:
    """Fills batches in a lane's order. It wants the pieces of its window and of the next ones, as its share allows."""

    def __init__(
        self, plan: LanePlan, start_step: int, cache: PieceCache, share_pieces: int, ahead_windows: int
    ) -> None:
        self._plan = plan
        self._windows = plan.windows(start_step)
        self._cache = cache
        self._share_pieces = share_pieces
        self._ahead_windows = ahead_windows
        self._upcoming: deque[NDArray[np.int64]] = deque()
        self._rows = np.empty(0, np.int64)

    def fill(self, arena: Arena, buffer: BatchBuffer, lane: int) -> None:
        """Gather the lane's next tiles into the batch's row `lane`."""
        filled = 0
        while filled < self._plan.lane_batch:
            if not len(self._rows):
                self._rows = self._next_window()
            rows = self._rows[: self._plan.lane_batch - filled]
            arena.gather(rows, buffer, lane, filled)
            self._rows = self._rows[len(rows) :]
            filled += len(rows)

    def _next_window(self) -> NDArray[np.int64]:
        """The arena's rows of the next window's tiles. It waits for all its pieces: nearly every batch needs each."""
        while len(self._upcoming) <= self._ahead_windows:
            self._upcoming.append(next(self._windows))
        pieces = [piece for window in self._upcoming for piece in np.unique(window // self._plan.piece_tiles).tolist()]
        # A window has at most WINDOW_PIECES pieces, and no share is smaller: the current one is always wanted whole.
        self._cache.want(self._plan.lane, list(dict.fromkeys(pieces))[: self._share_pieces])
        return self._cache.rows(self._upcoming.popleft())


class TileStream:
    """Batches of some lanes of a run, from a step on, without end. A context manager; leaving it stops all threads.

    Iterating gives a `Batch` for start_step, start_step + 1, …; its tiles lie in memory that is used again once the
    next batch is asked for: a consumer that keeps them copies them.

    Memory: pieces that are here or under way take at most `capacity_bytes`: `memory_megabytes`, or what progress needs
    if that is more, WINDOW_PIECES pieces (about 64 MB) per lane; a set that fits is read once. Beyond that,
    prefetch_steps + 1 batches.

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
        keep: whether pieces stay in memory for the next epoch; else there are only as many as reading ahead needs.
        device: where the tiles are wanted.
        on_device: whether all pieces of these lanes are kept there.
        prepare: makes a step's random choices, a function of its number; called by the gathering thread.

    Attributes:
        capacity_bytes: the bound of memory for pieces.
        waited_seconds: how long the consumer has waited for batches so far (S04).

    Raises:
        TilesError: the set has fewer tiles than the run has lanes.
        SatganError: while iterating, whatever reading a piece raised.
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
        keep: bool = True,
        device: torch.device = CPU,
        on_device: bool = False,
        prepare: Callable[[int], object] = lambda step: None,
    ) -> None:
        manifest = source.manifest
        self._prepare = prepare
        self._plans = [
            LanePlan(manifest.tile_count, manifest.piece_tiles, lanes, lane, lane_batch, seed) for lane in my_lanes
        ]
        self._ahead_windows = -(-connections // (WINDOW_PIECES * len(my_lanes)))
        least = WINDOW_PIECES * len(my_lanes)
        piece_bytes = manifest.piece_tiles * manifest.tile_bytes
        owned = sum(plan.piece_count for plan in self._plans)
        most = memory_megabytes * 10**6 // piece_bytes if keep else least * (1 + self._ahead_windows)
        if on_device:
            most = owned
        self._share_pieces = max(most, least) // len(my_lanes)
        self._slots = min(max(most, least), owned)
        self.capacity_bytes = self._slots * piece_bytes
        self.waited_seconds = 0.0
        self._changed = threading.Condition()
        self._side = side = side_stream(device)
        self._arena: Arena = (
            DeviceArena(source, self._slots, device, side) if on_device else HostArena(source, self._slots)
        )
        shape = (len(my_lanes), lane_batch, *tile_shape(manifest))
        self._free = deque(BatchBuffer(shape, device, side) for _ in range(prefetch_steps + 1))
        self._held: BatchBuffer | None = None
        self._ready: deque[tuple[Batch, BatchBuffer]] = deque()
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
            self._give_back()
            self._changed.wait_for(lambda: self._ready or self._ended)
            self.waited_seconds += time.perf_counter() - began
            if self._closed:
                raise ValueError("the tile stream is closed")
            if self._failure is not None:
                raise self._failure
            batch, self._held = self._ready.popleft()
            self._held.arrive()
            return batch

    def close(self) -> None:
        """Stop all threads and wait until they are gone: for reads under way, at most as long as these may take."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._readers.shutdown(cancel_futures=True)
        self._gatherer.join()
        if self._side is not None:
            self._side.synchronize()  # from here on the batches' memory may become others', on the steps' stream

    @property
    def _ended(self) -> bool:
        return self._closed or self._failure is not None

    def _give_back(self) -> None:
        """The consumer is through with its batch."""
        if self._held is not None:
            self._held.leave()
            self._free.append(self._held)
            self._held = None
            self._changed.notify_all()

    def _produce(self, start_step: int) -> None:
        """The gathering thread."""
        try:
            cache = PieceCache(self._read, self._slots, self._plans[0].piece_tiles)
            readers = [
                _LaneReader(plan, start_step, cache, self._share_pieces, self._ahead_windows) for plan in self._plans
            ]
            for step in count(start_step):
                buffer = self._next_buffer()
                if buffer is None:
                    break
                buffer.begin()
                for lane, reader in enumerate(readers):
                    reader.fill(self._arena, buffer, lane)
                buffer.ship(from_host=not self._arena.on_device)
                self._hand_over(Batch(step, buffer.tiles, self._prepare(step)), buffer)
        except BaseException as error:
            self._fail(error)

    def _next_buffer(self) -> BatchBuffer | None:
        """A buffer that nobody uses, as soon as there is one; None once the stream has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._ended)
            return None if self._ended else self._free.popleft()

    def _hand_over(self, batch: Batch, buffer: BatchBuffer) -> None:
        with self._changed:
            if not self._ended:
                self._ready.append((batch, buffer))
                self._changed.notify_all()

    def _read(self, piece: int, slot: int) -> "Future[None]":
        """Begin to read a piece. A failure is told at once, not when the piece's turn comes."""
        future = self._readers.submit(self._arena.load, slot, piece)
        future.add_done_callback(self._note_failure)
        return future

    def _note_failure(self, future: "Future[None]") -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if not self._ended:  # else it would keep the frames, and with them the pieces, of a closed stream
                self._failure = error
                self._changed.notify_all()
