"""A thread that brings one thing after the other to a store which may be away for a while."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future

from satgan.errors import StoreError

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
"""Between attempts: twice as long each time."""

LIMIT_SECONDS = 300.0
"""How long it is tried where nothing stands yet that a run could resume from, and at the end and at a stop, where
somebody waits; else for ever, or until something newer comes."""


class Writer:
    """Does one job at a time in a thread; a job may call `tries`.

    Args:
        thread: one; it ends with the writer.
        stands: whether what an earlier job brought (or an earlier attempt at the run) stands in the store.
        failed: told of every failure after which it is tried again: the error, the number of the attempt.
    """

    def __init__(self, thread: Executor, stands: bool, failed: Callable[[StoreError, int], None]) -> None:
        self._thread, self._stands, self._failed = thread, stands, failed
        self._doing: Future[bool] | None = None
        self._give_way = threading.Event()
        self._pausing = False
        self._failing_since = self._last_call = math.inf

    def begin(self, job: Callable[[], bool]) -> None:
        """Begins a job; the one before has ended, by `make_way`. Its result is that of `make_way` or `finish`."""
        assert self._doing is None
        self._pausing = False
        self._doing = self._thread.submit(job)

    @property
    def is_busy(self) -> bool:
        """Whether `make_way` would have to wait now: a job is under way, and not in a pause between its attempts."""
        return self._doing is not None and not self._doing.done() and not self._pausing

    def make_way(self) -> bool:
        """Waits for the attempt that is under way, and gives the job up if that fails; whether the job was done.

        Raises:
            StoreError: nothing stands, and the limit is over.
        """
        self._give_way.set()
        try:
            return self._ended()
        finally:
            self._give_way.clear()

    def finish(self) -> bool:
        """Waits until the job is done: for `LIMIT_SECONDS`, and the attempt that is under way then.

        Raises:
            StoreError: what the last attempt failed of.
        """
        self._last_call = time.monotonic()
        try:
            return self._ended()
        finally:
            self._last_call = math.inf

    def close(self) -> None:
        """Ends the thread, after the attempt that is under way."""
        self._give_way.set()
        self._thread.shutdown()

    def tries(self, attempt: Callable[[], object]) -> bool:
        """Inside a job: an attempt, again and again after growing pauses; False where the job was given up.

        Raises:
            StoreError: the limit is over.
        """
        pause, count = FIRST_PAUSE_SECONDS, 0
        while True:
            count += 1
            try:
                attempt()
            except StoreError as error:
                self._failing_since = min(self._failing_since, time.monotonic())
                if time.monotonic() >= self._end():
                    raise
                self._failed(error, count)
            else:
                self._stands, self._failing_since = True, math.inf
                return True
            self._pausing = True
            if self._give_way.wait(pause):
                return False
            self._pausing = False
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _ended(self) -> bool:
        doing, self._doing = self._doing, None
        return doing is not None and doing.result()

    def _end(self) -> float:
        """When it is time to give up."""
        since = self._last_call if self._stands else min(self._last_call, self._failing_since)
        return since + LIMIT_SECONDS
