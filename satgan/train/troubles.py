"""What fails beside the steps and does not end a run: the user hears of it once, and once more when it has passed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from satgan.errors import SatganError, StoreError


class Troubles:
    """Says each trouble once until it has passed; from any thread.

    Args:
        say: takes a line for the user.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._open: set[str] = set()

    def failed(self, what: str, error: SatganError, remark: str) -> None:
        """Something did not work.

        Args:
            what: names it, as in "the checkpoint was not written".
            error: why.
            remark: what happens now.
        """
        with self._lock:
            is_new = what not in self._open
            self._open.add(what)
        if is_new:
            self._say(f"{what}: {error.found}; {remark}\n  what to do: {error.remedy}")

    def passed(self, what: str) -> None:
        """It works, as ever or again."""
        with self._lock:
            was_open = what in self._open
            self._open.discard(what)
        if was_open:
            self._say(f"over: {what}")

    @contextmanager
    def borne(self, what: str, remark: str) -> Iterator[None]:
        """A block whose StoreError is told and does not end the run."""
        try:
            yield
        except StoreError as error:
            self.failed(what, error, remark)
        else:
            self.passed(what)
