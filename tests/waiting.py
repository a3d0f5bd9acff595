"""Waiting for what other threads and processes do: not for ever, and long enough for a machine that is busy."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 240.0
"""What a worker's start takes beside other tests is the measure: tens of seconds."""


def until(reached: Callable[[], object]) -> None:
    """Waits for something, not for ever."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
