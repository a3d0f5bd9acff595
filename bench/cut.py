"""How fast a raster is cut, beside rasterio that reads the same windows and does no more: `scripts/bench cut RASTER`.

Both run in turn, each in a process of its own, after one run each that is not counted (it fills the system's file
cache). rasterio reads window by window, row by row, with a block cache as large as ours. CPU seconds are those of the
whole process, and so is the memory. The table goes to stdout, progress to stderr.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

SIZE, ROUNDS = 64, 5
BLOCK_CACHE_BYTES = 64 * 2**20
LEAST_RATIO = 0.7
MOST_BYTES = 400e6


class Run(NamedTuple):
    """A process that ended: seconds from start to end, CPU seconds, and the most memory that it held [bytes].

    reading_seconds  what the process itself measured, imports left out; 0 where it says nothing
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    reading_seconds: float = 0.0


def main(words: Sequence[str] | None = None) -> int:
    """Exit status 0, or that of a process that failed."""
    parser = argparse.ArgumentParser(prog="scripts/bench cut", description=__doc__)
    parser.add_argument("raster", type=Path, help="a large one, on a local disk")
    parser.add_argument("--size", type=int, default=SIZE, help=f"of tiles and windows [pixels] (default: {SIZE})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of which the median is told (default: {ROUNDS})")
    parser.add_argument("--alone", action="store_true", help="only read the windows in this process, and say how long")
    given = parser.parse_args(words)
    if given.alone:
        print(read_windows(given.raster, given.size))
        return 0
    try:
        ours, alone = measure(given.raster, given.size, given.rounds)
    except subprocess.CalledProcessError as error:
        return error.returncode
    import torch

    from bench.machine import describe_machine  # not above: the process that only reads shall load nothing else

    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"- {name}: {value}")
    print(f"- raster: {given.raster.name}, windows of {given.size} × {given.size} pixels, median of {given.rounds}\n")
    print(markdown(ours, alone))
    return 0


def read_windows(raster: Path, size: int) -> float:
    """Seconds that rasterio takes to open a raster and read every whole window of it, row by row."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.windows import Window

    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    start = time.perf_counter()
    with rasterio.Env(GDAL_CACHEMAX=BLOCK_CACHE_BYTES), rasterio.open(raster) as dataset:
        for row in range(0, dataset.height - size + 1, size):
            for column in range(0, dataset.width - size + 1, size):
                dataset.read(window=Window(column, row, size, size))
    return time.perf_counter() - start


def measure(raster: Path, size: int, rounds: int) -> tuple[list[Run], list[Run]]:
    """Our cuts and rasterio's readings, in pairs."""
    ours: list[Run] = []
    alone: list[Run] = []
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory(prefix="satgan-bench-") as folder:
            cut = ["-m", "satgan", "tiles", "cut", str(raster), f"{folder}/set", "--size", str(size)]
            ours.append(timed(cut))
        alone.append(timed(["-m", "bench.cut", str(raster), "--size", str(size), "--alone"]))
        told = "warm-up" if not number else f"round {number}"
        print(f"{told}: cut {ours[-1].wall_seconds:.2f} s, rasterio {alone[-1].wall_seconds:.2f} s", file=sys.stderr)
    return ours[1:], alone[1:]


def timed(arguments: Sequence[str]) -> Run:
    """Runs a module of ours in a new process.

    Raises:
        CalledProcessError: it failed; what it said went to stderr.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, *arguments], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall_seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        output.seek(0)
        text = output.read() if "--alone" in arguments else "0"
    return Run(wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, float(text))


def markdown(ours: Sequence[Run], alone: Sequence[Run]) -> str:
    """The table; ratios are medians over the pairs, the peak of memory is that of the largest run."""
    ratio = median(other.reading_seconds / run.wall_seconds for run, other in zip(ours, alone, strict=True))
    whole = median(other.wall_seconds / run.wall_seconds for run, other in zip(ours, alone, strict=True))
    peak_bytes = max(run.peak_bytes for run in ours)
    lines = [
        ("", "wall, s", "CPU, s", "peak memory, MB"),
        ("---",) * 4,
        ("`satgan tiles cut`, all of it", *_figures(ours)),
        ("rasterio alone, all of it", *_figures(alone)),
        ("rasterio alone, only reading", f"{median(run.reading_seconds for run in alone):.2f}", "", ""),
    ]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    reached, small = ("reached" if held else "missed" for held in (ratio >= LEAST_RATIO, peak_bytes < MOST_BYTES))
    return (
        f"{table}\n\n- all of our cut at {ratio:.0%} of the speed of rasterio's reading (goal {LEAST_RATIO:.0%}): "
        f"{reached}; at {whole:.0%} of that of its whole process\n"
        f"- memory below {MOST_BYTES / 1e6:.0f} MB: {small}"
    )


def _figures(runs: Sequence[Run]) -> tuple[str, str, str]:
    return (
        f"{median(run.wall_seconds for run in runs):.2f}",
        f"{median(run.cpu_seconds for run in runs):.2f}",
        f"{max(run.peak_bytes for run in runs) / 1e6:.0f}",
    )


if __name__ == "__main__":
    sys.exit(main())
