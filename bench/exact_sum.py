"""The sum over lanes beside a plain all-reduce of the same messages: gloo, two processes on this machine.

The plain way is what a user would write: each worker adds up its own lanes, and `all_reduce` adds the workers' sums.
Its last bits depend on who holds which lane; those of ours do not.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from satgan.config import load_config
from satgan.gan.message import message_size
from satgan.gan.networks import Discriminator, Generator
from satgan.train.lane_tree import lanes_of
from satgan.train.ranks import sum_over_lanes

WORKERS, REPETITIONS = 2, 5
LIMIT_SECONDS = 600.0


class Case(NamedTuple):
    """One message: whose, numbers in it (float32), and over how many lanes it is summed."""

    name: str
    numbers: int
    lanes: int


class Compared(NamedTuple):
    """Seconds of one sum on average, a figure per round, both ways in turn."""

    case: Case
    plain_seconds: tuple[float, ...]
    ours_seconds: tuple[float, ...]


def cases_of(preset: str) -> list[Case]:
    """The messages of a preset's two networks, with one lane per worker and with four."""
    gan = load_config(preset).gan
    with torch.device("meta"):
        networks = {"generator": Generator(gan), "discriminator": Discriminator(gan)}
    sizes = {name: message_size(one) for name, one in networks.items()}
    return [
        Case(f"{preset}, {name}", size, lanes)
        for name, size in sizes.items()
        for lanes in (WORKERS, 4 * WORKERS)
    ]  # fmt: skip


def compare(cases: Sequence[Case], rounds: int) -> list[Compared]:
    """Sums every case both ways in two processes.

    Raises:
        RuntimeError: a process failed; it has told why on stderr.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    left = context.Barrier(WORKERS)
    with tempfile.TemporaryDirectory(prefix="satgan-bench-") as folder:
        given = (str(Path(folder) / "meeting"), list(cases), rounds, left, sending)
        workers = [context.Process(target=_work, args=(rank, *given)) for rank in range(WORKERS)]
        for worker in workers:
            worker.start()
        found: list[Compared] = receiving.recv() if receiving.poll(LIMIT_SECONDS) else []
        for worker in workers:
            worker.join(timeout=10)
            worker.kill()
    if not found:
        raise RuntimeError("a process of the bench failed")
    return [Compared(Case(*case), *seconds) for case, *seconds in found]


def _work(rank: int, meeting: str, cases: list[Case], rounds: int, left: Any, sending: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORKERS)
    found = []
    for case in cases:
        mine = [torch.full((case.numbers,), float(lane)) for lane in lanes_of(rank, WORKERS, case.lanes)]
        ways: tuple[Callable[[], Tensor], ...] = (
            lambda mine=mine: _plain(mine),  # type: ignore[misc]
            lambda mine=mine, lanes=case.lanes: sum_over_lanes(mine, lanes),  # type: ignore[misc]
        )
        for way in ways:  # the first time costs connections and pages
            assert float(way()[0]) == sum(range(case.lanes))
        times = [[_seconds(way) for way in ways] for _ in range(rounds)]
        found.append((tuple(case), *(tuple(column) for column in zip(*times, strict=True))))
    if rank == 0:
        sending.send(found)
    left.wait()
    dist.destroy_process_group()


def _plain(messages: Sequence[Tensor]) -> Tensor:
    total = messages[0].clone()
    for message in messages[1:]:
        total += message
    dist.all_reduce(total)
    return total


def _seconds(way: Callable[[], Tensor]) -> float:
    dist.barrier()
    start = time.perf_counter()
    for _ in range(REPETITIONS):
        way()
    return (time.perf_counter() - start) / REPETITIONS
