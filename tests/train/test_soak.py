"""A long run takes no more at its end than at its beginning: memory, file descriptors, threads, temporary files."""

import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from satgan.config import Config
from satgan.train.loop import train_loop
from satgan.train.progress import Progress
from satgan.train.watch import Watch
from tests.train.conftest import MakeConfig
from tests.train.processes import CONTEXT

STEPS, WARM_UP_STEPS, LOOK_STEPS = 20_000, 5_000, 100
MOST_BYTES_PER_1000_STEPS = 1e6


def usage() -> tuple[int, int, int]:
    """Resident bytes, file descriptors, threads of this process."""
    resident_bytes = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident_bytes, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def _live(tree: dict[str, Any], told: str, temporary: str) -> None:
    tempfile.tempdir = temporary
    seen: list[tuple[int, int, int, int]] = []

    def look(progress: Progress) -> None:
        if progress.step % LOOK_STEPS == 0:
            seen.append((progress.step, *usage()))

    train_loop(Config.model_validate(tree), Watch(progress=look, checkpoint=lambda *_: None))
    end = {"seen": seen, "end": usage(), "threads": [thread.name for thread in threading.enumerate()]}
    Path(told).write_text(json.dumps(end))


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc is Linux's")
def test_a_long_run_takes_no_more_and_more(make_config: MakeConfig, tmp_path: Path) -> None:
    """20,000 steps with history, film, checkpoints every 200 and a judge who looks at them."""
    train = {"steps": STEPS, "lanes": 1, "checkpoint_steps": 200, "film_steps": 10, "log_steps": 20}
    config = make_config(gan={"filters": "4,4"}, train=train, judge={"tiles": 20}, recipe={"history_capacity": 64})
    temporary, told = tmp_path / "temporary", tmp_path / "told.json"
    temporary.mkdir()
    process = CONTEXT.Process(target=_live, args=(config.model_dump(mode="json"), str(told), str(temporary)))
    process.start()
    process.join()
    assert process.exitcode == 0
    found = json.loads(told.read_text())
    seen = np.array([one for one in found["seen"] if one[0] >= WARM_UP_STEPS], dtype=float)
    slope_bytes = np.polyfit(seen[:, 0] / 1000, seen[:, 1], 1)[0]
    print(f"resident {seen[0, 1] / 1e6:.1f} to {seen[-1, 1] / 1e6:.1f} MB: {slope_bytes / 1e6:.3f} MB per 1,000 steps")
    print(f"descriptors {seen[:, 2].min()} to {seen[:, 2].max()}, threads {seen[:, 3].min()} to {seen[:, 3].max()}")
    print(f"after the end {found['end']}")
    assert slope_bytes < MOST_BYTES_PER_1000_STEPS
    _, descriptors, threads = found["end"]
    assert descriptors < seen[:, 2].min()
    assert threads < seen[:, 3].min()
    assert found["threads"] == ["MainThread"]
    # PyTorch makes one for each user, empty here.
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_")] == []
    assert not list((Path(config.train.store) / "run").rglob(".*"))
