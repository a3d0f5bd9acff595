"""A small tile set and runs of a narrow pair of networks on it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from satgan.config import Config, load_config
from satgan.gan.pair import Pair
from satgan.gan.step import train_step
from satgan.randomness import Purpose, generator
from satgan.tiles.shards import pack
from satgan.train.loop import train_loop
from satgan.train.outcome import Outcome
from satgan.train.watch import Watch

MakeConfig = Callable[..., Config]
TILES, SIZE = 150, 16


@pytest.fixture(autouse=True)
def threads_put_back() -> Iterator[None]:
    """A run sets PyTorch's number of threads for the whole process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def made_tiles(count: int = TILES, size: int = SIZE, channels: int = 3) -> Iterator[tuple[str, np.ndarray]]:
    """Named noise tiles."""
    for number in range(count):
        stream = generator(5, Purpose.SAMPLE, step=number)
        yield f"tile-{number}", stream.integers(0, 256, (size, size, channels), dtype=np.uint8)


@pytest.fixture(scope="session")
def tile_set(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a packed set of 150 tiles of 16×16×3."""
    destination = str(tmp_path_factory.mktemp("tiles") / "set")
    pack(made_tiles(), destination, size=SIZE, channels=3, seed=1, source="made", cut={})
    return destination


@pytest.fixture
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints are tried again after short pauses, and not for long."""
    monkeypatch.setattr("satgan.train.writer.FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr("satgan.train.writer.LONGEST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr("satgan.train.writer.LIMIT_SECONDS", 1.0)


@pytest.fixture
def make_config(tile_set: str, tmp_path: Path) -> MakeConfig:
    """A run of width 8 with 4 lanes of 4 tiles; keywords override groups."""

    def make(**groups: dict[str, Any]) -> Config:
        base: dict[str, dict[str, Any]] = {
            "tiles": {"source": tile_set, "augment": "dihedral", "connections": 2, "prefetch_steps": 2},
            "gan": {
                "size": SIZE, "filters": "8,8", "smoothing_layers": 0, "noise_size": 6, "kernel_size": 4,
                "dense_head": "",
            },
            "judge": {"tiles": 0},
            "recipe": {"history_capacity": 6, "history_share": 0.5, "path_threshold": 0.7},
            "train": {
                "store": str(tmp_path / "runs"), "name": "run", "steps": 12, "lanes": 4, "lane_batch": 4,
                "workers": 0, "threads_per_lane": 1, "precision": "float32", "log_steps": 2, "film_steps": 3,
                "checkpoint_steps": 5, "checkpoint_seconds": 0,
            },
        }  # fmt: skip
        return load_config("article", base, groups)

    return make


def run(config: Config) -> Outcome:
    """Trains in this process."""
    outcome = train_loop(config, Watch(progress=lambda progress: None, checkpoint=lambda step, url, numbers: None))
    assert outcome is not None
    return outcome


def after_steps(monkeypatch: pytest.MonkeyPatch, count: int) -> threading.Event:
    """An event that is set once a run, from here on, has taken `count` steps."""
    reached, taken = threading.Event(), 0

    def counted(pair: Pair) -> dict[str, float]:
        nonlocal taken
        taken += 1
        if taken == count:
            reached.set()
        return train_step(pair)

    monkeypatch.setattr("satgan.train.loop.train_step", counted)
    return reached


def weights_of(checkpoint: str) -> dict[str, bytes]:
    """Every file of a checkpoint but state.json and COMPLETE, which tell versions."""
    folder = Path(checkpoint)
    names = [path for path in sorted(folder.rglob("*.safetensors")) if path.is_file()]
    assert len(names) >= 4
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}


def journal_numbers(run_folder: str) -> list[tuple[int, dict[str, float]]]:
    """The numbers of a local run's journal."""
    import json

    entries = [json.loads(line) for line in (Path(run_folder) / "journal.jsonl").read_text().splitlines()]
    return [(entry["step"], entry["numbers"]) for entry in entries if "numbers" in entry]
