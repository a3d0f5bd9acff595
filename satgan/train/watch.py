"""Who is told while a run goes on."""

from collections.abc import Callable
from typing import NamedTuple

from satgan.train.progress import Progress


class Watch(NamedTuple):
    """Two listeners. Every worker calls `checkpoint` (step, place, numbers) for each one that is whole; worker 0 alone
    calls `progress`."""

    progress: Callable[[Progress], None]
    checkpoint: Callable[[int, str, dict[str, float]], None]
