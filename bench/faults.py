"""What faults cost: how soon each is found, how soon the run takes its next step, and how many steps are taken again.

A run of a tiny net on two workers; each fault is done to it once. On a busy machine the seconds are upper bounds.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.processes import raylets, train_workers
from satgan.randomness import Purpose, generator
from satgan.tiles.shards import pack

CHECKPOINT_STEPS, HANG_SECONDS = 100, 10
PATIENCE_SECONDS, LOOK_SECONDS = 300, 0.02
OPTIONS = {
    "gan.size": 16, "gan.filters": "8,8", "gan.smoothing-layers": 0, "gan.noise-size": 6, "gan.dense-head": "",
    "recipe.history-capacity": 16, "judge.tiles": 0, "tiles.connections": 2, "train.steps": 10**6, "train.lanes": 4,
    "train.lane-batch": 4, "train.threads-per-lane": 1, "train.log-steps": 1, "train.name": "run",
    "train.checkpoint-steps": CHECKPOINT_STEPS, "train.checkpoint-seconds": 0, "train.hang-seconds": HANG_SECONDS,
}  # fmt: skip


class Row(NamedTuple):
    """What one fault did. Seconds since the fault: until it was found (None: by nobody, the command was given again),
    until workers were there anew, and until the next step was taken."""

    fault: str
    happened: str
    steps_lost: int
    found_seconds: float | None
    workers_seconds: float
    step_seconds: float


class Run:
    """A run of `satgan train` that goes on until it is ended.

    Args:
        folder: where its tiles are and its checkpoints go.
        workers: as --workers takes them.
        address: of a Ray cluster; none: one of its own.
    """

    def __init__(self, folder: Path, workers: str, address: str = "") -> None:
        self.journal = folder / "runs" / "run" / "journal.jsonl"
        given = OPTIONS | {"tiles.source": folder / "set", "train.store": folder / "runs", "train.workers": workers}
        options = [f"--{name}={value}" for name, value in given.items()]
        self._command = [sys.executable, "-m", "satgan", "train", "article", *options]
        self._environment = {**os.environ, **({"RAY_ADDRESS": address} if address else {})}
        self.start()

    def start(self) -> None:
        """Gives the command."""
        self.driver = subprocess.Popen(self._command, env=self._environment, stderr=subprocess.DEVNULL)

    def end(self) -> None:
        """Ends the driver, and with it Ray."""
        self.driver.kill()
        self.driver.wait()

    def entries(self) -> list[dict[str, Any]]:
        """What the journal holds now."""
        lines = self.journal.read_text().splitlines(keepends=True) if self.journal.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def step(self) -> int:
        """The newest step of the journal."""
        return max((int(entry["step"]) for entry in self.entries()), default=0)

    def after(self, fault: str, happened: str, do: Callable[[], object]) -> Row:
        """Does a fault in the middle between two checkpoints, and waits for the next step."""
        until(lambda: self.step() > CHECKPOINT_STEPS and self.step() % CHECKPOINT_STEPS >= CHECKPOINT_STEPS // 2)
        begun, reached, moment, clock = self._attempts(), self.step(), time.time(), time.perf_counter()
        do()
        until(lambda: self._attempts() > begun)
        workers_seconds = time.perf_counter() - clock
        until(lambda: "numbers" in self.entries()[-1])
        step_seconds = time.perf_counter() - clock
        entries = self.entries()
        resumed = next(entry for entry in reversed(entries) if entry.get("event") in ("start", "resume"))
        found = [datetime.fromisoformat(entry["time"]).timestamp() for entry in entries if "time" in entry]
        found_seconds = found[-1] - moment if found and found[-1] > moment else None
        print(f"{fault}: next step after {step_seconds:.1f} s", file=sys.stderr, flush=True)
        return Row(fault, happened, reached - int(resumed["step"]), found_seconds, workers_seconds, step_seconds)

    def _attempts(self) -> int:
        return sum(entry.get("event") in ("start", "resume") for entry in self.entries())


def until(reached: Callable[[], object]) -> None:
    """Waits for something.

    Raises:
        TimeoutError: it did not come.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(f"the run did not go on within {PATIENCE_SECONDS} s")
        time.sleep(LOOK_SECONDS)


def main(words: Sequence[str] | None = None) -> int:
    """Exit status 0."""
    argparse.ArgumentParser(prog="scripts/bench faults", description=__doc__).parse_args(words)
    with tempfile.TemporaryDirectory(prefix="satgan-bench-") as folder:
        pack(_tiles(), f"{folder}/set", size=16, channels=3, seed=1, source="made", cut={})
        rows = [*on_one_machine(Path(folder)), *on_two_machines(Path(folder))]
    from torch import device

    from bench.machine import describe_machine

    for name, value in describe_machine(device("cpu")).items():
        print(f"- {name}: {value}")
    print(f"- 2 workers, a checkpoint every {CHECKPOINT_STEPS} steps, train.hang_seconds {HANG_SECONDS}\n")
    print(markdown(rows))
    return 0


def on_one_machine(folder: Path) -> list[Row]:
    """A worker killed, a worker hung, the driver killed; one run after all of them."""
    run = Run(folder, workers="2")

    def to_worker(number: signal.Signals) -> Callable[[], object]:
        return lambda: os.kill(train_workers(run.driver.pid)[-1], number)

    def again() -> None:
        run.end()
        run.start()

    try:
        return [
            run.after("worker SIGKILLed", "workers started anew", to_worker(signal.SIGKILL)),
            run.after("worker SIGSTOPped", "killed, workers started anew", to_worker(signal.SIGSTOP)),
            run.after("driver SIGKILLed", "the same command given at once", again),
        ]
    finally:
        run.end()


def on_two_machines(folder: Path) -> list[Row]:
    """The second machine's raylet killed, and with it its worker; the run goes on with the other."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    run = Run(folder, workers="1:2", address=cluster.address)
    try:
        second = raylets(os.getpid())[-1]
        return [run.after("raylet SIGKILLed", "goes on with 1 worker of 2", lambda: os.kill(second, signal.SIGKILL))]
    finally:
        run.end()
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    heads = ("fault", "what happened", "steps lost", "found, s", "workers back, s", "next step, s")
    lines = [heads, ("---",) * len(heads)]
    for row in rows:
        found = "—" if row.found_seconds is None else f"{row.found_seconds:.1f}"
        seconds = (found, f"{row.workers_seconds:.1f}", f"{row.step_seconds:.1f}")
        lines.append((row.fault, row.happened, str(row.steps_lost), *seconds))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _tiles() -> Any:
    for number in range(150):
        stream = generator(5, Purpose.SAMPLE, step=number)
        yield f"tile-{number}", stream.integers(0, 256, (16, 16, 3), dtype=np.uint8)


if __name__ == "__main__":
    sys.exit(main())
