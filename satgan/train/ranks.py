"""Which worker this is, and what workers tell each other. Without a process group: worker 0 of 1 (law 3).

The only user of torch.distributed. A launcher has each of several workers `join` the others. Nobody leaves before its
process ends: who had company and has none any more is not alone, it would go on with its own lanes for all of them, and
write that down. Where the others are gone, every function here raises WorkersLost.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from satgan.errors import WorkersLost
from satgan.train.lane_tree import add_rows, add_up, by_lane, lanes_of, sums_of

GONE = ("Connection closed", "Connection reset", "Broken pipe", "remote process exited", "communicator was aborted")
"""What gloo and NCCL say when the other end is not there any more. A time limit or a message of another size is told in
their own words: the others are there then."""
MEETING_SECONDS = 120
"""Workers that have heard of worker 0's port try it for so long: a firewall does not say that there is one."""
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
    near = timedelta(seconds=min(seconds, MEETING_SECONDS))
    try:
        # Worker 0 tells which port it has once it has it: one that is only free may be another's by then.
        first = None if number else TCPStore(address, 0, is_master=True, timeout=near, wait_for_workers=False)
        host, _, port = told(f"{address} {first.port if first else ''}").rpartition(" ")
        store = first or TCPStore(host, int(port), timeout=near)
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


def sum_over_lanes(messages: list[Tensor], lanes: int, into: Tensor | None = None) -> Tensor:
    """The sum of all lanes' messages, added up the lanes' tree: the same bits whoever holds which lane.

    Each worker adds up what it holds of the tree (lane_tree.py). Of two, each tells the other. Of more, all_to_all
    gives each its slice of every such sum, it adds them up, all_gather returns the whole. Where each tells one sum, as
    with one lane per worker, that moves as many bytes as a ring all-reduce; with one worker nothing moves.

    Args:
        messages: `[M]` of this worker's lanes, ascending; one per lane of `lanes_of(rank(), world_size(), lanes)`.
        lanes: of the run.
        into: `[M]`, where the sum shall stand; none: in new memory.

    Returns:
        `[M]`; with one lane in all, the message itself.
    """
    workers = world_size()
    mine = lanes_of(rank(), workers, lanes)
    known = by_lane(mine, messages)
    told = sums_of(workers, lanes)
    sums = [add_up(node, known) for node in told[rank()]]
    if workers == 1:
        total = sums[0]
    elif workers == 2:
        total = _sum_of_two(sums, told)
    else:
        total = _sum_by_slices(sums, told)
    return total if into is None else into.copy_(total)


def _sum_of_two(sums: list[Tensor], told: list[list[range]]) -> Tensor:
    """Each adds up everything: one talk instead of two, of as many bytes."""
    me, size = rank(), len(sums[0])
    counts = [len(nodes) * size for nodes in told]
    sent, received = ([count if here else 0 for here in (me != 0, me != 1)] for count in (counts[me], counts[1 - me]))
    others = _exchange(torch.cat(sums) if len(sums) > 1 else sums[0], sent, received).view(-1, size)
    known = dict(zip(told[me], sums, strict=True)) | dict(zip(told[1 - me], others, strict=True))
    return add_up(range(told[0][0].start, told[1][-1].stop), known)


def _sum_by_slices(sums: list[Tensor], told: list[list[range]]) -> Tensor:
    workers, size = len(told), len(sums[0])
    slice_size = -(-size // workers)
    counts = [len(nodes) * slice_size for nodes in told]
    incoming = _exchange(_in_slices(sums, workers, slice_size), [counts[rank()]] * workers, counts)
    nodes, rows = [node for worker in told for node in worker], incoming.view(-1, slice_size)
    if len({len(node) for node in nodes}) == 1:
        added = add_rows(rows)
    else:
        added = add_up(range(nodes[0].start, nodes[-1].stop), dict(zip(nodes, rows, strict=True)))
    total = added.new_empty(slice_size * workers)
    with _talking():
        dist.all_gather_into_tensor(total, added)
    return total[:size]


def _exchange(outgoing: Tensor, sent: list[int], received: list[int]) -> Tensor:
    """Numbers for each worker in turn, and from each."""
    incoming = outgoing.new_empty(sum(received))
    with _talking():
        dist.all_to_all_single(incoming, outgoing, received, sent)
    return incoming


def _in_slices(sums: list[Tensor], workers: int, slice_size: int) -> Tensor:
    """Each worker's slice of every sum, worker by worker, zeros behind the end."""
    if len(sums) == 1 and len(sums[0]) == slice_size * workers:
        return sums[0]
    slices = sums[0].new_zeros((workers, len(sums), slice_size))
    for place, tensor in enumerate(sums):
        for worker, part in enumerate(torch.split(tensor, slice_size)):
            slices[worker, place, : len(part)] = part
    return slices.view(-1)


def gather_lanes(tensors: list[Tensor], lanes: int) -> list[Tensor] | None:
    """One tensor per lane of all workers, in lane order, on worker 0; None on the others.

    Args:
        tensors: of this worker's lanes, ascending; all lanes' tensors have one shape and dtype.
        lanes: of the run.
    """
    workers = world_size()
    if workers == 1:
        return tensors
    held = [len(lanes_of(worker, workers, lanes)) for worker in range(workers)]
    dtype, shape = tensors[0].dtype, tensors[0].shape
    gathered: list[list[Tensor]] = [[] for _ in held]
    for turn in range(max(held)):
        # As bytes: not every backend gathers every dtype.
        mine = tensors[min(turn, len(tensors) - 1)].contiguous().view(torch.uint8)
        received = [torch.empty_like(mine) for _ in held] if rank() == 0 else []
        with _talking():
            dist.gather(mine, received or None)
        for worker, part in enumerate(received):
            if turn < held[worker]:
                gathered[worker].append(part.view(dtype).view(shape))
    return [tensor for worker in gathered for tensor in worker] if rank() == 0 else None


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
