"""Whatever befalls the store: a run goes on while a checkpoint stands, says so, and ends with its own bits."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from satgan.config import Config
from satgan.errors import Stopped, StoreUnreachable
from satgan.gan.pair import Pair
from satgan.gan.step import train_step
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps, name_of
from satgan.train.journal import entries_in, events_in
from satgan.train.keeper import NOT_WRITTEN
from satgan.train.loop import train_loop
from satgan.train.outcome import Outcome
from satgan.train.start import hold, prepare, start
from satgan.train.watch import Watch
from tests.conftest import small_disk_at
from tests.tiles.fault_proxy import Fault, FaultProxy, dropped, fault_proxy, late, refused
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of
from tests.waiting import PATIENCE_SECONDS, until

STEPS = {"steps": 25, "keep_checkpoints": 9}
WRITES = ("PUT", "POST", "DELETE")
FAILURES: dict[str, tuple[Fault, tuple[str, ...], str]] = {
    "gone": (dropped, ("GET", "HEAD", *WRITES), "onnection"),
    "forbidden": (refused(403, "AccessDenied"), WRITES, "AccessDenied"),
    "full": (refused(507, "InsufficientStorage"), WRITES, "InsufficientStorage"),
}
"""Of a bucket: what becomes of requests, of which, and a word of what the journal says then."""


@pytest.fixture
def proxy(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Between runs and the S3 server."""
    monkeypatch.setattr("satgan.tiles.store.FIRST_PAUSE_SECONDS", 0.01)
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        yield between


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """With room for some checkpoints, but soon full."""
    with small_disk_at(tmp_path / "small", "8m") as folder:
        yield folder


def at_steps(monkeypatch: pytest.MonkeyPatch, actions: dict[int, Callable[[], object]]) -> None:
    """Before those steps of the next run, these things happen."""
    taken = count(1)

    def stepped(pair: Pair) -> dict[str, float]:
        actions.get(next(taken), lambda: None)()
        return train_step(pair)

    monkeypatch.setattr("satgan.train.loop.train_step", stepped)


def through(
    config: Config, monkeypatch: pytest.MonkeyPatch, begin: Callable[[], object], end: Callable[[], object],
    thirteenth: Callable[[], object] = lambda: None,
) -> tuple[Outcome, list[str]]:  # fmt: skip
    """A run with a trouble that comes after step 6, when all is written of step 5, and goes after step 16; the
    steps wait until that of step 10 has failed, and after the trouble until one is written again."""
    said: list[str] = []
    failed, over = threading.Event(), threading.Event()
    store = open_store(f"{config.train.store}/run")

    def say(text: str) -> None:
        said.append(text)
        if NOT_WRITTEN in text:
            (over if text.startswith("over: ") else failed).set()

    actions = {
        6: lambda: until(lambda: store.exists("checkpoints/step-00000005/COMPLETE")), 7: begin,
        12: lambda: until(failed.is_set), 13: thirteenth, 17: end, 18: lambda: until(over.is_set),
    }  # fmt: skip
    at_steps(monkeypatch, actions)
    outcome = train_loop(config, Watch(progress=lambda progress: None, checkpoint=lambda *told: None, say=say))
    assert outcome
    return outcome, said


def brought(url: str, folder: Path) -> str:
    """A run brought from a bucket into a folder."""
    store = open_store(url)
    for key, _ in store.list():
        store.download(key, folder / key)
    return str(folder)


def check_weathered(alone: Outcome, weathered: str, said: list[str], why: str) -> None:
    """What both kinds of store have in common."""
    assert journal_numbers(weathered) == journal_numbers(alone.run)
    for step in (5, 15, 25):
        name = f"checkpoints/step-{step:08d}"
        assert weights_of(f"{weathered}/{name}") == weights_of(f"{alone.run}/{name}")
    assert not Path(weathered, "checkpoints", "step-00000010").exists()
    entries = [json.loads(line) for line in Path(weathered, "journal.jsonl").read_text().splitlines()]
    told = next(entry for entry in entries if entry.get("event") == "checkpoint_failed")
    assert (told["step"], told["stands"]) == (10, 5)
    assert why in told["found"]
    assert told["remedy"]
    whole = [entry["step"] for entry in entries if entry.get("event") == "checkpoint_whole"]
    assert whole in ([15], [20]), "the first one after the trouble"
    found = [entry for entry in entries if entry.get("rule") == "S09"]
    assert [entry["event"] for entry in found] == ["finding", "finding_over"]
    assert why in found[0]["found"]
    (line,) = [text for text in said if text.startswith(NOT_WRITTEN)]
    assert "that after step 5 stands" in line
    assert said.count(f"over: {NOT_WRITTEN}") == 1


@pytest.mark.usefixtures("short_limit")
@pytest.mark.parametrize(("fault", "methods", "why"), FAILURES.values(), ids=FAILURES)
def test_a_bucket_that_fails_for_a_while_ends_nothing(
    make_config: MakeConfig, s3_prefix: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    fault: Fault, methods: tuple[str, ...], why: str,
) -> None:  # fmt: skip
    """While it lasts nothing stands still for longer than an attempt takes; the limit is for other cases."""
    alone = run(make_config(train=STEPS | {"name": "alone"}))
    monkeypatch.setattr("satgan.train.writer.LIMIT_SECONDS", 0.0)

    def begin() -> None:
        proxy.block = lambda method, key: fault if method in methods else None

    def end() -> None:
        proxy.block = lambda method, key: None
        monkeypatch.setattr("satgan.train.writer.LIMIT_SECONDS", PATIENCE_SECONDS)

    outcome, said = through(make_config(train=STEPS | {"store": s3_prefix}), monkeypatch, begin, end)
    check_weathered(alone, brought(outcome.run, tmp_path / "weathered"), said, why)
    assert not [text for text in said if "run the same command" in text], "it goes on"


@pytest.mark.usefixtures("short_limit")
def test_a_disk_that_is_full_for_a_while_ends_nothing(
    make_config: MakeConfig, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At first some files of a checkpoint find room, which go again, then nothing; no line of the journal is lost."""
    alone = run(make_config(train=STEPS | {"name": "alone", "log_steps": 1}))
    config = make_config(train=STEPS | {"store": str(small_disk), "log_steps": 1})
    filler, checkpoints = small_disk / "filler", small_disk / "run" / "checkpoints"

    def fill() -> None:
        with suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    def nearly_fill() -> None:
        fill()
        sizes = [path.stat().st_size for path in (checkpoints / "step-00000005").rglob("*.safetensors")]
        os.truncate(filler, filler.stat().st_size - sum(sizes) // 2)

    def make_room() -> None:
        assert not (checkpoints / "step-00000010").exists()
        filler.unlink()

    outcome, said = through(config, monkeypatch, nearly_fill, make_room, fill)
    check_weathered(alone, outcome.run, said, "No space left")
    assert [text for text in said if text.startswith("the journal was not written")]


@pytest.mark.usefixtures("short_limit")
def test_at_the_end_it_is_tried_for_a_limited_time(
    make_config: MakeConfig, s3_prefix: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the store's error ends the run, and the same command goes on from the checkpoint that stands."""
    alone = run(make_config(train=STEPS | {"name": "alone"}))
    config = make_config(train=STEPS | {"store": s3_prefix})
    store = open_store(f"{s3_prefix}/run")

    def begin() -> None:
        until(lambda: complete_steps(store))
        proxy.block = lambda method, key: dropped if method in WRITES else None

    at_steps(monkeypatch, {7: begin})
    with pytest.raises(StoreUnreachable, match="could not write"):
        run(config)
    proxy.block = lambda method, key: None
    assert complete_steps(store) == [5]
    again = brought(run(config).run, tmp_path / "again")
    assert weights_of(f"{again}/checkpoints/step-00000025") == weights_of(alone.checkpoint)
    assert journal_numbers(again) == journal_numbers(alone.run)


def test_a_slow_bucket_holds_checkpoints_back_and_loses_none(
    make_config: MakeConfig, s3_prefix: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    alone = run(make_config(train={"name": "alone"}))
    proxy.choose_write = lambda key, asked: late(0.5)
    outcome = run(make_config(train={"store": s3_prefix}))
    assert complete_steps(open_store(outcome.run)) == [5, 10, 12]
    slow = brought(outcome.run, tmp_path / "slow")
    for name in ("step-00000005", "step-00000010", "step-00000012"):  # the steps went on while each was written
        assert weights_of(f"{slow}/checkpoints/{name}") == weights_of(f"{alone.run}/checkpoints/{name}")
    held = [entry for entry in entries_in(Path(slow, "journal.jsonl").read_bytes()) if entry.get("event") == "held_up"]
    assert [entry["step"] for entry in held] == [10, 12]
    assert min(entry["seconds"] for entry in held) >= 1


def test_steps_do_not_wait_for_a_slow_bucket_where_the_clock_decides(
    make_config: MakeConfig, s3_prefix: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    """What is due while the checkpoint before is under way is left out; the last one is not."""
    alone = run(make_config(train={"name": "alone"}))
    proxy.choose_write = lambda key, asked: late(0.5)
    outcome = run(make_config(train={"store": s3_prefix, "checkpoint_seconds": 0.001}))
    assert complete_steps(open_store(outcome.run)) == [5, 12]
    slow = brought(outcome.run, tmp_path / "slow")
    assert weights_of(f"{slow}/checkpoints/step-00000012") == weights_of(alone.checkpoint)
    left_out = [one for one in entries_in(Path(slow, "journal.jsonl").read_bytes()) if one.get("event") == "left_out"]
    assert [(one["step"], one["under_way"]) for one in left_out] == [(10, 5)]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_under_ray_too_a_bucket_that_fails_for_a_while_ends_nothing(
    make_config: MakeConfig, s3_prefix: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it have workers started anew: Ray's own records, and the driver's lease, meet the same faults."""
    monkeypatch.setenv("RAY_AUTH_MODE", "what Ray sets as it starts shall go again")
    monkeypatch.delenv("RAY_AUTH_MODE")
    # Else a renewal may meet two troubles in a row, and what is written then meets the lease before the trouble.
    monkeypatch.setattr("satgan.train.lease.RENEW_SECONDS", 1.0)
    train = {"steps": 100_000, "checkpoint_steps": 50, "log_steps": 10, "film_steps": 1000, "keep_checkpoints": 1}
    config, _ = prepare(make_config(train=train | {"store": s3_prefix, "workers": 1}), lambda text: None)
    store, shown, said, over = open_store(f"{s3_prefix}/run"), list[int](), list[str](), threading.Event()

    def told(first_words: str) -> int:
        return len([text for text in said if text.startswith(first_words)])

    def newer_one_is_whole() -> None:
        reached = shown[-1]
        until(lambda: complete_steps(store)[-1] > reached)

    def weather(fault: Fault, methods: tuple[str, ...]) -> None:
        before = told(NOT_WRITTEN)
        proxy.block = lambda method, key: fault if method in methods else None
        until(lambda: told(NOT_WRITTEN) > before)
        begun = shown[-1]
        until(lambda: shown[-1] > begun + 50)
        proxy.block = lambda method, key: None
        newer_one_is_whole()
        until(lambda: told(f"over: {NOT_WRITTEN}") > before)

    def happen() -> None:
        try:
            until(lambda: complete_steps(store))
            for fault, methods, _ in FAILURES.values():
                weather(fault, methods)
            proxy.choose_write = lambda key, asked: late(0.5)
            newer_one_is_whole()
        finally:
            over.set()

    with ThreadPoolExecutor(1) as pool, hold(config) as lease:
        happened = pool.submit(happen)
        with pytest.raises(Stopped):
            start(config, lease, lambda progress: shown.append(progress.step), said.append, stop=over.is_set)
        happened.result()
    events = events_in(store.read("journal.jsonl"))
    failed = [entry["found"] for entry in events if entry["event"] == "checkpoint_failed"]
    assert all(any(why in found for found in failed) for _, _, why in FAILURES.values()), failed
    assert not [entry for entry in events if entry["event"] in ("restart", "resume", "failed")]
    steps = {"steps": complete_steps(store)[-1]}
    alone = run(make_config(train=train | steps | {"name": "alone"}))
    away = brought(store.url, tmp_path / "away")
    assert weights_of(f"{away}/checkpoints/{name_of(steps['steps'])}") == weights_of(alone.checkpoint)
    assert journal_numbers(away) == journal_numbers(alone.run)
