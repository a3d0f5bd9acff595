"""What the figures were taken on: commit, versions, processor, and the FLOP/s that it can do at most."""

import datetime
import platform
import time
from pathlib import Path
from typing import NamedTuple

import torch

from satgan.provenance import commit
from satgan.train.device import fast_precision, usable_cores

KNOWN_ROOFS = {"H200": 790e12}
"""Dense bfloat16 FLOP/s by a part of the GPU's name, as large matrix products have reached them."""

MATRIX_SIZES = {"cpu": 2048, "cuda": 8192}
REPETITIONS = 8


class Roof(NamedTuple):
    """FLOP/s that no step can exceed, and where the figure is from."""

    flops_per_second: float
    origin: str


def find_roof(device: torch.device) -> Roof:
    """The known one of a GPU, else the rate of a large matrix product in the machine's fast precision."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for part, flops in KNOWN_ROOFS.items():
            if part in name:
                return Roof(flops, f"{part}, dense bfloat16, as known")
    precision = fast_precision()
    rate = matrix_flops_per_second(device, getattr(torch, precision))
    size = MATRIX_SIZES[device.type]
    origin = f"measured: product of two {size}² matrices in {precision}, best of {REPETITIONS}"
    if precision != "float32":
        plain = matrix_flops_per_second(device, torch.float32)
        origin += f"; in float32 {plain / 1e12:.3g} TFLOP/s"
    return Roof(rate, origin)


def matrix_flops_per_second(device: torch.device, dtype: torch.dtype) -> float:
    """The best rate of a large matrix product."""
    size = MATRIX_SIZES[device.type]
    left, right = (torch.randn((size, size), device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(REPETITIONS + 1):
        start = time.perf_counter()
        product = left @ right
        product[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def describe_machine(device: torch.device) -> dict[str, str]:
    """Date, commit, machine and versions, by the names that the header shows."""
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "machine": f"{processor}, {usable_cores()} usable cores, {torch.get_num_threads()} threads",
        "versions": f"torch {torch.__version__}, Python {platform.python_version()}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
