"""Laws of the stream: it carries out the plan whatever its settings, within its memory, and never hangs."""

import shutil
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from satgan.errors import CorruptData, TilesError
from satgan.tiles.manifest import Manifest
from satgan.tiles.plan import LanePlan
from satgan.tiles.shards import open_tile_set, pack
from satgan.tiles.stream import Pixels, TileStream

TILES, PIECE_TILES, LANES, LANE_BATCH, SEED = 4003, 20, 8, 16, 5
PATIENCE_SECONDS = 10.0


class NumberedTiles:
    """A tile set in memory whose tiles, `[2, 2, 2] uint8`, are their own numbers. It watches what is read and kept."""

    def __init__(
        self,
        tile_count: int = TILES,
        on_read: Callable[[int], object] = lambda piece: None,
        piece_tiles: int = PIECE_TILES,
    ) -> None:
        self.manifest = Manifest(
            size=2, channels=2, tile_count=tile_count, piece_tiles=piece_tiles, shard_tiles=6 * piece_tiles, shards=(),
            source="test", cut={}, channel_means=(0, 0), channel_deviations=(1, 1), packing_seed=0,
        )  # fmt: skip
        self.on_read = on_read
        self.reads: Counter[int] = Counter()
        self.alive = self.most_alive = 0
        self._lock = threading.Lock()

    def read_piece(self, piece: int) -> Pixels:
        self.on_read(piece)
        first = piece * self.manifest.piece_tiles
        numbers = np.arange(first, min(first + self.manifest.piece_tiles, self.manifest.tile_count), dtype=np.int64)
        pixels = numbers.view(np.uint8).reshape(-1, 2, 2, 2).copy()
        weakref.finalize(pixels, self._count, -1)
        self._count(1)
        with self._lock:
            self.reads[piece] += 1
        return pixels

    def _count(self, change: int) -> None:
        with self._lock:
            self.alive += change
            self.most_alive = max(self.most_alive, self.alive)


def stream_of(source: NumberedTiles, my_lanes: Sequence[int] = range(LANES), **settings: int) -> TileStream:
    """Some lanes of the run that these tests speak of."""
    options = {"lanes": LANES, "lane_batch": LANE_BATCH, "seed": SEED, "memory_megabytes": 1, **settings}
    return TileStream(source, my_lanes=list(my_lanes), **options)


def numbers_of(tiles: Pixels) -> NDArray[np.int64]:
    """Tile numbers `[lanes, lane_batch]` of a batch of numbered tiles."""
    return tiles.reshape(*tiles.shape[:2], 8).view(np.int64)[..., 0]


def batches(steps: int, my_lanes: Sequence[int] = range(LANES), **settings: int) -> NDArray[np.int64]:
    """The first batches of a stream, `[steps, lanes, lane_batch]` tile numbers."""
    with stream_of(NumberedTiles(), my_lanes, **settings) as stream:
        read = list(islice(stream, steps))
    first = settings.get("start_step", 0)
    assert [step for step, _ in read] == list(range(first, first + steps))
    return np.stack([numbers_of(tiles) for _, tiles in read])


def threads_of_streams() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tiles-")]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert threads_of_streams() == []


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


def test_the_stream_carries_out_the_plan() -> None:
    plans = [LanePlan(TILES, PIECE_TILES, LANES, lane, LANE_BATCH, SEED) for lane in range(LANES)]
    expected = [[plan.tiles(step).tolist() for plan in plans] for step in range(40)]
    assert batches(40).tolist() == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"connections": 1},
        {"connections": 16},
        {"prefetch_steps": 1},
        {"prefetch_steps": 50},
        {"memory_megabytes": 0},
        {"connections": 3, "prefetch_steps": 2, "memory_megabytes": 0},
    ],
)
def test_batches_do_not_depend_on_the_settings(settings: dict[str, int]) -> None:
    assert np.array_equal(batches(40, range(LANES), **settings), batches(40))


@pytest.mark.parametrize("start_step", [1, 7, 8, 39])
def test_a_later_start_gives_the_tail(start_step: int) -> None:
    assert np.array_equal(batches(10, start_step=start_step), batches(start_step + 10)[start_step:])


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 8])
def test_the_global_batch_is_equal_for_any_number_of_workers(workers: int) -> None:
    whole = np.full((20, LANES, LANE_BATCH), -1)
    for worker in range(workers):
        mine = range(worker, LANES, workers)
        whole[:, list(mine)] = batches(20, mine)
    assert np.array_equal(whole, batches(20))


def test_a_lane_smaller_than_its_batch_is_streamed() -> None:
    source = NumberedTiles(tile_count=17)
    with stream_of(source) as stream:
        _, tiles = next(islice(stream, 5, None))
    plans = [LanePlan(17, PIECE_TILES, LANES, lane, LANE_BATCH, SEED) for lane in range(LANES)]
    assert numbers_of(tiles).tolist() == [plan.tiles(5).tolist() for plan in plans]


def test_a_kept_batch_is_not_overwritten() -> None:
    with stream_of(NumberedTiles(), prefetch_steps=1) as stream:
        kept = [tiles for _, tiles in islice(stream, 20)]
    assert np.array_equal(np.stack([numbers_of(tiles) for tiles in kept]), batches(20))


def test_more_lanes_than_tiles_are_refused_before_a_thread_starts() -> None:
    with pytest.raises(TilesError, match="fewer than the run has lanes"):
        stream_of(NumberedTiles(tile_count=7))


def test_a_set_that_fits_in_memory_is_read_once() -> None:
    source = NumberedTiles()
    with stream_of(source) as stream:
        list(islice(stream, 40))
    assert set(source.reads) == set(range(source.manifest.piece_count))
    assert max(source.reads.values()) == 1


def test_of_a_set_that_fits_by_half_only_half_is_read_again() -> None:
    epochs, piece_tiles = 6, 200
    fitting = 10**6 // (piece_tiles * 8)
    source = NumberedTiles(tile_count=2 * fitting * piece_tiles, piece_tiles=piece_tiles)
    with stream_of(source, [0], lanes=1, lane_batch=piece_tiles * 10, memory_megabytes=1) as stream:
        list(islice(stream, epochs * 2 * fitting // 10))
    assert sum(source.reads.values()) / (2 * fitting) < 1 + 0.6 * (epochs - 1)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("connections", [1, 16])
def test_memory_is_bounded(lanes: int, connections: int) -> None:
    source = NumberedTiles(tile_count=20_003)
    settings = {"lanes": lanes, "connections": connections, "memory_megabytes": 0}
    with stream_of(source, range(lanes), **settings) as stream:
        list(islice(stream, 20_003 // (LANE_BATCH * lanes)))
        bound = stream.capacity_bytes // (PIECE_TILES * source.manifest.tile_bytes)
    assert bound == 8 * lanes
    assert len(source.reads) > 900
    # A thread that has handed over its piece may not have let go of it yet.
    assert source.most_alive <= bound + connections
    assert source.alive == 0


def test_nothing_is_read_without_end_while_nobody_consumes() -> None:
    source = NumberedTiles(tile_count=20_003)
    with stream_of(source, [0], lanes=1, prefetch_steps=4):
        wait_until(lambda: sum(source.reads.values()) == 16)
        time.sleep(0.05)
        assert sum(source.reads.values()) == 16, "this window and the next"


def test_a_later_start_reads_what_is_left_of_its_window() -> None:
    steps_of_a_window = 8 * PIECE_TILES // LANE_BATCH
    source = NumberedTiles(tile_count=2 * 8 * PIECE_TILES)
    with stream_of(source, [0], lanes=1, start_step=2 * steps_of_a_window - 1, connections=1) as stream:
        _, tiles = next(stream)
        first_reads = list(source.reads)[: len(set((numbers_of(tiles)[0] // PIECE_TILES).tolist()))]
    assert set(first_reads) == set((numbers_of(tiles)[0] // PIECE_TILES).tolist())


def test_as_many_pieces_are_read_at_once_as_there_are_connections() -> None:
    together = threading.Barrier(6, timeout=PATIENCE_SECONDS)
    source = NumberedTiles(tile_count=12 * PIECE_TILES, on_read=lambda piece: together.wait())
    with stream_of(source, [0], lanes=1, connections=6) as stream:
        next(stream)
        wait_until(lambda: len(source.reads) == 12)


def test_a_failure_is_raised_and_no_batch_is_missing_before_it() -> None:
    def fail(piece: int) -> None:
        if piece == 30:
            raise CorruptData(f"piece {piece} differs from its digest", "pack the set again")

    read: list[NDArray[np.int64]] = []
    with stream_of(NumberedTiles(on_read=fail), [0], lanes=1, memory_megabytes=0) as stream:
        with pytest.raises(CorruptData, match="piece 30"):
            read.extend(numbers_of(tiles) for _, tiles in stream)
        with pytest.raises(CorruptData, match="piece 30"):
            next(stream)
    plan = LanePlan(TILES, PIECE_TILES, 1, 0, LANE_BATCH, SEED)
    assert [batch[0].tolist() for batch in read] == [plan.tiles(step).tolist() for step in range(len(read))]
    assert len(read) < TILES // LANE_BATCH


def test_a_failure_is_raised_by_the_next_call_even_when_batches_are_ready() -> None:
    may_fail = threading.Event()
    plan = LanePlan(20_003, PIECE_TILES, 1, 0, LANE_BATCH, SEED)
    first_window = set((next(plan.windows(0)) // PIECE_TILES).tolist())

    def fail_later(piece: int) -> None:
        if piece not in first_window:
            may_fail.wait(PATIENCE_SECONDS)
            raise OSError(f"piece {piece}")

    source = NumberedTiles(tile_count=20_003, on_read=fail_later)
    with stream_of(source, [0], lanes=1, prefetch_steps=4, connections=16) as stream:
        next(stream)
        wait_until(lambda: len(stream._ready) == 4)
        may_fail.set()
        wait_until(lambda: stream._failure is not None)
        assert stream._ready
        with pytest.raises(OSError, match="piece"):
            next(stream)


def test_leaving_early_stops_everything() -> None:
    with stream_of(NumberedTiles()) as stream:
        next(stream)
        assert threads_of_streams()
    assert threads_of_streams() == []
    with pytest.raises(ValueError, match="closed"):
        next(stream)
    stream.close()


def test_closing_waits_for_reads_under_way_and_for_no_others() -> None:
    reading = threading.Event()

    def slow(piece: int) -> None:
        reading.set()
        time.sleep(0.2)

    with stream_of(NumberedTiles(on_read=slow), connections=1):
        assert reading.wait(PATIENCE_SECONDS)
        began = time.monotonic()
    assert time.monotonic() - began < 3.0
    assert threads_of_streams() == []


def test_closing_wakes_a_waiting_consumer() -> None:
    release = threading.Event()
    outcome: list[BaseException] = []

    def consume() -> None:
        try:
            next(stream)
        except ValueError as error:
            outcome.append(error)

    with stream_of(NumberedTiles(on_read=lambda piece: release.wait(PATIENCE_SECONDS))) as stream:
        consumer = threading.Thread(target=consume)
        consumer.start()
        threading.Timer(0.05, release.set).start()
    consumer.join(PATIENCE_SECONDS)
    assert [str(error) for error in outcome] == ["the tile stream is closed"]


def test_waiting_is_measured() -> None:
    release = threading.Event()
    with stream_of(NumberedTiles(on_read=lambda piece: release.wait(PATIENCE_SECONDS))) as stream:
        threading.Timer(0.1, release.set).start()
        next(stream)
        first = stream.waited_seconds
        wait_until(lambda: len(stream._ready) == 4)
        list(islice(stream, 2))
    assert 0.05 < first < PATIENCE_SECONDS
    assert stream.waited_seconds - first < first / 2


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tile set in a folder: 4,000 tiles `[64, 64, 3]`, 6 pieces."""
    draw = np.random.default_rng(1)
    tiles = ((f"tile-{number}", draw.integers(0, 256, (64, 64, 3), np.uint8)) for number in range(4000))
    folder = tmp_path_factory.mktemp("tiles") / "set"
    pack(tiles, str(folder), size=64, channels=3, seed=1, source="test", cut={})
    return folder


def test_a_packed_set_is_streamed(packed: Path) -> None:
    source = open_tile_set(str(packed))
    stored = np.concatenate([np.load(packed / shard.name) for shard in source.manifest.shards])
    plans = [LanePlan(4000, source.manifest.piece_tiles, 2, lane, 64, SEED) for lane in range(2)]
    with TileStream(source, lanes=2, my_lanes=[0, 1], lane_batch=64, seed=SEED, start_step=20) as stream:
        for step, tiles in islice(stream, 40):
            assert np.array_equal(tiles, np.stack([stored[plan.tiles(step)] for plan in plans]))


def test_a_wrong_byte_in_a_packed_set_ends_the_stream(packed: Path, tmp_path: Path) -> None:
    shard = shutil.copytree(packed, tmp_path / "set") / "shard-000000.npy"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    source = open_tile_set(str(shard.parent))
    with (
        TileStream(source, lanes=1, my_lanes=[0], lane_batch=64, seed=SEED) as stream,
        pytest.raises(CorruptData, match="shard-000000"),
    ):
        list(islice(stream, 4000 // 64))
