"""Whatever goes wrong between store and stream: every batch is right, or the consumer gets a named error. No hang."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise
from types import FrameType

import numpy as np
import pytest

from satgan.errors import CorruptData, SatganError, StoreForbidden, StoreMissing, StoreUnreachable
from satgan.tiles import manifest as manifest_module
from satgan.tiles import signed
from satgan.tiles import store as store_module
from satgan.tiles.plan import LanePlan
from satgan.tiles.shards import pack
from satgan.tiles.store import Patience, open_store
from satgan.tiles.stream import TileStream
from satgan.tiles.tile_set import TileSet, open_tile_set
from tests.tiles.fault_proxy import (
    Choose,
    Fault,
    FaultProxy,
    cut_after,
    fault_proxy,
    flipped,
    late,
    refused,
    reset_after,
    shortened_to,
    silent,
    stalled_after,
    without_range,
)
from tests.tiles.sample_tiles import Pixels, named, textured

TIME_LIMIT_SECONDS = 30
TILES, PIECE_TILES, LANE_BATCH, SEED = 100, 5, 10, 7
PIECE_BYTES = PIECE_TILES * 16 * 16 * 3
PIECES = TILES // PIECE_TILES
READ_BYTES = 256
QUICK = Patience(connect_timeout_seconds=2, read_timeout_seconds=1.5, attempts=3)

PASSING: dict[str, Fault] = {
    "late": late(0.2),
    "reset": reset_after(1000),
    "reset-at-once": reset_after(0),
    "cut": cut_after(1000),
    "shortened": shortened_to(1000),
    "empty": shortened_to(0),
    "stalled": stalled_after(1000),
    "silent": silent,
    "slow-down": refused(503, "SlowDown"),
    "throttled": refused(400, "ThrottlingException"),
    "internal": refused(500, "InternalError"),
    "flipped": flipped(1234),
}


@pytest.fixture(autouse=True)
def _time_limit() -> Iterator[None]:
    """A test that hangs fails."""

    def end(signal_number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"the test did not end within {TIME_LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(TIME_LIMIT_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(signed, "READ_BYTES", READ_BYTES)


@pytest.fixture(scope="module")
def packed(s3: str) -> str:
    """A tile set in the bucket: 20 pieces of 5 tiles in 4 shards."""
    patch = pytest.MonkeyPatch()
    patch.setattr(manifest_module, "PIECE_BYTES", PIECE_BYTES)
    url = f"{s3}/faults"
    pack(iter(named(textured(TILES))), url, size=16, channels=3, seed=1, source="test", cut={})
    patch.undo()
    return url


@pytest.fixture(scope="module")
def stored(packed: str) -> Pixels:
    """The tiles of `packed` in packed order, read without a proxy."""
    tile_set = open_tile_set(packed)
    return np.concatenate([tile_set.read_piece(piece) for piece in range(PIECES)])


@pytest.fixture
def proxy(packed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Stands before the bucket of `packed` for the time of a test."""
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def tile_set(proxy: FaultProxy, packed: str) -> TileSet:
    tile_set = open_tile_set(packed, patience=QUICK)
    assert tile_set.manifest.piece_count == PIECES
    proxy.asked.clear()
    return tile_set


def every(fault: Fault, times: int, counts: Counter[tuple[str, str]]) -> Choose:
    """Each range of a shard goes wrong the first `times` times that it is asked for."""
    lock = threading.Lock()

    def choose(key: str, asked: str) -> Fault | None:
        last = asked.partition("-")[2]  # where a range ends stays the same when it is taken up again
        with lock:
            counts[key, last] += 1
            return fault if asked and counts[key, last] <= times else None

    return choose


def check_epochs(tile_set: TileSet, stored: Pixels, connections: int = 4) -> None:
    """Streams two epochs and compares every batch with the plan."""
    plan = LanePlan(TILES, PIECE_TILES, 1, 0, LANE_BATCH, SEED)
    with TileStream(
        tile_set, lanes=1, my_lanes=[0], lane_batch=LANE_BATCH, seed=SEED, connections=connections
    ) as stream:
        for step, tiles, _ in islice(stream, 2 * TILES // LANE_BATCH):
            assert np.array_equal(tiles[0].numpy(), stored[plan.tiles(step)]), step


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_not_seen(tile_set: TileSet, proxy: FaultProxy, stored: Pixels, name: str) -> None:
    """Every range goes wrong once: the consumer gets every tile, each in its place."""
    counts: Counter[tuple[str, str]] = Counter()
    proxy.choose = every(PASSING[name], 1, counts)
    check_epochs(tile_set, stored)
    assert len(counts) == PIECES
    # A loaded machine may be late by itself: a healthy answer is then asked for once more, never beyond the attempts.
    least = 1 if name == "late" else 2
    assert all(least <= asked <= QUICK.attempts for asked in counts.values())


@pytest.mark.parametrize("name", ["reset", "cut", "shortened", "stalled"])
def test_a_missing_range_is_fetched_from_where_it_broke(tile_set: TileSet, proxy: FaultProxy, name: str) -> None:
    expected = tile_set.read_piece(3)
    place = tile_set.manifest.piece_place(3)
    proxy.asked.clear()
    proxy.choose = every(PASSING[name], 2, Counter())
    assert np.array_equal(tile_set.read_piece(3), expected)
    last = place.offset_bytes + PIECE_BYTES - 1
    starts = [int(asked.removeprefix("bytes=").partition("-")[0]) for _, asked in proxy.asked]
    assert [int(asked.rpartition("-")[2]) for _, asked in proxy.asked] == [last] * 3
    assert starts[0] == place.offset_bytes
    for earlier, later in pairwise(starts):
        assert 1000 - READ_BYTES <= later - earlier <= 1000


LASTING: list[tuple[Fault, type[SatganError], str, str]] = [
    (reset_after(100), StoreUnreachable, "attempt 3 of 3", "AWS_ENDPOINT_URL"),
    (shortened_to(0), StoreUnreachable, "ended after 0 of 3840 bytes", "AWS_ENDPOINT_URL"),
    (stalled_after(0), StoreUnreachable, "timeout", "AWS_ENDPOINT_URL"),
    (silent, StoreUnreachable, "timeout", "AWS_ENDPOINT_URL"),
    (refused(503, "SlowDown"), StoreUnreachable, "SlowDown", "AWS_ENDPOINT_URL"),
    (refused(500, "InternalError"), StoreUnreachable, "InternalError", "AWS_ENDPOINT_URL"),
    (refused(404, "NoSuchKey"), StoreMissing, "NoSuchKey", "spelling"),
    (refused(403, "ExpiredToken"), StoreForbidden, "ExpiredToken", "renew"),
    (refused(403, "RequestTimeTooSkewed"), StoreForbidden, "RequestTimeTooSkewed", "clock"),
    (without_range, StoreUnreachable, "the whole object", "ranged GETs"),
]


@pytest.mark.parametrize(("fault", "error", "words", "remedy"), LASTING)
def test_what_stays_is_told_by_name(
    tile_set: TileSet, proxy: FaultProxy, fault: Fault, error: type[SatganError], words: str, remedy: str
) -> None:
    proxy.choose = lambda key, asked: fault if asked else None
    with pytest.raises(error, match=words) as told:
        tile_set.read_piece(3)
    assert tile_set.store.url in told.value.found
    assert tile_set.manifest.piece_place(3).shard.name in told.value.found
    assert remedy in told.value.remedy
    assert len(proxy.asked) == (3 if error is StoreUnreachable else 1)


@pytest.mark.parametrize(
    ("fault", "error", "words"), [*(lasting[:3] for lasting in LASTING), (flipped(5), CorruptData, "digest")]
)
def test_what_stays_ends_the_stream_and_no_batch_is_missing_before(
    tile_set: TileSet, proxy: FaultProxy, stored: Pixels, fault: Fault, error: type[SatganError], words: str
) -> None:
    """One piece goes wrong for good after the first window; batches before the error are whole and in order."""
    plan = LanePlan(TILES, PIECE_TILES, 1, 0, LANE_BATCH, SEED)
    first_window = set((next(plan.windows(0)) // PIECE_TILES).tolist())
    bad = next(piece for piece in range(PIECES) if piece not in first_window)
    bad_end = f"-{tile_set.manifest.piece_place(bad).offset_bytes + PIECE_BYTES - 1}"
    shard = tile_set.manifest.piece_place(bad).shard.name
    proxy.choose = lambda key, asked: fault if key.endswith(shard) and asked.endswith(bad_end) else None
    given: list[tuple[int, Pixels]] = []
    with (
        TileStream(tile_set, lanes=1, my_lanes=[0], lane_batch=LANE_BATCH, seed=SEED, connections=2) as stream,
        pytest.raises(error, match=words),
    ):
        given.extend((batch.step, batch.tiles[0].numpy().copy()) for batch in stream)
    for number, (step, tiles) in enumerate(given):
        assert step == number
        assert np.array_equal(tiles, stored[plan.tiles(step)])
    needed = next(step for step in range(TILES) if bad in (plan.tiles(step) // PIECE_TILES).tolist())
    assert len(given) <= needed


def test_lasting_bad_bytes_name_key_range_and_both_digests(tile_set: TileSet, proxy: FaultProxy) -> None:
    place = tile_set.manifest.piece_place(3)
    proxy.choose = lambda key, asked: flipped(99) if asked else None
    with pytest.raises(CorruptData) as told:
        tile_set.read_piece(3)
    last = place.offset_bytes + PIECE_BYTES - 1
    assert f"{place.shard.name}, bytes {place.offset_bytes} to {last}" in told.value.found
    assert f"the manifest says {place.digest}" in told.value.found
    assert len(proxy.asked) == 2


def test_writes_and_listings_are_tried_again(s3_prefix: str, packed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        store = open_store(s3_prefix, patience=QUICK)
        store.write("x", b"1234")
        failures = iter([refused(503, "SlowDown"), reset_after(0), None] * 2)
        proxy.choose = lambda key, asked: next(failures, None)
        assert store.list() == [("x", 4)]
        assert store.read("x") == b"1234"
        assert len(proxy.asked) == 6


def test_patience_has_the_totals_that_the_config_tells() -> None:
    """An address that never answers: attempts · timeout + pauses, each at most double the one before."""
    from satgan.groups import TilesConfig

    fields = TilesConfig.model_fields
    told = [str(fields[name].description) for name in ("connect_timeout_seconds", "read_timeout_seconds")]
    pauses = sum(0.5 * 2**number for number in range(Patience().attempts - 1))
    assert f"{Patience().attempts * Patience().connect_timeout_seconds + pauses} s by default" in told[0]
    assert f"{Patience().attempts * Patience().read_timeout_seconds + pauses} s by default" in told[1]
    assert Patience() == (
        fields["connect_timeout_seconds"].default,
        fields["read_timeout_seconds"].default,
        fields["attempts"].default,
    )
