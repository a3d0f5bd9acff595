"""Under Ray Train a run outlives its workers and its driver, its numbers stay, and nothing is tried for ever."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import yaml

from bench.processes import alive, train_workers
from satgan.errors import InputError, SatganError, Stopped, StoreForbidden, StoreUnreachable, WorkersLost
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.observations import read_log, runs
from satgan.train.progress import Progress
from satgan.train.ray_board import Noticeboard, open_board
from satgan.train.ray_faults import FRUITLESS_STARTS, Referee
from satgan.train.ray_job import launch
from satgan.train.start import prepare
from tests.conftest import Begin
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of
from tests.waiting import PATIENCE_SECONDS, until

CPUS = 4
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A local Ray that is quick to notice and to give up."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    patch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "1")
    ray.init(address="local", num_cpus=CPUS, include_dashboard=False, object_store_memory=10**8, log_to_driver=False)
    yield
    ray.shutdown()
    patch.undo()


def events(run_folder: str | Path, event: str) -> list[dict[str, Any]]:
    """The journal's entries of one kind."""
    entries = [json.loads(line) for line in (Path(run_folder) / "journal.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry.get("event") == event]


def test_a_run_outlives_a_hung_worker(make_config: MakeConfig, local_ray: None) -> None:
    """One that is stopped is killed and replaced; nothing but time is lost."""
    train = {"steps": 600, "checkpoint_steps": 20, "hang_seconds": 15}
    alone = run(make_config(train=train | {"name": "alone"}))
    config, _ = prepare(make_config(train=train | {"workers": 2}), lambda text: None)
    store = open_store(f"{config.train.store}/run")
    hung: list[int] = []
    stood: list[int] = []
    shown: list[int] = []
    said: list[str] = []

    def show(progress: Progress) -> None:
        shown.append(progress.step)
        if progress.step > 30 and not hung and (steps := complete_steps(store)):
            stood.append(steps[-1])
            hung.append(train_workers(os.getpid())[-1])
            os.kill(hung[0], signal.SIGSTOP)

    outcome = launch(config, show, said.append)
    assert weights_of(outcome.checkpoint) == weights_of(alone.checkpoint)
    assert journal_numbers(outcome.run) == journal_numbers(alone.run)
    assert shown[-1] == outcome.step == 600
    assert hung, "the run was over before a worker could be stopped"
    (restart,) = events(outcome.run, "restart")
    assert f"(process {hung[0]} on " in restart["why"]
    assert "did not answer" in restart["why"]
    assert restart["attempt"] == 2
    assert restart["step"] >= stood[0], "what stood was lost"
    told = [text for text in said if not text.startswith("doctor: ")]  # which may find the machine slow
    resumed = f"resuming run after step {restart['step']} of 600"
    assert (told[0].startswith(restart["why"]), told[1:]) == (True, [resumed])
    assert not alive(hung[0])


def test_crashes_are_borne_a_limited_number_of_times(make_config: MakeConfig, local_ray: None) -> None:
    train = {"workers": 1, "steps": 100_000, "checkpoint_steps": 100_000, "restarts": 0}
    config, _ = prepare(make_config(train=train), lambda text: None)

    def show(progress: Progress) -> None:
        for process in train_workers(os.getpid()):
            os.kill(process, signal.SIGKILL)

    with pytest.raises(SatganError, match=r"crashed 1 time.* worker 0 .*died") as found:
        launch(config, show, lambda text: None)
    assert "--train.restarts" in found.value.remedy


def test_a_run_that_saves_one_checkpoint_between_crashes_goes_on(make_config: MakeConfig, local_ray: None) -> None:
    """No attempt comes to its second one, and each goes on from what the one before left."""
    once = {"checkpoint_steps": 5, "checkpoint_seconds": 1000, "keep_checkpoints": 9}
    train = {"workers": 1, "steps": 10**6, "restarts": 1, "film_steps": 10**5} | once
    config, _ = prepare(make_config(train=train), lambda text: None)
    store = open_store(f"{config.train.store}/run")
    shown: list[Progress] = []
    stood: list[int] = []
    wish = threading.Event()

    def crash(number: int) -> None:
        """Kills the worker a while after its checkpoint was seen: by then it has told of it."""
        until(lambda: len(complete_steps(store)) == number)
        before = len(shown)
        until(lambda: len(shown) > before + 1)
        stood.extend(complete_steps(store)[-1:])
        for process in train_workers(os.getpid()):
            os.kill(process, signal.SIGKILL)

    def happen() -> None:
        """Whatever comes of it, the run stops then."""
        try:
            crash(1)
            crash(2)
            until(lambda: len(complete_steps(store)) == 3)
        finally:
            wish.set()

    with ThreadPoolExecutor(1) as pool:
        happened = pool.submit(happen)
        with pytest.raises(Stopped, match="stopped after step"):
            launch(config, shown.append, lambda text: None, stop=wish.is_set)
        happened.result()
    assert [entry["step"] for entry in events(store.url, "restart")] == stood


def test_a_store_that_is_away_while_workers_start_is_borne_as_crashes_are(
    monkeypatch: pytest.MonkeyPatch, local_ray: None
) -> None:
    """A few times, with pauses; then its own error ends the run. What else satgan raises ends it at once."""
    slept: list[float] = []
    monkeypatch.setattr("satgan.train.ray_faults.time", SimpleNamespace(sleep=slept.append))
    board = open_board()
    referee = Referee(restarts=2, start_seconds=1, fewest=1, board=board)
    away = StoreUnreachable("no answer from s3://bucket", "look after the server")
    status = SimpleNamespace(errors={0: away, 1: WorkersLost("the group is no more", "nothing")})
    referee.after_worker_group_poll_status(status)
    referee.after_worker_group_poll_status(status)
    why = "worker 0: StoreUnreachable: no answer from s3://bucket; worker 1: WorkersLost: the group is no more"
    assert noted_on(board) == [why, why]
    assert len(slept) == 2
    assert 0 < slept[0] < slept[1]
    with pytest.raises(StoreUnreachable, match="no answer"):
        referee.after_worker_group_poll_status(status)
    ray.get(board.count_checkpoint.remote())
    referee.after_worker_group_poll_status(status)
    with pytest.raises(StoreForbidden):
        referee.after_worker_group_poll_status(SimpleNamespace(errors={0: away, 1: StoreForbidden("403", "ask")}))


def noted_on(board: Any) -> list[str]:
    """Why workers were started anew."""
    return [entry["why"] for entry in ray.get(board.restarts.remote())]


class _Deaf(Noticeboard):
    """Does not answer."""

    def checkpoints(self) -> int:
        """Never returns."""
        threading.Event().wait()
        return 0


def test_a_board_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, local_ray: None) -> None:
    """Crashes count then, whether it is stuck or gone."""
    monkeypatch.setattr("satgan.train.ray_faults.ANSWER_SECONDS", 0.1)
    actor: Any = ray.remote(num_cpus=0)(_Deaf)
    board = actor.remote()
    assert noted_on(board) == []
    referee = Referee(restarts=2, start_seconds=1, fewest=1, board=board)
    status = SimpleNamespace(errors={0: ValueError("broken")})
    referee.after_worker_group_poll_status(status)
    ray.kill(board)
    referee.after_worker_group_poll_status(status)
    with pytest.raises(SatganError, match=r"crashed 3 time\(s\) .* ValueError: broken"):
        referee.after_worker_group_poll_status(status)


def test_machines_that_come_and_go_do_not_have_a_run_begin_for_ever(local_ray: None) -> None:
    """Each resize goes back to the last checkpoint; with one in between that costs little, without one all."""
    board = open_board()
    referee = Referee(restarts=0, start_seconds=60, fewest=1, board=board)

    def resize(workers: int) -> None:
        running, resizing = (
            SimpleNamespace(
                _state_type=SimpleNamespace(state_name=name), scaling_decision=SimpleNamespace(num_workers=workers)
            )
            for name in ("RUNNING", "RESIZING")
        )
        referee.after_controller_state_update(running, resizing)
        referee.after_controller_state_update(resizing, running)

    for _ in range(3):
        for turn in range(FRUITLESS_STARTS):
            resize(1 + turn % 2)
        ray.get(board.count_checkpoint.remote())
    assert noted_on(board)[:2] == ["room for 1 worker(s) now", "room for 2 worker(s) now"]
    for turn in range(FRUITLESS_STARTS):
        resize(1 + turn % 2)
    with pytest.raises(SatganError, match=r"anew 10 time\(s\) without a checkpoint .* room for 3 worker") as found:
        resize(3)
    assert "--train.resize-seconds" in found.value.remedy


def test_a_run_without_room_ends_with_a_message(make_config: MakeConfig, local_ray: None) -> None:
    """At once where the cluster is too small, after a limit where others hold what it has."""
    config, _ = prepare(make_config(train={"lanes": 8, "workers": CPUS + 1}), lambda text: None)
    with pytest.raises(InputError, match=f"{CPUS + 1} workers, but the cluster has {CPUS} CPU"):
        launch(config, lambda progress: None, lambda text: None)

    actor: Any = ray.remote(num_cpus=CPUS)(_Holder)
    holder = actor.remote()
    ray.get(holder.here.remote())
    config, _ = prepare(make_config(train={"workers": 1, "start_seconds": 2}), lambda text: None)
    with pytest.raises(SatganError, match=r"no room for 1 worker\(s\) for 2 s: .* free: 0 CPU"):
        launch(config, lambda progress: None, lambda text: None)
    ray.kill(holder)


class _Holder:
    """Holds room in the cluster."""

    def here(self) -> None:
        """Returns once it does."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_a_signal_to_the_whole_group_is_for_the_driver(
    make_config: MakeConfig, begin: Begin, tmp_path: Path, number: signal.Signals
) -> None:
    """As `timeout` sends it, or a terminal that is closed: the run is saved, says so, and is in the log."""
    file, folder = tmp_path / "run.yaml", tmp_path / "runs" / "run"
    train = {"workers": 1, "steps": 10**6, "checkpoint_steps": 10**5}
    file.write_text(yaml.safe_dump(make_config(train=train).model_dump(mode="json")))
    heard = partial(signal.signal, number, signal.SIG_DFL)  # whatever a shell has this process ignore
    command = [sys.executable, "-m", "satgan", "train", "article", "--config", str(file)]
    driver = begin(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    until(lambda: (folder / "journal.jsonl").exists() and events(folder, "start"))
    os.killpg(driver.pid, number)
    os.kill(driver.pid, number)
    _, told = driver.communicate(timeout=PATIENCE_SECONDS)
    (step,) = complete_steps(open_store(str(folder)))
    assert (driver.returncode, f"stopped after step {step} of" in told) == (130, True), told
    (entry,) = runs(read_log(open_store(str(folder.parent))))
    assert (entry["outcome"], entry["step"]) == ("stopped", step)


def test_a_run_outlives_its_killed_driver_and_a_killed_worker(
    make_config: MakeConfig, begin: Begin, tmp_path: Path
) -> None:
    """The driver takes its Ray along; the same command goes on, loses a worker, goes on; stdout has results alone."""
    train = {"steps": 240, "checkpoint_steps": 20, "log_steps": 1}
    alone = run(make_config(train=train | {"name": "alone"}))
    file, folder = tmp_path / "run.yaml", tmp_path / "runs" / "run"
    file.write_text(yaml.safe_dump(make_config(train=train | {"workers": 2}).model_dump(mode="json")))
    command = [sys.executable, "-m", "satgan", "train", "article", "--config", str(file), "--json"]

    driver = begin(command, stderr=subprocess.DEVNULL, text=True)
    until(lambda: len(list(folder.glob("checkpoints/*/COMPLETE"))) > 1)
    workers = train_workers(driver.pid)
    assert len(workers) == 2
    driver.kill()
    driver.wait()

    driver = begin(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: train_workers(driver.pid))
    assert not any(map(alive, workers)), "they could write into the run"
    until(lambda: events(folder, "resume"))
    lost = train_workers(driver.pid)[-1]
    os.kill(lost, signal.SIGKILL)
    results, told = driver.communicate(timeout=PATIENCE_SECONDS)
    assert driver.returncode == 0, told
    assert "resuming run after step" in told
    assert "starting workers anew" in told
    outcome = json.loads(results)
    assert weights_of(outcome["checkpoint"]) == weights_of(alone.checkpoint)
    assert journal_numbers(outcome["run"]) == journal_numbers(alone.run)
    (restart,) = events(folder, "restart")
    assert "Connection" in restart["why"] or f"(process {lost} on " in restart["why"]
