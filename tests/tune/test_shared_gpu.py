"""Several trials share a GPU: Ray's room for them, and each one's share of the memory."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from satgan.config import load_config
from satgan.sweep_verbs import SEEDS
from satgan.train.ray_cluster import slots_at_most
from tests.tune.plans import plan_of
from tests.waiting import PATIENCE_SECONDS
from tune import sweep as sweeping
from tune.board import open_sweep_board
from tune.plan import Plan
from tune.room import machines_of_cluster, trials_at_once
from tune.trial_run import share_gpu_memory


class Doorman:
    """Counts who is in, and how many there were together."""

    def __init__(self) -> None:
        self.inside, self.most, self.seen = 0, 0, list[str]()

    def come(self, gpus: str) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.seen.append(gpus)

    def go(self) -> None:
        self.inside -= 1

    def told(self) -> tuple[int, list[str]]:
        return self.most, self.seen


def meet(config: dict[str, Any], plan: Plan, board: Any, doorman: Any, wanted: int) -> None:
    """In place of a trial: waits until as many are there together as are expected."""
    ray.get(doorman.come.remote(os.environ["CUDA_VISIBLE_DEVICES"]))
    end = time.monotonic() + PATIENCE_SECONDS
    while ray.get(doorman.told.remote())[0] < wanted and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)  # who would come although there is no room has come
    ray.get(doorman.go.remote())


@pytest.fixture(scope="module")
def one_gpu() -> Iterator[None]:
    """A local Ray with a GPU that exists for Ray alone."""
    ray.init(address="local", num_cpus=16, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_four_trials_share_a_gpu_and_the_fifth_waits(
    one_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Ray's own placement."""
    config = load_config("demo", {"train": {"store": str(tmp_path)}})
    plan = plan_of(base_config=config, gpus=0.25, seeds=SEEDS)
    at_once = trials_at_once(plan, machines_of_cluster(), True, None, slots_at_most)
    assert at_once == 4
    doorman: Any = ray.remote(num_cpus=0)(Doorman).remote()
    monkeypatch.setattr(sweeping, "run_trial", partial(meet, doorman=doorman, wanted=at_once))
    listed = [{"number": number} for number in range(5)]
    wave = sweeping.Wave({"trial": ray.tune.grid_search(listed)}, len(listed))
    sweeping._fit(plan, wave, len(listed), open_sweep_board(None, {}), str(tmp_path / "tune"))
    most, seen = ray.get(doorman.told.remote())
    assert most == 4
    assert seen == ["0"] * 5, "all on the one GPU"


def test_a_share_of_a_gpu_is_one_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", taken.append)
    for share in (None, 0.0, 1.0, 0.25):
        share_gpu_memory(share)
    assert taken == [0.25], "a whole GPU has all of it"
