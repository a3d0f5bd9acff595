"""How long an attempt at a run has taken, how fast it is, and how long it will still take."""

import os
import time
from pathlib import Path

import torch

STATM = Path("/proc/self/statm")

SPEED_STEPS = 100
"""Steps over which tiles per second are averaged."""


class Clock:
    """Time of an attempt: since its start, and over the last steps."""

    def __init__(self, start_step: int, steps: int, tiles_per_step: int) -> None:
        self._start_step, self._step, self._steps, self._tiles_per_step = start_step, start_step, steps, tiles_per_step
        self._start = time.monotonic()
        self._end: float | None = None
        self._marks: list[tuple[int, float]] = [(start_step, self._start)]

    def tick(self, step: int) -> None:
        """A step has ended."""
        self._step = step
        self._marks = [*self._marks[-SPEED_STEPS:], (step, time.monotonic())]

    def seconds(self) -> float:
        """Since the attempt started, until its end."""
        return (self._end or time.monotonic()) - self._start

    def stop(self) -> None:
        """The attempt's steps are taken and kept; what follows is not training."""
        self._end = time.monotonic()

    def tiles(self) -> int:
        """Real tiles taken in this attempt."""
        return (self._step - self._start_step) * self._tiles_per_step

    def tiles_per_second(self) -> float:
        """Over the last steps."""
        (first, then), (last, now) = self._marks[0], self._marks[-1]
        return (last - first) * self._tiles_per_step / max(now - then, 1e-9)

    def seconds_left(self) -> float:
        """At the speed of the last steps."""
        return (self._steps - self._step) * self._tiles_per_step / max(self.tiles_per_second(), 1e-9)

    def timing(self, waited_seconds: float) -> dict[str, float]:
        """For the journal."""
        seconds = self.seconds()
        return {
            "seconds": seconds,
            "tiles_per_second": self.tiles_per_second(),
            "waited_share": waited_seconds / max(seconds, 1e-9),
            **memory(),
        }


def memory() -> dict[str, float]:
    """What this process holds now, where that can be told: resident memory, and the GPU's [MB]."""
    held = {}
    if STATM.exists():
        held["resident_megabytes"] = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    if torch.cuda.is_available():
        held["gpu_megabytes"] = torch.cuda.memory_allocated() / 1e6
    return held
