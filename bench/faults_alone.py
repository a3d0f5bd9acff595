"""Faults of a run in one process without Ray: its files, its numbers, another driver."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from bench.faults_ray import CHECKPOINT_STEPS, OPTIONS, Row, Run
from satgan.config import Config, load_config
from satgan.errors import Stopped
from satgan.gan.noise import Draws, draw
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps, name_of
from satgan.train.loop import train_loop
from satgan.train.progress import Progress
from satgan.train.watch import Watch

POISONED_STEP = CHECKPOINT_STEPS * 3 // 2


def with_files_and_drivers(folder: Path) -> list[Row]:
    """The newest checkpoint damaged while the run is dead, a driver killed, a second driver; one run after all."""
    store = folder / "alone"
    given = OPTIONS | {"tiles.source": folder / "set", "train.store": store, "train.workers": 0}
    command = ["-m", "satgan", "train", "article", *(f"--{name}={value}" for name, value in given.items())]
    run = Run(command, store / "run" / "journal.jsonl")

    def damaged(damage: Callable[[bytearray], bytearray]) -> Callable[[], None]:
        def do() -> None:
            run.end()
            newest = complete_steps(open_store(str(store / "run")))[-1]
            path = store / "run" / "checkpoints" / name_of(newest) / "generator.safetensors"
            path.write_bytes(damage(bytearray(path.read_bytes())))
            run.start()

        return do

    def cut(raw: bytearray) -> bytearray:
        return raw[: len(raw) // 2]

    def flip(raw: bytearray) -> bytearray:
        raw[len(raw) // 2] ^= 1
        return raw

    try:
        rows = [
            run.after("driver SIGKILLed, no Ray", "the same command given at once", run.again),
            run.after("newest checkpoint truncated", "set aside, the one before taken", damaged(cut)),
            run.after("one bit of it flipped", "set aside, the one before taken", damaged(flip)),
        ]
        begun = time.perf_counter()
        second = subprocess.run(run.command, stderr=subprocess.PIPE, text=True, check=False)
        refused_seconds = time.perf_counter() - begun
        assert second.returncode == 2, second.stderr
        assert "is being trained by" in second.stderr
        return [*rows, Row("second driver", "refused; the first goes on", 0, refused_seconds, None, None)]
    finally:
        run.end()


def with_numbers(folder: Path) -> Row:
    """A loss that is not a number, once: `train.on_nan` rollback."""
    moments: dict[str, float] = {}

    def poisoned(config: Config, step: int, lane: int, attempt: int) -> Draws:
        draws = draw(config, step, lane, attempt)
        wrong = step == POISONED_STEP and not attempt
        return draws._replace(noise=torch.full_like(draws.noise, torch.inf)) if wrong else draws

    def say(text: str) -> None:
        if "training diverged" in text:
            moments["found"] = time.perf_counter()

    def show(progress: Progress) -> None:
        if "found" in moments:
            moments.setdefault("step", time.perf_counter())
            moments.setdefault("number", progress.step)
        elif progress.step == POISONED_STEP:
            moments["fault"] = time.perf_counter()

    config = config_of(folder, str(folder / "numbers"), {"on_nan": "rollback"})
    with patch("satgan.train.feed.draw", poisoned), suppress(Stopped):
        train_loop(config, Watch(show, lambda *told: None, lambda: "step" in moments, say))
    found, stepped = (moments[name] - moments["fault"] for name in ("found", "step"))
    lost = POISONED_STEP + 1 - int(moments["number"])
    return Row("a loss is NaN, `--on-nan rollback`", "on with other noise", lost, found, found, stepped)


def config_of(folder: Path, store: str, train: dict[str, Any]) -> Config:
    """Of a run in this process, on the tile set in `folder`."""
    layers: dict[str, dict[str, Any]] = {}
    for name, value in OPTIONS.items():
        group, option = name.replace("-", "_").split(".")
        layers.setdefault(group, {})[option] = value
    layers["tiles"]["source"] = str(folder / "set")
    layers["train"] |= {"store": store, "workers": 0} | train
    return load_config("article", layers)
