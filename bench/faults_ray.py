"""Faults of a run on two workers under Ray Train, and the same ones done to a bare TorchTrainer.

Each fault is done once. On a busy machine the seconds are upper bounds.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench.processes import raylets, train_workers

CHECKPOINT_STEPS, HANG_SECONDS, RESIZE_SECONDS = 100, 10, 5
PATIENCE_SECONDS, LOOK_SECONDS = 300, 0.02
BARE_NOTICE_SECONDS = 3
"""Between a notice and the loss of the machine, where nobody saves."""
OPTIONS = {
    "gan.size": 16, "gan.filters": "8,8", "gan.smoothing-layers": 0, "gan.noise-size": 6, "gan.dense-head": "",
    "recipe.history-capacity": 16, "judge.tiles": 0, "tiles.connections": 2, "train.steps": 10**6, "train.lanes": 4,
    "train.lane-batch": 4, "train.threads-per-lane": 1, "train.log-steps": 1, "train.name": "run",
    "train.checkpoint-steps": CHECKPOINT_STEPS, "train.checkpoint-seconds": 0, "train.hang-seconds": HANG_SECONDS,
    "train.resize-seconds": RESIZE_SECONDS,
}  # fmt: skip
"""Of the run that faults are done to: a tiny net."""
RAY = str(Path(sys.executable).parent / "ray")


class Row(NamedTuple):
    """What one fault did. Seconds since the fault: until it was found (None: by nobody, the command was given again),
    until workers were there anew, and until the next step was taken; Ray's own until a bare trainer's next step."""

    fault: str
    happened: str
    steps_lost: int
    found_seconds: float | None
    workers_seconds: float | None
    step_seconds: float | None
    bare_seconds: float | None = None


class Run:
    """A process that trains until it is ended.

    Args:
        command: its arguments after the interpreter's.
        journal: that it writes.
        address: of a Ray cluster; none: one of its own.
    """

    def __init__(self, command: Sequence[str], journal: Path, address: str = "") -> None:
        self.journal, self.command = journal, [sys.executable, *command]
        path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
        self._environment = {**os.environ, "PYTHONPATH": path, **({"RAY_ADDRESS": address} if address else {})}
        self.start()

    def start(self) -> None:
        """Gives the command."""
        self.driver = subprocess.Popen(self.command, env=self._environment, stderr=subprocess.DEVNULL)

    def end(self) -> None:
        """Ends the driver, and with it Ray."""
        self.driver.kill()
        self.driver.wait()

    def again(self) -> None:
        """The command is given once more, as soon as it was killed."""
        self.end()
        self.start()

    def entries(self) -> list[dict[str, Any]]:
        """What the journal holds now."""
        lines = self.journal.read_text().splitlines(keepends=True) if self.journal.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def after(self, fault: str, happened: str, do: Callable[[], object]) -> Row:
        """Does a fault in the middle between two checkpoints, the third one or a later one of this attempt being the
        next, and waits for the next step."""
        until(self._is_between)
        begun = self._attempts()
        do()
        moment, clock = time.time(), time.perf_counter()
        until(lambda: self._attempts() > begun)
        workers_seconds = time.perf_counter() - clock
        until(lambda: "numbers" in self.entries()[-1])
        step_seconds = time.perf_counter() - clock
        entries = self.entries()
        found = [datetime.fromisoformat(entry["time"]).timestamp() for entry in entries if "time" in entry]
        found_seconds = found[-1] - moment if found and found[-1] > moment else None
        print(f"{self.command[2]}, {fault}: next step after {step_seconds:.1f} s", file=sys.stderr, flush=True)
        return Row(
            fault, happened, int(self._newest().get("undone_steps", 0)), found_seconds, workers_seconds, step_seconds
        )

    def _taken(self) -> int:
        """The newest step; 0 while an attempt begins."""
        entries = self.entries()
        return int(entries[-1]["step"]) if entries and "numbers" in entries[-1] else 0

    def _is_between(self) -> bool:
        taken = self._taken()
        return (
            taken > int(self._newest()["step"]) + 2 * CHECKPOINT_STEPS
            and taken % CHECKPOINT_STEPS >= CHECKPOINT_STEPS // 2
        )

    def _newest(self) -> dict[str, Any]:
        """How the newest attempt began."""
        begun = (entry for entry in reversed(self.entries()) if entry.get("event") in ("start", "resume"))
        return next(begun, {"step": 0})

    def _attempts(self) -> int:
        return sum(entry.get("event") in ("start", "resume") for entry in self.entries())


Make = Callable[[str, str], Run]
"""Starts what faults are done to, with so many workers (as --workers takes them) and at an address."""


def ours(folder: Path) -> Make:
    """A run of `satgan train` whose tile set lies in `folder`; each has a store of its own there."""

    def make(workers: str, address: str = "") -> Run:
        store = folder / f"runs-{time.time_ns()}"
        given = OPTIONS | {"tiles.source": folder / "set", "train.store": store, "train.workers": workers}
        command = ["-m", "satgan", "train", "article", *(f"--{name}={value}" for name, value in given.items())]
        return Run(command, store / "run" / "journal.jsonl", address)

    return make


def bare(folder: Path) -> Make:
    """A TorchTrainer without anything of ours."""

    def make(workers: str, address: str = "") -> Run:
        journal = folder / f"bare-{time.time_ns()}" / "journal.jsonl"
        journal.parent.mkdir()
        return Run(["-m", "bench.bare_trainer", str(journal), workers, str(HANG_SECONDS)], journal, address)

    return make


def under_ray(folder: Path) -> list[Row]:
    """All of them, done to both."""
    pairs = [
        pair
        for do in (on_one_machine, on_two_machines)
        for pair in zip(do(ours(folder)), do(bare(folder)), strict=True)
    ]
    return [mine._replace(bare_seconds=theirs.step_seconds) for mine, theirs in pairs]


def on_one_machine(make: Make) -> list[Row]:
    """A worker killed, a worker hung, the driver killed; one run after all of them."""
    run = make("2", "")

    def to_worker(number: signal.Signals) -> Callable[[], object]:
        return lambda: os.kill(train_workers(run.driver.pid)[-1], number)

    try:
        return [
            run.after("worker SIGKILLed", "workers started anew", to_worker(signal.SIGKILL)),
            run.after("worker SIGSTOPped", "killed, workers started anew", to_worker(signal.SIGSTOP)),
            run.after("driver SIGKILLed", "the same command given at once", run.again),
        ]
    finally:
        run.end()


def on_two_machines(make: Make) -> list[Row]:
    """The second machine's raylet killed, and with it its worker: without a word, or after the notice that it goes.
    The run goes on with the other one."""
    return [_with_one_lost(make, is_noticed) for is_noticed in (False, True)]


def _with_one_lost(make: Make, is_noticed: bool) -> Row:
    with _two_machines() as cluster:
        run = make("1:2", cluster.address)
        try:
            second, saved = raylets(os.getpid())[-1], ""

            def go() -> None:
                nonlocal saved
                saved = _notice(cluster, run) if is_noticed else ""
                os.kill(second, signal.SIGKILL)

            fault = "machine lost after a notice" if is_noticed else "raylet SIGKILLed"
            row = run.after(fault, "goes on with 1 worker of 2", go)
            return row._replace(happened=f"{saved}{row.happened}")
        finally:
            run.end()


@contextmanager
def _two_machines() -> Iterator[Any]:
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def _notice(cluster: Any, run: Run) -> str:
    """What a spot watcher does when the cloud announces that it takes a machine back; ours is waited for until it has
    saved, and how long that took is returned."""
    (node,) = [node.node_id for node in cluster.worker_nodes]
    words = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    command = [RAY, "drain-node", "--address", cluster.gcs_address, "--node-id", node, *words]
    clock = time.perf_counter()
    subprocess.run([*command, "--deadline-remaining-seconds", "60"], check=True, capture_output=True)
    if "satgan" not in run.command:
        time.sleep(BARE_NOTICE_SECONDS)
        return ""

    def has_saved() -> bool:
        notices = [entry["step"] for entry in run.entries() if entry.get("event") == "preemption"]
        return bool(notices) and (run.journal.parent / f"checkpoints/step-{notices[-1]:08d}/COMPLETE").exists()

    until(has_saved)
    return f"saved {time.perf_counter() - clock:.1f} s after the notice; "


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
