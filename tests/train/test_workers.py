"""How many workers compute a run does not matter, nor that they change."""

from pathlib import Path
from typing import Any

import pytest
import torch

from satgan.config import Config
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.journal import entries_in
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of
from tests.train.options import BALANCED, OPTIONS, TOGETHER
from tests.train.processes import Fate, run_processes

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="gloo moves no GPU tensors, and NCCL takes a GPU per worker"
)


def ended(config: Config) -> tuple[dict[str, bytes], list[tuple[int, dict[str, float]]]]:
    """What a run left: every tensor of its last checkpoint, and its journal's numbers."""
    folder = Path(config.train.store) / config.train.name
    return weights_of(str(folder / "checkpoints" / f"step-{config.train.steps:08d}")), journal_numbers(str(folder))


@pytest.mark.slow
@pytest.mark.parametrize("options", [*OPTIONS[:2], BALANCED, TOGETHER])
def test_any_number_of_workers_ends_with_the_same_bits(make_config: MakeConfig, options: dict[str, Any]) -> None:
    """20 steps of 4 lanes by 1, 2 and 3 workers, and by 1 that resumes what 3 left that resumed what 2 left; of one
    machine and of several, where messages go part by part while lanes compute."""
    groups = {group: options[group] for group in options if group != "train"}
    train = {"steps": 20, "checkpoint_steps": 7} | options.get("train", {})

    def config(name: str, steps: int = 20) -> Config:
        return make_config(**groups, train=train | {"name": name, "steps": steps})

    run(config("alone"))
    for name, workers, steps in (("two", 2, 20), ("three", 3, 20), ("mixed", 2, 8), ("mixed", 3, 13), ("mixed", 1, 20)):
        assert run_processes(config(name, steps), workers, Fate(apart=name != "two")) == [0] * workers
    for name in ("two", "three", "mixed"):
        assert ended(config(name)) == ended(config("alone")), name


@pytest.mark.soak
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_eight_lanes_by_any_number_of_workers(make_config: MakeConfig, options: dict[str, Any], apart: bool) -> None:
    """100 steps of every option, on both paths: 1, 2, 3, 5 and 8 workers, of one machine and of several."""
    groups = {group: options[group] for group in options if group != "train"}
    train = {"steps": 100, "checkpoint_steps": 40, "lanes": 8} | options.get("train", {})
    configs = {n: make_config(**groups, train=train | {"name": f"by-{n}"}) for n in (1, 2, 3, 5, 8)}
    for workers, config in configs.items():
        assert run_processes(config, workers, Fate(apart=apart)) == [0] * workers
        assert ended(config) == ended(configs[1]), workers
    assert {numbers["path_a"] for _, numbers in ended(configs[1])[1]} == {0.0, 1.0}


@pytest.mark.slow
def test_a_worker_on_another_path_is_not_waited_for_for_ever(make_config: MakeConfig) -> None:
    """The path follows from summed numbers, the same on all. Were it not, one would send a message too many: the
    others find one of another size, or none before their time limit. Nobody hangs, nobody goes on."""
    fate = Fate(astray=(1, 3), timeout_seconds=5)
    assert 0 not in run_processes(make_config(train={"log_steps": 100}), workers=2, fate=fate)


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True])
def test_who_loses_the_others_says_so_and_writes_nothing_more(make_config: MakeConfig, apart: bool) -> None:
    """It is not worker 0 of 1 from then on, with half of the lanes."""
    config = make_config(train={"steps": 20, "checkpoint_steps": 4, "checkpoint_seconds": 0, "log_steps": 1})
    assert 0 not in run_processes(config, 2, Fate(gone=(1, 5), apart=apart))
    store = open_store(f"{config.train.store}/{config.train.name}")
    assert complete_steps(store) == [4]
    last = entries_in(store.read("journal.jsonl"))[-1]
    assert (last["step"], last["event"]) == (5, "failed")
    assert "the group of 2 workers is no more (Connection" in last["found"]
