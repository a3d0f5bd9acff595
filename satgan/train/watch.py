"""Who is told while a run goes on, and who may stop it."""

from collections.abc import Callable
from typing import NamedTuple

from satgan.train.progress import Progress


class Watch(NamedTuple):
    """Two listeners and a wish. Every worker calls `checkpoint` (step, place, numbers) for each one that is whole;
    worker 0 alone calls `progress`, and `stop` between steps: whether to save and stop."""

    progress: Callable[[Progress], None]
    checkpoint: Callable[[int, str, dict[str, float]], None]
    stop: Callable[[], bool] = lambda: False
