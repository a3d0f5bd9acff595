"""Who is told while a run goes on, and who may stop it."""

import sys
from collections.abc import Callable
from typing import NamedTuple

from satgan.train.progress import Progress


def say_on_stderr(text: str) -> None:
    """A line for the user."""
    print(text, file=sys.stderr, flush=True)


class Watch(NamedTuple):
    """Three listeners and a wish. Every worker calls `checkpoint` (step, place, numbers) for each one that is whole;
    worker 0 alone calls `progress`, `stop` between steps: whether to save and stop, and `say`, from any thread, with a
    line for the user about something that went wrong and did not end the run."""

    progress: Callable[[Progress], None]
    checkpoint: Callable[[int, str, dict[str, float]], None]
    stop: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = say_on_stderr
