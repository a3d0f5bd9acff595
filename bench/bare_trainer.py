"""A TorchTrainer without anything of ours: what Ray itself needs after a fault, measured as ours is.

`python -m bench.bare_trainer JOURNAL WORKERS HANG_SECONDS`, under the settings of our runs. Its steps do nothing but
wait for the other workers, and a journal of the form of ours tells of them; it keeps no checkpoints.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer

from satgan.config import load_config
from satgan.train import ranks
from satgan.train.ray_cluster import ray_running

STEP_SECONDS = 0.01


def loop(about: dict[str, Any]) -> None:
    """Steps until it is killed; also when its raylet is, whose other workers go on."""
    path, raylet, step = Path(about["journal"]), os.getppid(), 0

    def note(**entry: Any) -> None:
        if get_context().get_world_rank() == 0:
            with path.open("a") as journal:
                journal.write(json.dumps({"step": step, **entry}) + "\n")

    note(event="start")
    while os.getppid() == raylet:
        ranks.barrier()
        step += 1
        note(numbers={})
        time.sleep(STEP_SECONDS)


def main(words: Sequence[str]) -> None:
    """Trains until it is killed."""
    journal, workers, hang_seconds = words
    train = {"workers": workers, "lanes": 2, "hang_seconds": float(hang_seconds)}
    config = load_config("demo", {"train": train})
    least, most = config.train.worker_range
    scaling: Any = {"num_workers": most if least == most else (least, most)}
    if least < most:
        scaling["elastic_resize_monitor_interval_s"] = 5.0
    with ray_running(config):
        TorchTrainer(
            loop, train_loop_config={"journal": journal}, scaling_config=ScalingConfig(**scaling),
            torch_config=TorchConfig(backend="gloo", timeout_s=900),
            run_config=RunConfig(
                name="bare", storage_path=str(Path(journal).parent), failure_config=FailureConfig(max_failures=-1)
            ),
        ).fit()  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
