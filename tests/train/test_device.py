"""What a run computes with: the GPU where there is one, all cores but one, as many threads for each lane."""

import ctypes
import os
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from satgan.config import Config
from satgan.gan.pair import Pair
from satgan.train import device
from satgan.train.device import LaneRunner, computing_pool, cores, decide, training_device, usable_cores
from satgan.train.sums import LaneSums
from tests.train.conftest import MakeConfig, run
from tests.train.processes import CONTEXT

PROCESSES = 2000


def test_the_gpu_is_taken_where_there_is_one(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """S03: what CUDA says decides, a run gives its networks the device decided on, and all of them is there."""
    given: list[torch.device] = []

    class Noted(Pair):
        def __init__(self, config: Config, my_lanes: Sequence[int], device: torch.device, *others: Any) -> None:
            given.append(device)
            super().__init__(config, my_lanes, device, *others)

    for name in ("deterministic", "benchmark"):
        monkeypatch.setattr(torch.backends.cudnn, name, False)  # put back afterwards
    for has_gpu, expected in ((True, "cuda"), (False, "cpu")):
        with monkeypatch.context() as patched:
            patched.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
            patched.setattr(torch.cuda, "current_device", lambda: 1)
            taken = training_device(deterministic=True)
            assert taken.type == expected
            # What `torch.cuda.get_per_process_memory_fraction` asks, by which room for tiles is found.
            assert not has_gpu or torch.cuda._utils._get_device_index(taken) == 1
    config, cpu, meta = make_config(train={"steps": 1}), torch.device("cpu:0"), torch.device("meta")
    monkeypatch.setattr("satgan.train.attempt.training_device", lambda deterministic: cpu)
    monkeypatch.setattr("satgan.train.attempt.Pair", Noted)
    run(config)
    assert given == [cpu]
    pair = Pair(config, range(4), meta, LaneSums(4, meta, threads=1), lambda work, lanes: None)
    networks = [pair.generator.network, pair.discriminator.network]
    networks += [network for lane in pair.lanes for network in (lane.generator, lane.discriminator)]
    tensors = [*(tensor for network in networks for tensor in network.state_dict().values()), pair.average]
    assert {tensor.device for tensor in tensors} == {meta}


def test_a_core_is_left_to_the_system_where_there_are_more_than_two(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S28: and the lanes divide the rest among them."""
    config = make_config(train={"threads_per_lane": None, "lanes": 2})
    found = {}
    for count in (1, 2, 3, 4, 16):
        monkeypatch.setattr(device, "cores", lambda count=count: count)
        found[count] = usable_cores(), decide(config).train.threads_per_lane
    assert found == {1: (1, 1), 2: (2, 1), 3: (2, 1), 4: (3, 1), 16: (15, 7)}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds a process to cores")
def test_cores_are_those_that_the_process_may_run_on() -> None:
    """S28."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert (cores(), usable_cores()) == (1, 1)
    finally:
        os.sched_setaffinity(0, before)
    assert cores() == len(before)


def _openmp() -> ctypes.CDLL:
    """The OpenMP library that PyTorch has loaded."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    paths = {line.split()[-1] for line in lines if "libgomp" in line or "libiomp" in line}
    found = [path for path in paths if "torch" in path]  # other packages bring others
    if not found:
        pytest.skip("PyTorch's OpenMP library was not found")
    return ctypes.CDLL(found[0])


def test_a_new_thread_computes_with_the_threads_of_a_lane_from_its_first_operation_on() -> None:
    """3 are the default of no machine of the tests. PyTorch is not asked: asking would set them."""
    before, openmp = torch.get_num_threads(), _openmp()
    try:
        with computing_pool(2, "test", 3) as pool:
            both = threading.Barrier(2)
            counts = list(pool.map(lambda _: both.wait() * 0 + openmp.omp_get_max_threads(), range(2)))
        assert counts == [3, 3]
    finally:
        torch.set_num_threads(before)


def test_lanes_run_in_such_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    before, openmp = torch.get_num_threads(), _openmp()
    monkeypatch.setattr("satgan.train.device.usable_cores", lambda: 6)
    runner = LaneRunner(2, 3, torch.device("cpu"), 1)
    counts: list[int] = []
    both = threading.Barrier(2)
    try:
        runner(lambda lane: counts.append(both.wait() * 0 + openmp.omp_get_max_threads()), [None, None])  # type: ignore[list-item]
        assert counts == [3, 3]
    finally:
        runner.close()
        torch.set_num_threads(before)


def _first_tanh(sent: Any) -> None:
    """What four lanes of a fresh process get of the first tanh that they meet, at the same moment."""
    device.usable_cores = lambda: 4
    runner, same = LaneRunner(4, 1, torch.device("cpu"), 1), threading.Barrier(4)
    numbers = torch.linspace(-4, 4, 3072)
    got: list[bytes] = []

    def work(lane: object) -> None:
        same.wait()
        got.append(torch.tanh(numbers).numpy().tobytes())

    runner(work, [None] * 4)  # type: ignore[list-item]
    sent.put(set(got))


@pytest.mark.soak
def test_the_first_tanh_of_a_process_is_as_good_as_the_others() -> None:
    """Where four threads met MKL's first use, one of some 2,000 processes had a tanh that was 5e-5 off."""
    results = CONTEXT.Queue()
    found: set[bytes] = set()
    for _ in range(PROCESSES // 2):
        both = [CONTEXT.Process(target=_first_tanh, args=[results]) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            found |= results.get(timeout=60)
            process.join()
    assert len(found) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_nobody_else_works_on_the_stream_of_a_recording() -> None:
    """PyTorch hands out its streams again and again: those of a sweep's runs soon come round."""
    recorder, others = device.CudaRecorder(torch.device("cuda")), set[int]()

    def work() -> None:
        with device.own_stream(torch.device("cuda")):
            others.add(torch.cuda.current_stream().cuda_stream)

    for _ in range(100):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(others) > 1
    assert recorder._stream.cuda_stream not in others


def test_a_thread_keeps_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the memory of each checkpoint would be kept for a stream that does not come back for the next 31."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: object())
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)

    def streams(_: int) -> set[Any]:
        found = set()
        for _ in range(3):
            with device.own_stream(torch.device("cuda")) as stream:
                found.add(stream)
        return found

    with computing_pool(1, "checkpoint", 1) as one, computing_pool(1, "judge", 1) as other:
        writers, judges = one.submit(streams, 0).result(), other.submit(streams, 0).result()
    assert (len(writers), len(judges)) == (1, 1)
    assert writers != judges
