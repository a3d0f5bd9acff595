"""Runs in processes of their own, alone or as workers of one run, with what befalls them: a kill at any point, a number
that is not finite, a worker that leaves the path of the others.

They are forked from a server that has imported the training already: a process costs a moment, not seconds.
"""

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from satgan.config import Config
from satgan.gan import message
from satgan.gan.balance import Verdict
from satgan.gan.noise import Draws, draw
from satgan.gan.pair import Pair
from satgan.gan.step import train_step
from satgan.judge.process import JudgeProcess
from satgan.tiles.store import FolderStore
from satgan.train import feed, loop
from satgan.train.journal_writer import Journal
from satgan.train.watch import Watch

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.train.processes"])
LIMIT_SECONDS = 300.0


class Fate(NamedTuple):
    """What befalls a process.

    kill_at         it is killed at this tick (from 1): a step begins, a file gets its name or goes, the journal grows,
                    the judge begins; 0: never
    poison          (step, lane, attempts): in the first so many attempts that lane's noise is infinite in that step
    astray          (worker, step): that worker alone takes path A there, the others path B
    gone            (worker, step): it is killed there, as with its machine
    apart           each worker is on a machine of its own, as far as it knows
    timeout_seconds of what workers tell each other
    """

    kill_at: int = 0
    poison: tuple[int, int, int] | None = None
    astray: tuple[int, int] | None = None
    gone: tuple[int, int] | None = None
    apart: bool = False
    timeout_seconds: float = LIMIT_SECONDS


def run_processes(config: Config, workers: int = 1, fate: Fate | None = None) -> list[int | None]:
    """Trains with so many workers in as many processes; their exit statuses, -9 of one that was killed."""
    meeting = Path(config.train.store) / f"meeting-{os.urandom(4).hex()}"
    meeting.parent.mkdir(parents=True, exist_ok=True)
    left, tree = CONTEXT.Barrier(workers), config.model_dump(mode="json")
    processes = [
        CONTEXT.Process(target=_live, args=(tree, worker, workers, str(meeting), left, fate or Fate()))
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=LIMIT_SECONDS)
        process.kill()
        process.join()
    meeting.unlink(missing_ok=True)
    return [process.exitcode for process in processes]


def ticks_of(config: Config) -> int:
    """How many ticks a run had that was not killed."""
    return int((Path(config.train.store) / f"{config.train.name}.ticks").read_text())


def _live(tree: dict[str, Any], worker: int, workers: int, meeting: str, left: Any, fate: Fate) -> None:
    warnings.simplefilter("ignore")  # what torch deprecates is told in the parent
    message.PART_NUMBERS = 200  # so narrow networks tell several parts too
    config = Config.model_validate(tree)
    ticks = _befall(fate, worker)
    if workers > 1:
        os.environ["LOCAL_WORLD_SIZE"] = "1" if fate.apart else str(workers)
        timeout = timedelta(seconds=fate.timeout_seconds)
        dist.init_process_group("gloo", f"file://{meeting}", timeout, world_size=workers, rank=worker)
    loop.train_loop(config, Watch(progress=lambda _: None, checkpoint=lambda *_: None))
    if workers > 1:
        left.wait()  # gloo's own barrier is a talk that a worker may leave while another is still in it
        dist.destroy_process_group()
    if worker == 0:
        (Path(config.train.store) / f"{config.train.name}.ticks").write_text(str(ticks()))


def _part(fate: Fate, here: tuple[int, int]) -> None:
    """Takes this worker away."""
    if fate.gone == here:
        os.kill(os.getpid(), signal.SIGKILL)


def _befall(fate: Fate, worker: int) -> Callable[[], int]:
    """Puts the fate into this process; returns who tells the ticks so far."""
    lock, count, steps = threading.Lock(), 0, 0

    def tick() -> None:
        nonlocal count
        with lock:
            count += 1
            if count == fate.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def ticking(work: Callable[..., Any]) -> Callable[..., Any]:
        def ticked(*given: Any, **named: Any) -> Any:
            tick()
            return work(*given, **named)

        return ticked

    def poisoned(config: Config, step: int, lane: int, attempt: int) -> Draws:
        draws = draw(config, step, lane, attempt)
        if fate.poison and (step, lane) == fate.poison[:2] and attempt < fate.poison[2]:
            return draws._replace(noise=torch.full_like(draws.noise, torch.inf))
        return draws

    def led(pair: Pair) -> dict[str, float]:
        nonlocal steps
        if fate.astray and fate.astray[1] == steps:
            pair.verdict = Verdict(1.0, 1.0) if worker == fate.astray[0] else Verdict(0.0, 0.0)
        _part(fate, (worker, steps))
        steps += 1
        return train_step(pair)

    changed: Any = ((loop, "train_step", ticking(led)), (feed, "draw", poisoned), (os, "replace", ticking(os.replace)))
    seen: Any = ((FolderStore, "delete"), (Journal, "_write"), (JudgeProcess, "judge"))
    for place, name, new in (*changed, *((place, name, ticking(getattr(place, name))) for place, name in seen)):
        setattr(place, name, new)
    return lambda: count
