"""How many threads compute a lane does not depend on which thread computes it."""

import ctypes
import threading
from pathlib import Path

import pytest
import torch

from satgan.train.device import FIRST_CALLS, LaneRunner, computing_pool


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
    names: set[str] = set()
    both = threading.Barrier(2)
    try:
        for _ in range(FIRST_CALLS):
            runner(lambda lane: names.add(threading.current_thread().name), [None, None])  # type: ignore[list-item]
        assert names == {threading.current_thread().name}  # the first calls, one after the other
        runner(lambda lane: counts.append(both.wait() * 0 + openmp.omp_get_max_threads()), [None, None])  # type: ignore[list-item]
        assert counts == [3, 3]
    finally:
        runner.close()
        torch.set_num_threads(before)
