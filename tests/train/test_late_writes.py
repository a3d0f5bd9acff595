"""A driver writes nothing while another one may have taken its run over, and what was on its way harms nothing."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import yaml

from satgan.config import Config
from satgan.errors import RunLost, Stopped
from satgan.gan.pair import Pair
from satgan.gan.step import train_step
from satgan.tiles import sent
from satgan.tiles.store import Store, open_store
from satgan.train import lease
from satgan.train.checkpoint import complete_steps
from satgan.train.loop import train_loop
from satgan.train.recovery import newest_whole
from satgan.train.run_folder import PATIENCE
from satgan.train.start import hold, prepare, start
from satgan.train.watch import Watch
from tests.tiles.fault_proxy import Fault, FaultProxy, fault_proxy, silent
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of
from tests.train.test_store_faults import brought
from tests.waiting import until

STEPS = {"steps": 25, "keep_checkpoints": 9}
OWN_EVENTS = "tensorboard/"
"""Files that no other attempt writes to: where the store is a folder they grow without a question."""


def test_a_change_that_begins_ends_before_others_may_take_the_run_over() -> None:
    """To connect (with TLS), to send until it is asked again, one piece of that, to wait for the answer. And renewals
    that are as slow come often enough to begin one."""
    connect_seconds, read_seconds, _ = PATIENCE
    assert 2 * connect_seconds + read_seconds < lease.WRITE_SECONDS
    assert sent.ASK_SECONDS + connect_seconds + read_seconds < lease.WRITE_SECONDS
    renewal_seconds = 2 * sum(lease.RENEWING[:2])
    assert lease.RENEW_SECONDS + renewal_seconds < lease.LIFETIME_SECONDS - lease.WRITE_SECONDS


def content(store: Store, url: str) -> dict[str, bytes]:
    """All that lies in a run, but for what is each attempt's own."""
    own = () if url.startswith("s3://") else (OWN_EVENTS,)
    return {key: store.read(key) for key, _ in store.list() if not key.startswith(own)}


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_from_the_moment_that_a_run_is_lost_nothing_of_it_is_changed(
    make_config: MakeConfig, place: str, share: float
) -> None:
    """Whatever was to be changed next. (Each checkpoint is waited for, so nothing else is under way at that moment.)"""
    asked, last, store = 0, 0, open_store(f"{place}/run")
    found: list[dict[str, bytes]] = []
    config = make_config(train={"store": place}, judge={"wait": True})

    def check() -> None:
        nonlocal asked
        asked += 1
        if last and asked == last:
            found.append(content(store, place))
        if last and asked >= last:
            raise RunLost("it is another's", "let it be")

    watch = Watch(lambda progress: None, lambda *told: None, check=check)
    train_loop(make_config(train={"store": f"{place}/whole"}, judge={"wait": True}), watch)
    last, asked = 1 + round(share * (asked - 1)), 0
    with pytest.raises(RunLost):
        train_loop(config, watch)
    assert found == [content(store, place)]


def test_a_journal_in_a_folder_gets_no_line_more_of_a_run_that_is_lost(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(train={"log_steps": 1})
    path, step, found = Path(config.train.store, "run", "journal.jsonl"), count(1), list[bytes]()

    def stepped(pair: Pair) -> dict[str, float]:
        if next(step) == 3:
            found.append(path.read_bytes())
        return train_step(pair)

    def check() -> None:
        if found:
            raise RunLost("it is another's", "let it be")

    monkeypatch.setattr("satgan.train.loop.train_step", stepped)
    with pytest.raises(RunLost):
        train_loop(config, Watch(lambda progress: None, lambda *told: None, check=check))
    assert found == [path.read_bytes()]


def test_a_journal_in_a_folder_loses_no_line_where_an_attempt_begins_that_has_lost_the_run(
    make_config: MakeConfig,
) -> None:
    """Between sweeping, when it still had it, and the first line."""
    begun = run(make_config(train={"steps": 7}))
    shutil.rmtree(begun.checkpoint)
    before, asked = Path(begun.run, "journal.jsonl").read_bytes(), 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise RunLost("it is another's", "let it be")

    with pytest.raises(RunLost):
        train_loop(make_config(), Watch(lambda progress: None, lambda *told: None, check=check))
    assert Path(begun.run, "journal.jsonl").read_bytes() == before


@pytest.fixture
def proxy(s3: str) -> Iterator[FaultProxy]:
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as between:
        yield between


def cut_off(config: Config, folder: Path, proxy: FaultProxy, kept: Callable[[str], bool]) -> None:
    """A driver that is killed when its checkpoint after step 10 lacks nothing but COMPLETE, which is on its way. The
    proxy keeps that, and the other writes for that checkpoint whose key is `kept`, which reached the store as well."""
    file, waiting = folder / "config.yaml", threading.Event()
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))

    def is_last(key: str) -> bool:
        return key.endswith("step-00000010/COMPLETE")

    def block(method: str, key: str) -> Fault | None:
        if method == "PUT" and is_last(key):
            waiting.set()
            return silent
        return None

    first_is_whole = threading.Event()

    def keep(method: str, key: str) -> bool:
        if method == "PUT" and key.endswith("step-00000005/COMPLETE"):
            first_is_whole.set()
        return method == "PUT" and first_is_whole.is_set() and (is_last(key) or kept(key))

    proxy.block, proxy.keep = block, keep
    command = [sys.executable, "-m", "satgan", "train", "article", "--config", str(file)]
    child = subprocess.Popen(command, env=os.environ | {"AWS_ENDPOINT_URL": proxy.url}, stderr=subprocess.DEVNULL)
    try:
        until(waiting.is_set)
    finally:
        child.kill()
        child.wait()


def follow(config: Config, monkeypatch: pytest.MonkeyPatch, actions: dict[int, Callable[[], object]]) -> None:
    """The next driver, from step 6 on; before these steps those things happen, where True stops the run."""
    step, stop = count(6), threading.Event()

    def stepped(pair: Pair) -> dict[str, float]:
        if actions.get(next(step), lambda: None)():
            stop.set()
        return train_step(pair)

    with monkeypatch.context() as patch, hold(config) as lease:
        patch.setattr("satgan.train.loop.train_step", stepped)
        config, _ = prepare(config, print)
        start(config, lease, lambda progress: None, stop=stop.is_set)


def is_ours(key: str) -> bool:
    """All that a driver writes at a checkpoint, but the lease."""
    return "lease.json" not in key


@pytest.mark.parametrize("landing", [7, 13])
def test_writes_that_land_after_a_takeover_harm_nothing(
    make_config: MakeConfig, s3_prefix: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    landing: int,
) -> None:  # fmt: skip
    """Before the next driver writes the same checkpoint, and when that stands: its bytes are the same, and the journal
    comes again with the next one."""
    alone = run(make_config(train=STEPS | {"name": "alone"}))
    config = make_config(train=STEPS | {"store": s3_prefix})
    store = open_store(f"{s3_prefix}/run")
    cut_off(config, tmp_path, proxy, is_ours)
    kept = len(proxy.kept)
    assert kept > 10

    def land() -> None:
        until(lambda: landing == 7 or complete_steps(store)[-1] == 10)
        proxy.land()

    follow(config, monkeypatch, {landing: land})
    assert newest_whole(store) == (25, {})
    assert complete_steps(store) == [5, 10, 15, 20, 25]
    assert not store.exists(lease.LEASE_NAME)
    late = brought(store.url, tmp_path / "late")
    for step in complete_steps(store):
        name = f"checkpoints/step-{step:08d}"
        assert weights_of(f"{late}/{name}") == weights_of(f"{alone.run}/{name}")
    assert journal_numbers(late) == journal_numbers(alone.run)


def test_a_checkpoint_of_which_only_the_end_lands_displaces_no_whole_one(
    make_config: MakeConfig, s3_prefix: str, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next driver has swept the rest, and keeps one checkpoint alone: its own of step 8, where it is stopped, not
    what seems to be that of step 10."""
    alone = run(make_config(train=STEPS | {"name": "alone"}))
    config = make_config(train=STEPS | {"store": s3_prefix, "keep_checkpoints": 1})
    store = open_store(f"{s3_prefix}/run")
    cut_off(config, tmp_path, proxy, lambda key: False)
    with pytest.raises(Stopped, match="after step 8 of 25"):
        follow(config, monkeypatch, {7: proxy.land, 8: lambda: True})
    assert complete_steps(store) == [8, 10]
    follow(config, monkeypatch, {})
    late = brought(store.url, tmp_path / "late")
    assert weights_of(f"{late}/checkpoints/step-00000025") == weights_of(alone.checkpoint)
    assert journal_numbers(late) == journal_numbers(alone.run)
