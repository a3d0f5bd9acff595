"""Stopping before the end: the first Ctrl-C, SIGTERM or SIGHUP (the terminal is closed) saves and stops, as a spent
budget does, the second does not save."""

import math
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from satgan.errors import Stopped
from satgan.groups import TrainConfig

STDERR = 2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ECHO_SECONDS = 2.5
"""One wish may be told twice: `timeout` signals its child and then the group, a closed terminal's shell and then the
kernel do. What follows the first signal so soon is no second one, but for Ctrl-C, which nobody repeats for the user.
Under Ray a signal may be heard a second late."""

TOLD = "saving, then stopping; once more to stop as soon as what is being written is written …"


def stopped(train: TrainConfig, step: int, checkpoint: str, why: str) -> Stopped:
    """What ends a run that was stopped after `step` steps at the user's word ("stop"), or for its "budget"."""
    found = f"stopped after step {step} of {train.steps}; {checkpoint} is whole"
    if why == "budget":
        spent = f"the budget of {train.budget:g} USD is spent: {found}"
        return Stopped(spent, "with a larger --budget the same command goes on from there")
    return Stopped(found, "the same command goes on from there")


class StopSignals:
    """Listens to SIGNALS for the time of a `with` block, but for those that are ignored, as SIGHUP is under nohup; in
    other threads than the main one to nothing.

    After the first signal `wished` is true; the second raises KeyboardInterrupt in the main thread.

    Args:
        also: who may wish the same.
    """

    def __init__(self, also: Callable[[], bool] = lambda: False) -> None:
        self._also, self._heard_at = also, math.inf
        self._before: dict[signal.Signals, Any] = {}

    @property
    def wished(self) -> bool:
        """Whether to save and stop."""
        return self._heard_at < math.inf or self._also()

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._heard) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        now, was_heard = time.monotonic(), self._heard_at < math.inf
        if was_heard and (number == signal.SIGINT or now > self._heard_at + ECHO_SECONDS):
            raise KeyboardInterrupt
        if was_heard:
            return
        self._heard_at = now
        # Not print: the signal may have come amid a print to the same stream, which cannot be entered twice. And not
        # where the write would wait, at a held terminal or a full pipe: nothing would be saved meanwhile.
        with suppress(OSError):
            if select.select([], [STDERR], [], 0)[1]:
                os.write(STDERR, f"\n{TOLD}\n".encode())
