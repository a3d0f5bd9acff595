"""Which worker this is, and what workers tell each other. Without a process group: worker 0 of 1 (law 3).

The only user of torch.distributed. A launcher has each of several workers `join` the others. Nobody leaves before its
process ends: who had company and has none any more is not alone, it would go on with its own lanes for all of them, and
write that down. Where the others are gone, every function here raises WorkersLost.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from satgan.errors import WorkersLost

GONE = ("Connection closed", "Connection reset", "Broken pipe", "remote process exited", "communicator was aborted")
"""What gloo and NCCL say when the other end is not there any more. A time limit or a message of another size is told in
their own words: the others are there then."""
GOES_ON = "under Ray the run goes on from the last checkpoint by itself; else the same command does that"


def join(number: int, workers: int, address: str, backend: str, seconds: float, told: Callable[[str], str]) -> None:
    """Makes the process group with the other workers.

    Args:
        number: of this worker, from 0.
        workers: of the run, 2 or more.
        address: of this machine, for the others.
        backend: gloo or nccl.
        seconds: how long workers wait for one that is alive but does not come, here and at every message.
        told: returns, on every worker, what worker 0 gives it.

    Raises:
        WorkersLost: they did not find each other.
    """
    timeout = timedelta(seconds=seconds)
    try:
        # Worker 0 tells which port it has once it has it: one that is only free may be another's by then.
        first = None if number else TCPStore(address, 0, is_master=True, timeout=timeout, wait_for_workers=False)
        host, _, port = told(f"{address} {first.port if first else ''}").rpartition(" ")
        store = first or TCPStore(host, int(port), timeout=timeout)
        dist.init_process_group(backend, store=store, rank=number, world_size=workers, timeout=timeout)
    except RuntimeError as error:
        found = f"worker {number} of {workers} did not find the others: {error}"
        raise WorkersLost(found, GOES_ON) from error


def rank() -> int:
    """This worker's number, 0 without a launcher."""
    return dist.get_rank() if _grouped() else 0


def world_size() -> int:
    """How many workers there are, 1 without a launcher."""
    return dist.get_world_size() if _grouped() else 1


def lanes_of(worker: int, workers: int, lanes: int) -> range:
    """Lanes that a worker computes: worker, worker + workers, …; any number of workers from 1 to `lanes`."""
    return range(worker, lanes, workers)


def sum_over_lanes(messages: list[Tensor], lanes: int) -> Tensor:
    """The sum of all lanes' messages, added in lane order, whoever holds which lane: the same bits for any workers.

    all_to_all gives each worker its slice of every lane's message, it adds them in order, all_gather returns the sum.
    With one lane per worker that moves as many bytes as a ring all-reduce; with one worker nothing moves.

    Args:
        messages: `[M]` of this worker's lanes, ascending; one per lane of `lanes_of(rank(), world_size(), lanes)`.
        lanes: of the run.

    Returns:
        `[M]`; with one lane in all, the message itself.
    """
    workers = world_size()
    if workers == 1:
        return _sum_in_order(messages)
    size, slice_size = messages[0].numel(), -(-messages[0].numel() // workers)
    outgoing = messages[0].new_zeros((workers, len(messages), slice_size))
    for place, message in enumerate(messages):
        for worker, part in enumerate(torch.split(message, slice_size)):
            outgoing[worker, place, : len(part)] = part
    held = [len(lanes_of(worker, workers, lanes)) for worker in range(workers)]
    incoming = outgoing.new_empty(lanes * slice_size)
    with _talking():
        dist.all_to_all_single(
            incoming, outgoing.view(-1), [count * slice_size for count in held], [len(messages) * slice_size] * workers
        )
    by_worker = [part.view(-1, slice_size) for part in torch.split(incoming, [count * slice_size for count in held])]
    summed = _sum_in_order([by_worker[lane % workers][lane // workers] for lane in range(lanes)])
    total = outgoing.new_empty(slice_size * workers)
    with _talking():
        dist.all_gather_into_tensor(total, summed)
    return total[:size]


def gather_lanes(tensors: list[Tensor], lanes: int) -> list[Tensor] | None:
    """One tensor per lane of all workers, in lane order, on worker 0; None on the others.

    Args:
        tensors: of this worker's lanes, ascending; all lanes' tensors have one shape and dtype.
        lanes: of the run.
    """
    workers = world_size()
    if workers == 1:
        return tensors
    most = len(lanes_of(0, workers, lanes))
    dtype, shape = tensors[0].dtype, tensors[0].shape
    gathered: list[Tensor] = []
    for turn in range(most):
        # As bytes: not every backend gathers every dtype.
        mine = tensors[min(turn, len(tensors) - 1)].contiguous().view(torch.uint8)
        received = [torch.empty_like(mine) for _ in range(workers)] if rank() == 0 else None
        with _talking():
            dist.gather(mine, received)
        gathered += [part.view(dtype).view(shape) for part in received or []]
    return gathered[:lanes] if rank() == 0 else None


def from_first(text: str) -> str:
    """What worker 0 says, on every worker."""
    if world_size() == 1:
        return text
    with _talking():
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        raw = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).to(device)
        length = torch.tensor([len(raw)], device=device)
        dist.broadcast(length, src=0)
        if rank() != 0:
            raw = torch.empty(int(length), dtype=torch.uint8, device=device)
        dist.broadcast(raw, src=0)
    return bytes(raw.cpu().numpy()).decode()


def first_says(yes: bool) -> bool:
    """Whether worker 0 says yes, on every worker."""
    return from_first("yes" if yes else "no") == "yes"


def workers_on_this_machine() -> int:
    """Workers that share this machine's cores; launchers say it in LOCAL_WORLD_SIZE."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if _grouped() else 1


def barrier() -> None:
    """Returns when every worker has come here."""
    if _grouped():
        with _talking():
            dist.barrier()


def _sum_in_order(parts: Sequence[Tensor]) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total


def _grouped() -> bool:
    """Whether there is a process group."""
    return dist.is_available() and dist.is_initialized()


@contextmanager
def _talking() -> Iterator[None]:
    """A block that fails of others that are gone with WorkersLost, of anything else as it does."""
    try:
        yield
    except RuntimeError as error:
        gone = next((words for words in GONE if words in str(error)), "")
        if not gone:
            raise
        found = f"the group of {dist.get_world_size()} workers is no more ({gone}): one of them or its machine was lost"
        raise WorkersLost(found, GOES_ON) from error
