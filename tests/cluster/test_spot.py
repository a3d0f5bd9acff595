"""EC2's word that a machine goes reaches Ray, and the run on it saves and goes on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from satgan.cluster.spot import ENDPOINT_NAME, REBALANCE_SECONDS, Metadata, Notice, Watcher, notice, raylets
from satgan.errors import Stopped
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.ray_job import launch
from satgan.train.start import prepare
from tests.cluster.imds import Imds, imds_running
from tests.train.conftest import MakeConfig, make_config, threads_put_back, tile_set
from tests.train.test_ray_elastic import cluster
from tests.waiting import until

__all__ = ["cluster", "make_config", "threads_put_back", "tile_set"]  # fixtures

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


@pytest.fixture
def imds() -> Iterator[Imds]:
    with imds_running() as running:
        yield running


def test_what_ec2_announces_is_heard_by_imdsv2(imds: Imds) -> None:
    """Nothing; a raised risk; a date, which goes before it. A token that has run out is asked for anew."""
    metadata = Metadata(imds.url)
    assert notice(metadata) is None
    assert len(imds.tokens) == 1
    imds.recommend(NOW)
    heard = notice(metadata)
    assert heard is not None
    assert heard.deadline == NOW + timedelta(seconds=REBALANCE_SECONDS)
    imds.interrupt(NOW + timedelta(seconds=120))
    assert notice(metadata) == Notice("EC2 will terminate this machine", NOW + timedelta(seconds=120))
    assert len(imds.tokens) == 1
    imds.tokens.clear()
    with pytest.raises(OSError, match="401"):
        notice(metadata)
    assert notice(metadata) is not None


def test_each_word_is_passed_on_once_and_again_where_ray_did_not_take_it() -> None:
    """Nothing that goes wrong ends the watcher; each trouble is said once."""
    first, second = (Notice("soon", NOW + timedelta(seconds=seconds)) for seconds in (600, 120))
    heard: list[Notice | Exception | None] = [None, OSError("away"), OSError("away"), first, first, first, second, None]
    said, drained, refusals = list[str](), list[Notice](), iter([True, False, False])

    def look() -> Notice | None:
        told = heard.pop(0)
        if isinstance(told, Exception):
            raise told
        return told

    def drain(told: Notice) -> None:
        if next(refusals):
            raise RuntimeError("Ray did not take it")
        drained.append(told)

    watcher = Watcher(look, drain, said.append)
    while heard:
        watcher.step()
    assert drained == [first, second]
    assert sum("away" in line for line in said) == 1
    assert sum("did not take it" in line for line in said) == 1


@contextmanager
def watching(node: str, imds: Imds, folder: Path) -> Iterator[None]:
    """The watcher as a node starts it, with a lock of its own; a second one is not needed."""
    command = [sys.executable, "-m", "satgan.cluster.spot", "--node-id", node]
    surroundings = os.environ | {ENDPOINT_NAME: imds.url, "TMPDIR": str(folder)}
    with (folder / "spot.log").open("w") as log:
        running = subprocess.Popen(command, env=surroundings, stderr=log)
    try:
        until(lambda: "watching" in (folder / "spot.log").read_text())
        second = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True, timeout=60)
        assert "runs on this machine already" in second.stderr
        yield
        assert running.poll() is None
    finally:
        running.terminate()
        running.wait()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_saves_at_each_notice_and_goes_on_without_the_machine(
    make_config: MakeConfig, cluster: Cluster, imds: Imds, tmp_path: Path
) -> None:
    """2 workers; a raised risk, then a date, are each followed by a checkpoint; the machine goes, 1 worker goes on."""
    machine = cluster.add_node(num_cpus=1)
    assert raylets()[machine.node_id] == cluster.gcs_address
    elastic = {"steps": 10**6, "checkpoint_steps": 10**6, "log_steps": 1, "film_steps": 10**6, "workers": "1:2"}
    config, _ = prepare(make_config(train=elastic | {"restarts": 0}), lambda text: None)
    run = open_store(f"{config.train.store}/run")
    journal = Path(run.url) / "journal.jsonl"

    def entries() -> list[dict[str, Any]]:
        lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def events(event: str) -> list[dict[str, Any]]:
        return [entry for entry in entries() if entry.get("event") == event]

    def happen() -> None:
        try:
            until(lambda: entries() and "numbers" in entries()[-1])
            imds.recommend(datetime.now(UTC))
            until(lambda: len(events("preemption")) == 1)
            imds.interrupt(datetime.now(UTC) + timedelta(seconds=120))
            until(lambda: len(events("preemption")) == 2)
            until(lambda: events("preemption")[1]["step"] in complete_steps(run))
            machine.kill_raylet(check_alive=False)
            until(lambda: events("resume") and "numbers" in entries()[-1])
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with watching(machine.node_id, imds, tmp_path), ThreadPoolExecutor(1) as pool:
        happened = pool.submit(happen)
        with pytest.raises(Stopped, match="stopped after step"):
            launch(config, lambda progress: None, lambda text: None)
        happened.result()
    assert (tmp_path / "spot.log").read_text().count("Ray was told") == 2
    risk, date = events("preemption")
    assert risk["nodes"] == date["nodes"] == [machine.node_id]
    assert risk["deadline"] > date["deadline"]
    assert {risk["step"], date["step"]} <= {entry["step"] for entry in events("checkpoint")}
    assert [entry["workers"] for entry in (*events("start"), *events("resume"))] == [2, 1]
    (restart,) = events("restart")
    assert "taken away" in restart["why"]
