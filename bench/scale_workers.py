"""Steps of two lanes on one worker and on two, in turn, and what the link between two does: processes of their own."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from bench.variants import make_batches
from satgan.cluster.speed import Part, Update, updates_of
from satgan.config import Config
from satgan.gan.lane import Lane
from satgan.gan.message import Combine, Message
from satgan.gan.pair import Pair
from satgan.gan.step import train_step
from satgan.train.device import decide
from satgan.train.lane_tree import add_up, by_lane, lanes_of
from satgan.train.ranks import sum_over_lanes
from satgan.train.sums import LaneSums

WORKERS, LANES = 2, 2
ROUND_SECONDS = 1.5
PROBES = (64, 2**20)
"""Numbers in the messages by which the link is measured: its latency, and its speed."""
LIMIT_SECONDS = 900.0


class Measured(NamedTuple):
    """One preset's figures. Seconds of a step: one per round, in pairs.

    alone_seconds       one worker computes both lanes, the other waits
    apart_seconds       each computes a lane, as a run of its own: what the machine gives two processes at most
    together_seconds    each computes a lane of one run
    updates             see `satgan.cluster.speed.updates_of`; this config's own path
    link_…              of messages that are not the step's
    …_cpu_seconds       of all workers, of a step
    """

    preset: str
    lane_batch: int
    alone_seconds: list[float]
    apart_seconds: list[float]
    together_seconds: list[float]
    updates: list[Update]
    link_bytes_per_second: float
    link_latency_seconds: float
    alone_cpu_seconds: float
    together_cpu_seconds: float


def measure(preset: str, config: Config, rounds: int) -> Measured:
    """Both ways in turn.

    Raises:
        RuntimeError: a process failed; it has told why on stderr.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="satgan-bench-") as folder:
        given = (
            str(Path(folder) / "meeting"),
            decide(config).model_dump(mode="json"),
            rounds,
            context.Barrier(WORKERS),
            sending,
        )
        workers = [context.Process(target=_work, args=(rank, *given)) for rank in range(WORKERS)]
        for worker in workers:
            worker.start()
        sending.close()  # else nobody would hear that the workers' own ends are gone
        found = _told(receiving)
        for worker in workers:
            worker.join(timeout=30)
            worker.kill()
    if found is None:
        raise RuntimeError("a process of the bench failed")
    return Measured(preset, config.train.lane_batch, **found)


def _told(receiving: Any) -> dict[str, Any] | None:
    """What a worker sends; None where they end without a word, or take too long."""
    try:
        found: dict[str, Any] | None = receiving.recv() if receiving.poll(LIMIT_SECONDS) else None
    except EOFError:
        return None
    return found


class _Steps:
    """A pair on this worker; `combine` as its config's lanes are held."""

    def __init__(self, config: Config, mine: range, combine: Combine) -> None:
        self.pair = Pair(config, mine, torch.device("cpu"), combine, _one_by_one)
        self._batch = make_batches(config, torch.device("cpu"), 1)[0]

    def step(self) -> None:
        for lane in self.pair.lanes:
            lane.begin(self._batch.tiles, self._batch.draws)
        train_step(self.pair)


def _one_by_one(work: Callable[[Lane], None], lanes: Any) -> None:
    for lane in lanes:
        work(lane)


class _Alone:
    """All lanes are here: nothing is told, whatever group this process is in."""

    def now(self, tensors: list[Tensor]) -> Tensor:
        return add_up(range(len(tensors)), by_lane(range(len(tensors)), tensors))

    def of(self, messages: Sequence[Message]) -> Callable[[], Tensor]:
        return lambda: self.now([message.vector for message in messages])


def _work(rank: int, meeting: str, tree: dict[str, Any], rounds: int, left: Any, sending: Any) -> None:
    torch.set_num_threads(1)
    os.environ["LOCAL_WORLD_SIZE"] = str(WORKERS)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORKERS)
    config = Config.model_validate(tree)
    mine = lanes_of(rank, WORKERS, LANES)
    together = _Steps(config, mine, LaneSums(LANES, torch.device("cpu"), threads=1))
    alone = _Steps(config, range(LANES), _Alone())
    single = config.model_copy(update={"train": config.train.model_copy(update={"lanes": 1})})
    lane = _Steps(single, range(1), _Alone())
    count = _steps_of_a_round(together)
    ways = {"alone": alone, "apart": lane, "together": together}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, steps in ways.items():
            taken = _timed(steps.step, count, works=rank == 0 or name != "alone")
            if number:  # the first round warms up
                times[name].append(taken)
    latency, whole = (_probe(numbers) for numbers in PROBES)
    if rank == 0:
        told = 4 * PROBES[1]  # one message each way
        sending.send(
            {
                **{f"{name}_seconds": [wall for wall, _ in taken] for name, taken in times.items()},
                "updates": _updates(config),
                "link_bytes_per_second": told / max(whole - latency, 1e-9),
                "link_latency_seconds": latency,
                "alone_cpu_seconds": median(cpu for _, cpu in times["alone"]),
                "together_cpu_seconds": median(cpu for _, cpu in times["together"]),
            }
        )
    left.wait()
    dist.destroy_process_group()


def _updates(config: Config) -> list[Update]:
    """Those of the steps that are measured: without history's turns, on the path that the verdicts choose; where that
    can be B alone, one update of the discriminator. Their messages go whole: the workers share a machine's cores."""
    discriminator, generator = (
        Update((Part(sum(part.bytes for part in update.parts), 0.0),), update.often) for update in updates_of(config)
    )
    return [discriminator._replace(often=1.0 if config.recipe.path_threshold >= 1 else 2.0), generator]


def _steps_of_a_round(steps: _Steps) -> int:
    """As many as fill a round, the same on both workers."""
    steps.step()
    dist.barrier()
    start = time.perf_counter()
    steps.step()
    count = torch.tensor([max(2.0, ROUND_SECONDS / (time.perf_counter() - start))])
    dist.broadcast(count, src=0)
    return int(count)


def _timed(step: Callable[[], None], count: int, works: bool) -> tuple[float, float]:
    """Seconds of a step on average until the last worker is done, and CPU seconds of all; who does not work waits."""
    dist.barrier()
    start, cpu = time.perf_counter(), time.process_time()
    if works:
        for _ in range(count):
            step()
    used = torch.tensor([time.process_time() - cpu])
    dist.barrier()
    seconds = time.perf_counter() - start
    dist.all_reduce(used)
    return seconds / count, float(used) / count


def _probe(numbers: int) -> float:
    """Seconds of a sum of messages, one lane each: the best of several."""
    message = torch.ones(numbers)
    best = float("inf")
    for _ in range(10):
        dist.barrier()
        start = time.perf_counter()
        sum_over_lanes([message], LANES)
        best = min(best, time.perf_counter() - start)
    return best
