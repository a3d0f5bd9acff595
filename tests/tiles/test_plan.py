"""Laws of the reading order, for hundreds of seeds and sizes."""

import random
import time
import tracemalloc
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from satgan.errors import TilesError
from satgan.tiles import plan as plan_module
from satgan.tiles.manifest import piece_tiles_for
from satgan.tiles.plan import WINDOW_PIECES, LanePlan

WORKERS = (1, 2, 3, 5, 8)


def random_plan(number: int) -> LanePlan:
    draw = random.Random(number)
    lanes = draw.randint(1, 9)
    return LanePlan(
        tile_count=draw.randint(lanes, 400),
        piece_tiles=draw.choice([1, 2, 3, 7, 16, 50, 1000]),
        lanes=lanes,
        lane=draw.randrange(lanes),
        lane_batch=draw.choice([1, 2, 5, 16, 64]),
        seed=draw.randrange(2**64),
    )


def samples(plan: LanePlan, first_step: int, steps: int) -> NDArray[np.int64]:
    return np.concatenate([plan.tiles(step) for step in range(first_step, first_step + steps)])


def epoch(plan: LanePlan, number: int) -> NDArray[np.int64]:
    """The tiles of one epoch, read through `tiles`."""
    first, stop = number * plan.own_tiles, (number + 1) * plan.own_tiles
    step = first // plan.lane_batch
    read = samples(plan, step, -(-stop // plan.lane_batch) - step)
    return read[first - step * plan.lane_batch :][: plan.own_tiles]


@pytest.fixture(params=[None, 16], ids=["one section", "many sections"])
def _sections(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setattr(plan_module, "SECTION_PIECES", request.param)


@pytest.mark.usefixtures("_sections")
@pytest.mark.parametrize("hundred", range(3))
def test_every_epoch_is_a_permutation_of_the_lanes_tiles(hundred: int) -> None:
    for number in range(hundred * 100, hundred * 100 + 100):
        plan = random_plan(number)
        for which in (0, 1, 5):
            own = range(plan.first_tile, plan.stop_tile)
            assert sorted(epoch(plan, which).tolist()) == list(own), (plan, which)


def test_lanes_share_the_set_without_gap_or_overlap() -> None:
    for number in range(300):
        plan = random_plan(number)
        lanes = [LanePlan(plan.tile_count, 7, plan.lanes, lane, 4, 1) for lane in range(plan.lanes)]
        owned = [tile for lane in lanes for tile in range(lane.first_tile, lane.stop_tile)]
        assert owned == list(range(plan.tile_count))
        assert max(lane.own_tiles for lane in lanes) - min(lane.own_tiles for lane in lanes) <= 1


@pytest.mark.usefixtures("_sections")
def test_a_step_is_the_same_sought_or_reached() -> None:
    for number in range(200):
        plan = random_plan(number)
        steps = max(6, 2 * plan.own_tiles // plan.lane_batch)
        stream = plan.windows(0)
        reached = np.empty(0, np.int64)
        while len(reached) < steps * plan.lane_batch:
            reached = np.concatenate([reached, next(stream)])
        for step in (0, 1, steps // 2, steps - 1):
            assert len(next(plan.windows(step))) > 0, (plan, step)
            expected = reached[step * plan.lane_batch :][: plan.lane_batch]
            assert plan.tiles(step).tolist() == expected.tolist(), (plan, step)


@pytest.mark.usefixtures("_sections")
def test_a_window_needs_few_pieces_and_each_piece_once_an_epoch() -> None:
    for number in range(200):
        plan = random_plan(number)
        uses: Counter[int] = Counter()
        read = 0
        for window in plan.windows(0):
            pieces = set((window // plan.piece_tiles).tolist())
            assert 1 <= len(pieces) <= WINDOW_PIECES, plan
            uses.update(pieces)
            read += len(window)
            if read == plan.own_tiles:
                break
        assert set(uses.values()) == {1}, plan


EPOCH_SEED_LANE = [(0, 1, 0), (1, 1, 0), (2, 1, 0), (0, 2, 0), (0, 1, 1)]


@pytest.mark.usefixtures("_sections")
def test_windows_have_other_pieces_in_other_epochs_seeds_and_lanes() -> None:
    def contents(number: int, seed: int, lane: int) -> tuple[int, ...]:
        plan = LanePlan(tile_count=2000, piece_tiles=1, lanes=2, lane=lane, lane_batch=1000, seed=seed)
        windows = islice(plan.windows(number), 1000 // WINDOW_PIECES)
        return tuple(tile - plan.first_tile for window in windows for tile in sorted(window.tolist()))

    assert len({contents(*key) for key in EPOCH_SEED_LANE}) == len(EPOCH_SEED_LANE)


def test_tiles_of_a_window_are_in_another_order_in_other_epochs_seeds_lanes_and_windows() -> None:
    def order(number: int, seed: int, lane: int, window: int) -> tuple[int, ...]:
        plan = LanePlan(tile_count=1600, piece_tiles=10, lanes=2, lane=lane, lane_batch=800, seed=seed)
        tiles = next(islice(plan.windows(number), window, None))
        return tuple((tiles % 10).tolist())  # the place within the piece: free of the order of pieces

    orders = [order(*key, window) for key in EPOCH_SEED_LANE for window in range(4)]
    assert len(set(orders)) == len(orders)


def test_order_is_shuffled_within_windows_and_among_them() -> None:
    plan = LanePlan(tile_count=20_000, piece_tiles=20, lanes=1, lane=0, lane_batch=50, seed=1)
    pieces = epoch(plan, 0) // plan.piece_tiles
    windows = pieces.reshape(-1, WINDOW_PIECES * plan.piece_tiles)
    neighbours = np.abs(np.diff(np.unique(windows, axis=1)[:, 0])).mean()
    assert neighbours > 100, "the pieces of following windows lie side by side"
    assert (np.diff(pieces) != 0).mean() > 0.8, "tiles of one piece follow one another"


def test_the_global_batch_is_equal_for_any_number_of_workers() -> None:
    def batch(step: int, workers: int) -> list[list[int]]:
        plans = [LanePlan(1003, 20, 8, lane, 16, 5) for lane in range(8)]
        read = {lane: plans[lane].tiles(step) for worker in range(workers) for lane in range(worker, 8, workers)}
        return [read[lane].tolist() for lane in range(8)]

    for step in (0, 7, 8, 1000):
        assert all(batch(step, workers) == batch(step, 1) for workers in WORKERS)


def test_more_lanes_than_tiles_are_refused() -> None:
    assert LanePlan(8, 5, 8, 7, 4, 1).tiles(3).tolist() == [7, 7, 7, 7]
    with pytest.raises(TilesError, match=r"7 tile\(s\).*lanes: 8(.|\n)*at most 7 lanes"):
        LanePlan(7, 5, 8, 0, 4, 1)


@pytest.mark.parametrize("channels", [1, 3, 16])
@pytest.mark.parametrize("step", [0, 1, 15_624_999, 15_625_000, 10**9])
def test_any_step_of_a_billion_tiles_is_found_at_once(step: int, channels: int) -> None:
    plan = LanePlan(10**9 + 7, piece_tiles_for(64, channels), lanes=1, lane=0, lane_batch=64, seed=1234)
    tracemalloc.start()
    began = time.thread_time()
    tiles = plan.tiles(step)
    elapsed_seconds = time.thread_time() - began
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 20e6
    assert elapsed_seconds < 0.05
    assert len(set(tiles.tolist())) == 64
    assert 0 <= tiles.min() <= tiles.max() < plan.tile_count


def test_a_billion_tiles_begin_a_permutation() -> None:
    plan = LanePlan(10**9, 682, lanes=1, lane=0, lane_batch=64, seed=1234)
    read = np.concatenate(list(islice(plan.windows(10**6), 200)))
    assert len(np.unique(read)) == len(read)
