"""Which worker this is, and what workers tell each other. Without a process group: worker 0 of 1 (law 3).

The only user of torch.distributed. A process group, where there is one, was made by the launcher (Ray Train).
"""

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


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
    dist.all_to_all_single(
        incoming, outgoing.view(-1), [count * slice_size for count in held], [len(messages) * slice_size] * workers
    )
    by_worker = [part.view(-1, slice_size) for part in torch.split(incoming, [count * slice_size for count in held])]
    summed = _sum_in_order([by_worker[lane % workers][lane // workers] for lane in range(lanes)])
    total = outgoing.new_empty(slice_size * workers)
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
        dist.gather(mine, received)
        gathered += [part.view(dtype).view(shape) for part in received or []]
    return gathered[:lanes] if rank() == 0 else None


def from_first(text: str) -> str:
    """What worker 0 says, on every worker."""
    if world_size() == 1:
        return text
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
        dist.barrier()


def _sum_in_order(parts: Sequence[Tensor]) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized()
