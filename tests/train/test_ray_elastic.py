"""Machines leave and come while a run goes on: fewer workers, more workers, the same numbers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from satgan.errors import Stopped
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.ray_job import launch
from satgan.train.start import prepare
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of
from tests.waiting import until

SOONER = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 200, "health_check_failure_threshold": 5}
HEAD = {"num_cpus": 1, "include_dashboard": False, "_system_config": SOONER}
"""A lost machine is noticed after a second, not after a quarter of a minute."""
TRAIN = {"steps": 100_000, "checkpoint_steps": 7, "log_steps": 1, "film_steps": 1000, "keep_checkpoints": 1}
RAY = str(Path(sys.executable).parent / "ray")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two machines with room for one worker each."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    patch.setenv("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "0.2")
    patch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "3")
    cluster = Cluster(initialize_head=True, head_node_args=HEAD)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]
    patch.undo()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_machine_goes_with_notice_and_another_comes(
    make_config: MakeConfig, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 workers; a notice is followed by a checkpoint; the machine goes, 1 worker goes on; one comes, 2 go on."""
    machine = cluster.add_node(num_cpus=1)
    elastic = TRAIN | {"workers": "1:2", "restarts": 0, "resize_seconds": 1.0}
    config, _ = prepare(make_config(train=elastic), lambda text: None)
    journal = Path(config.train.store) / "run" / "journal.jsonl"
    entries, workers = partial(noted, journal), partial(begun_with, journal)

    def has_saved_at_notice() -> bool:
        notices = [entry["step"] for entry in entries() if entry.get("event") == "preemption"]
        return bool(notices) and complete_steps(open_store(str(journal.parent)))[-1:] >= notices[-1:]

    def happen() -> None:
        """Each thing once the run goes on after the one before; whatever comes of it, the run stops then."""
        try:
            until(lambda: workers() == [2] and "numbers" in entries()[-1])
            _drain(cluster.gcs_address, machine.node_id)
            until(has_saved_at_notice)
            machine.kill_raylet(check_alive=False)
            until(lambda: workers() == [2, 1] and "numbers" in entries()[-1])
            stack.enter_context(_another_machine(cluster.gcs_address))
            until(lambda: workers() == [2, 1, 2] and "numbers" in entries()[-1])
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        happened = pool.submit(happen)
        with pytest.raises(Stopped, match="stopped after step"):
            launch(config, lambda progress: None, lambda text: None)
        happened.result()
    (notice,) = [entry for entry in entries() if entry.get("event") == "preemption"]
    assert notice["nodes"] == [machine.node_id]
    assert {"step": notice["step"], "event": "checkpoint"}.items() <= entries()[entries().index(notice) + 1].items()
    lost, more = [entry["why"] for entry in entries() if entry.get("event") == "restart"]
    assert "taken away" in lost
    assert "room for 2" in more
    check_ends_as_one_left_alone(make_config, journal)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_machine_is_lost_without_notice(make_config: MakeConfig, cluster: Cluster) -> None:
    """Its raylet is killed, and with it the worker: that is a crash, and the run goes on with the one that is left."""
    machine = cluster.add_node(num_cpus=1)
    config, _ = prepare(make_config(train=TRAIN | {"workers": "1:2", "restarts": 1}), lambda text: None)
    journal = Path(config.train.store) / "run" / "journal.jsonl"
    stood: list[int] = []

    def happen() -> None:
        """Once there is a checkpoint to go on from."""
        try:
            until(lambda: begun_with(journal) == [2] and complete_steps(open_store(str(journal.parent))))
            stood.extend(complete_steps(open_store(str(journal.parent))))
            machine.kill_raylet(check_alive=False)
            until(lambda: begun_with(journal) == [2, 1] and "numbers" in noted(journal)[-1])
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        happened = pool.submit(happen)
        with pytest.raises(Stopped, match="stopped after step"):
            launch(config, lambda progress: None, lambda text: None)
        happened.result()
    (restart,) = [entry for entry in noted(journal) if entry.get("event") == "restart"]
    assert "died" in restart["why"] or "Connection" in restart["why"]
    assert restart["step"] >= stood[-1], "something was lost beyond the last checkpoint"
    check_ends_as_one_left_alone(make_config, journal)


def noted(journal: Path) -> list[dict[str, Any]]:
    """What a journal holds now."""
    lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def begun_with(journal: Path) -> list[int]:
    """With how many workers each attempt began."""
    return [entry["workers"] for entry in noted(journal) if entry.get("event") in ("start", "resume")]


def check_ends_as_one_left_alone(make_config: MakeConfig, journal: Path) -> None:
    """The run goes on for some steps, here."""
    steps = {"steps": max(entry["step"] for entry in noted(journal)) + 3}
    parts, whole = (run(make_config(train=TRAIN | steps | {"name": name})) for name in ("run", "whole"))
    assert weights_of(parts.checkpoint) == weights_of(whole.checkpoint)
    assert journal_numbers(parts.run) == journal_numbers(whole.run)


def _drain(address: str, node: str) -> None:
    """What a spot watcher does when the cloud announces that it takes a machine back."""
    command = [RAY, "drain-node", "--address", address, "--node-id", node]
    reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    subprocess.run([*command, *reason, "--deadline-remaining-seconds", "60"], check=True, capture_output=True)


@contextmanager
def _another_machine(address: str) -> Iterator[None]:
    """Joins the cluster, as one that was just started does."""
    command = [RAY, "start", "--block", "--address", address, "--num-cpus", "1", "--object-store-memory", str(10**8)]
    joined = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        joined.terminate()
        joined.wait()
