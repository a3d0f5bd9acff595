"""Laws of the stream: it carries out the plan whatever its settings, within its memory, and never hangs."""

import shutil
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from satgan.errors import CorruptData, TilesError
from satgan.tiles.manifest import Manifest
from satgan.tiles.pieces import HostArena
from satgan.tiles.plan import LanePlan
from satgan.tiles.shards import open_tile_set, pack
from satgan.tiles.stream import Pixels, TileStream
from tests.waiting import PATIENCE_SECONDS, until

TILES, PIECE_TILES, LANES, LANE_BATCH, SEED = 4003, 20, 8, 16, 5


class NumberedTiles:
    """A tile set in memory whose tiles, `[2, 2, 2] uint8`, are their own numbers. It notes reads and places."""

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
        self.places: set[int] = set()
        self._lock = threading.Lock()

    def read_piece_into(self, piece: int, tiles: Pixels) -> None:
        self.on_read(piece)
        first = piece * self.manifest.piece_tiles
        assert tiles.shape == (min(self.manifest.piece_tiles, self.manifest.tile_count - first), 2, 2, 2)
        tiles[:] = 255  # what lay there is gone while it is read
        numbers = np.arange(first, first + len(tiles), dtype=np.int64)
        tiles[:] = numbers.view(np.uint8).reshape(-1, 2, 2, 2)
        with self._lock:
            self.reads[piece] += 1
            self.places.add(tiles.ctypes.data)


def stream_of(source: NumberedTiles, my_lanes: Sequence[int] = range(LANES), **settings: Any) -> TileStream:
    """Some lanes of the run that these tests speak of."""
    options: dict[str, Any] = {
        "lanes": LANES,
        "lane_batch": LANE_BATCH,
        "seed": SEED,
        "memory_megabytes": 1,
        **settings,
    }
    return TileStream(source, my_lanes=list(my_lanes), **options)


def numbers_of(tiles: Tensor) -> NDArray[np.int64]:
    """Tile numbers `[lanes, lane_batch]` of a batch of numbered tiles, in memory of their own."""
    return tiles.flatten(2).numpy().view(np.int64)[..., 0].copy()


def batches(steps: int, my_lanes: Sequence[int] = range(LANES), **settings: Any) -> NDArray[np.int64]:
    """The first batches of a stream, `[steps, lanes, lane_batch]` tile numbers."""
    with stream_of(NumberedTiles(), my_lanes, **settings) as stream:
        read = [(batch.step, numbers_of(batch.tiles)) for batch in islice(stream, steps)]
    first = settings.get("start_step", 0)
    assert [step for step, _ in read] == list(range(first, first + steps))
    return np.stack([numbers for _, numbers in read])


def threads_of_streams() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tiles-")]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert threads_of_streams() == []


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
        {"keep": False},
        {"on_device": True},
        {"on_device": True, "connections": 2, "prefetch_steps": 1},
        {"connections": 3, "prefetch_steps": 2, "memory_megabytes": 0},
    ],
)
def test_batches_do_not_depend_on_the_settings(settings: dict[str, Any]) -> None:
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
        tiles = next(islice(stream, 5, None)).tiles
    plans = [LanePlan(17, PIECE_TILES, LANES, lane, LANE_BATCH, SEED) for lane in range(LANES)]
    assert numbers_of(tiles).tolist() == [plan.tiles(5).tolist() for plan in plans]


@pytest.mark.parametrize("prefetch_steps", [1, 4])
def test_a_batch_stays_until_the_next_is_asked_for_and_memory_goes_round(prefetch_steps: int) -> None:
    source, places = NumberedTiles(), set()
    expected = batches(20)
    with stream_of(source, prefetch_steps=prefetch_steps) as stream:
        for batch in islice(stream, 20):
            until(lambda: len(stream._ready) == prefetch_steps)
            assert np.array_equal(numbers_of(batch.tiles), expected[batch.step])
            places.add(batch.tiles.data_ptr())
    assert len(places) == prefetch_steps + 1


def test_choices_come_with_the_batch_and_are_made_by_another_thread() -> None:
    def prepare(step: int) -> tuple[int, str]:
        return step * step, threading.current_thread().name

    with stream_of(NumberedTiles(), start_step=3, prepare=prepare) as stream:
        assert [batch.choices for batch in islice(stream, 5)] == [(step * step, "tiles-gather") for step in range(3, 8)]


def test_a_failure_to_prepare_is_raised() -> None:
    def prepare(step: int) -> None:
        raise ZeroDivisionError(f"step {step}")

    with stream_of(NumberedTiles(), prepare=prepare) as stream, pytest.raises(ZeroDivisionError, match="step 0"):
        next(stream)


def test_more_lanes_than_tiles_are_refused_before_a_thread_starts() -> None:
    with pytest.raises(TilesError, match="fewer than the run has lanes"):
        stream_of(NumberedTiles(tile_count=7))


def test_a_set_that_fits_in_memory_is_read_once() -> None:
    source = NumberedTiles()
    with stream_of(source) as stream:
        list(islice(stream, 40))
    assert set(source.reads) == set(range(source.manifest.piece_count))
    assert max(source.reads.values()) == 1


def test_a_device_that_holds_the_lanes_tiles_reads_them_once() -> None:
    source = NumberedTiles()
    with stream_of(source, [2, 5], on_device=True, memory_megabytes=0) as stream:
        list(islice(stream, 3 * TILES // (LANES * LANE_BATCH)))
    plans = [LanePlan(TILES, PIECE_TILES, LANES, lane, LANE_BATCH, SEED) for lane in (2, 5)]
    owned = {piece for plan in plans for piece in (np.arange(plan.first_tile, plan.stop_tile) // PIECE_TILES).tolist()}
    assert sum(plan.piece_count for plan in plans) == len(owned)
    assert source.reads == Counter(owned)


def test_of_a_set_that_fits_by_half_only_half_is_read_again() -> None:
    epochs, piece_tiles = 6, 200
    fitting = 10**6 // (piece_tiles * 8)
    source = NumberedTiles(tile_count=2 * fitting * piece_tiles, piece_tiles=piece_tiles)
    with stream_of(source, [0], lanes=1, lane_batch=piece_tiles * 10, memory_megabytes=1) as stream:
        list(islice(stream, epochs * 2 * fitting // 10))
    assert sum(source.reads.values()) / (2 * fitting) < 1 + 0.6 * (epochs - 1)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("connections", [1, 16])
@pytest.mark.parametrize("keep", [True, False])
def test_memory_is_bounded(lanes: int, connections: int, keep: bool) -> None:
    """Pieces are only ever read into as many places as the bound has, and the places are what is allocated."""
    source = NumberedTiles(tile_count=20_003)
    settings = {"lanes": lanes, "connections": connections, "memory_megabytes": 0, "keep": keep}
    piece_bytes = PIECE_TILES * source.manifest.tile_bytes
    with stream_of(source, range(lanes), **settings) as stream:
        list(islice(stream, 20_003 // (LANE_BATCH * lanes)))
        bound = stream.capacity_bytes // piece_bytes
        assert isinstance(stream._arena, HostArena)
        assert stream._arena._tiles.nbytes == stream.capacity_bytes
    ahead = -(-connections // (8 * lanes))
    assert bound == 8 * lanes * (1 if keep else 1 + ahead)
    assert len(source.reads) > 900
    assert len(source.places) == bound


def test_memory_of_a_real_set_is_bounded(packed: Path) -> None:
    """Pieces take what the bound says and no piece is held twice: everything that NumPy and Python allocate."""
    source = open_tile_set(str(packed))
    piece_bytes = source.manifest.piece_tiles * source.manifest.tile_bytes
    tracemalloc.start()
    with TileStream(source, lanes=1, my_lanes=[0], lane_batch=64, seed=SEED, connections=4) as stream:
        list(islice(stream, 3 * 4000 // 64))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stream.capacity_bytes == 6 * piece_bytes
    assert stream.capacity_bytes <= peak_bytes < stream.capacity_bytes + 2**20


def test_nothing_is_read_without_end_while_nobody_consumes() -> None:
    source = NumberedTiles(tile_count=20_003)
    with stream_of(source, [0], lanes=1, prefetch_steps=4, connections=8):
        until(lambda: sum(source.reads.values()) == 16)
        time.sleep(0.05)
        assert sum(source.reads.values()) == 16, "this window and the next"


def test_a_later_start_reads_what_is_left_of_its_window() -> None:
    steps_of_a_window = 8 * PIECE_TILES // LANE_BATCH
    source = NumberedTiles(tile_count=2 * 8 * PIECE_TILES)
    with stream_of(source, [0], lanes=1, start_step=2 * steps_of_a_window - 1, connections=1) as stream:
        tiles = next(stream).tiles
        first_reads = list(source.reads)[: len(set((numbers_of(tiles)[0] // PIECE_TILES).tolist()))]
    assert set(first_reads) == set((numbers_of(tiles)[0] // PIECE_TILES).tolist())


@pytest.mark.parametrize("connections", [1, 6])
def test_as_many_pieces_are_read_at_once_as_there_are_connections(connections: int) -> None:
    """No read ends before as many are under way as may be; more never are."""
    changed = threading.Condition()
    under_way: set[int] = set()
    seen: list[int] = []

    def read_together(piece: int) -> None:
        with changed:
            under_way.add(piece)
            seen.append(len(under_way))
            changed.notify_all()
            assert changed.wait_for(lambda: max(seen) >= connections, PATIENCE_SECONDS)
        time.sleep(0.005)  # room for one more than there should be
        with changed:
            under_way.remove(piece)

    source = NumberedTiles(tile_count=12 * PIECE_TILES, on_read=read_together)
    with stream_of(source, [0], lanes=1, connections=connections) as stream:
        next(stream)
        until(lambda: len(source.reads) == 12)
    assert len(seen) == 12
    assert max(seen) == connections


def test_a_failure_is_raised_and_no_batch_is_missing_before_it() -> None:
    def fail(piece: int) -> None:
        if piece == 30:
            raise CorruptData(f"piece {piece} differs from its digest", "pack the set again")

    read: list[NDArray[np.int64]] = []
    with stream_of(NumberedTiles(on_read=fail), [0], lanes=1, memory_megabytes=0) as stream:
        with pytest.raises(CorruptData, match="piece 30"):
            read.extend(numbers_of(batch.tiles) for batch in stream)
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
        until(lambda: len(stream._ready) == 4)
        may_fail.set()
        until(lambda: stream._failure is not None)
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
    reading, go_on = threading.Event(), threading.Event()

    def slow(piece: int) -> None:
        reading.set()
        assert go_on.wait(PATIENCE_SECONDS)

    tiles = NumberedTiles(on_read=slow)
    with stream_of(tiles, connections=1):
        assert reading.wait(PATIENCE_SECONDS)
        threading.Timer(0.2, go_on.set).start()
    assert go_on.is_set()
    assert sum(tiles.reads.values()) == 1
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
        until(lambda: len(stream._ready) == 4)
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
        for step, tiles, _ in islice(stream, 40):
            assert np.array_equal(tiles.numpy(), np.stack([stored[plan.tiles(step)] for plan in plans]))


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
