"""What this machine computes with: device, precision, threads; and how a worker's lanes share it."""

import gc
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

from satgan.config import Config
from satgan.doctor.records import Machine
from satgan.gan.graphs import Result
from satgan.gan.lane import Lane

_thread = threading.local()
"""The stream of each thread that works beside the steps."""


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_cores() -> int:
    """Cores that training may use: one is left to the system where there are more than two (S28)."""
    return cores() - 1 if cores() > 2 else cores()


def training_device(deterministic: bool) -> torch.device:
    """The GPU where there is one (S03), else the CPU. The GPU has its number: some of PyTorch's functions refuse one
    without, and another thread would take it for the first one.

    Args:
        deterministic: on the GPU the same bits in every run: no algorithm that adds in another order each time, none
            chosen by a race; else cuDNN tries its algorithms on the first steps and takes the fastest.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, not deterministic
    return torch.device("cuda", torch.cuda.current_device())


def fast_precision() -> Literal["bfloat16", "float32"]:
    """bfloat16 where the hardware multiplies it natively, else float32."""
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"


def decide(config: Config) -> Config:
    """The config with what it leaves to the machine decided, so that a resumed run computes the same way."""
    train = config.train
    precision = fast_precision() if train.precision == "auto" else train.precision
    threads = train.threads_per_lane or max(1, usable_cores() // train.lanes)
    decided = train.model_copy(update={"precision": precision, "threads_per_lane": threads})
    return config.model_copy(update={"train": decided})


def this_machine(config: Config) -> Machine:
    """What the doctor needs to know of the machine that computes here."""
    precision = decide(config).train.precision
    if torch.cuda.is_available():
        return Machine("cuda", usable_cores(), torch.cuda.get_device_properties(0).total_memory, precision)
    return Machine("cpu", usable_cores(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), precision)


def free_memory() -> None:
    """Gives back at once what nobody can reach any more; networks and their lanes refer to each other in circles."""
    gc.collect()
    torch.cuda.empty_cache()  # nothing where CUDA was never used


def gpu_memory_bytes() -> dict[str, int] | None:
    """Of this process's GPU: `used`, by whomever, and `total`; None without one."""
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return {"used": total - free, "total": total}


def moment(device: torch.device) -> "torch.cuda.Event | None":
    """On a GPU an event that is reached when all that the caller has asked for so far is done; elsewhere None."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event


def own_stream(device: torch.device, after: "torch.cuda.Event | None" = None) -> AbstractContextManager[Any]:
    """On a GPU a stream of the calling thread's own, so that the steps do not wait for its work; elsewhere nothing.

    Always the same: PyTorch keeps freed memory for the stream it was taken on, so one per checkpoint would hold some 30
    checkpoints' memory.

    Args:
        device: where the work is.
        after: what on another stream comes before it.
    """
    if device.type != "cuda":
        return nullcontext()
    if not hasattr(_thread, "stream"):
        _thread.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream: torch.cuda.Stream = _thread.stream
    if after is not None:
        stream.wait_event(after)
    return torch.cuda.stream(stream)


class CudaRecorder:
    """CUDA graphs: see satgan/gan/graphs.py."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # Of the priority that no other thread asks for: PyTorch hands out its 32 streams of each priority in turn, over
        # and over, and what another thread does on the stream of a recording would be recorded, or end it.
        self._stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    def warm_up(self, work: Callable[[], object]) -> None:
        """Does the work on the stream on which it will be recorded."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            work()
        here.wait_stream(self._stream)

    def record(self, works: Sequence[Callable[[], Result]]) -> list[Callable[[], Result]]:
        """A graph each, in one pool of memory."""
        pool = torch.cuda.graph_pool_handle()
        # Where a recording fails, torch.cuda.graph does not come back to the caller's stream.
        with torch.cuda.stream(self._stream):
            return [self._recorded(work, pool) for work in works]

    def _recorded(self, work: Callable[[], Result], pool: Any) -> Callable[[], Result]:
        graph = torch.cuda.CUDAGraph()
        # Other threads, which read tiles and judge checkpoints, do not disturb it.
        with torch.cuda.graph(graph, pool, self._stream, capture_error_mode="thread_local"):
            result = work()

        def replay() -> Result:
            graph.replay()
            return result

        return replay


def recorder_on(device: torch.device) -> CudaRecorder | None:
    """What records sections of the step on a GPU; elsewhere nothing: there is no launch to be saved."""
    return CudaRecorder(device) if device.type == "cuda" else None


def computing_pool(count: int, name: str, threads: int | None) -> ThreadPoolExecutor:
    """Threads that each compute with `threads` of PyTorch's, once those are decided.

    Each must say so itself: OpenMP counts per thread, and PyTorch passes its own count on with the first operation
    that it divides. Until then a convolution would be divided among all cores, to other last bits.
    """
    assert threads is not None
    return ThreadPoolExecutor(count, name, initializer=torch.set_num_threads, initargs=(threads,))


def settle_libraries() -> None:
    """Has Intel's vector mathematics (MKL's, by which PyTorch computes tanh) set itself up, which it does at its first
    use: where several threads met there, one of them got a tanh of low accuracy, 5e-5 off, in one of some 2,000
    processes. So a run calls this before it has threads."""
    torch.tanh(torch.zeros(1))


class LaneRunner:
    """Runs a worker's lanes: one after the other on a GPU, several at the same time on the cores of a CPU.

    A lane is always computed by `threads_per_lane` threads, whoever computes it, so its last bits stay the same.

    Args:
        lanes: how many this worker has.
        threads_per_lane: of PyTorch's.
        device: where the networks are.
        workers_here: workers that share this machine's cores.
    """

    def __init__(self, lanes: int, threads_per_lane: int, device: torch.device, workers_here: int) -> None:
        torch.set_num_threads(threads_per_lane)
        settle_libraries()
        together = 1 if device.type == "cuda" else max(1, usable_cores() // (threads_per_lane * workers_here))
        together = min(lanes, together)
        self._pool = computing_pool(together, "lane", threads_per_lane) if together > 1 else None

    def __call__(self, work: Callable[[Lane], None], lanes: Sequence[Lane]) -> None:
        """`work(lane)` for each lane; returns when all are done, raises what the first failing one raised."""
        if self._pool is None:
            for lane in lanes:
                work(lane)
        else:
            list(self._pool.map(work, lanes))

    def close(self) -> None:
        """Ends its threads."""
        if self._pool is not None:
            self._pool.shutdown()
