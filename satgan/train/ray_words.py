"""What workers print, log and warn of comes to the user, with who said it: worker and machine.

Ray Train passes what `print` is given in a worker on to the root logger. Of other loggers warnings and worse count.
What libraries write by themselves, beneath Python, stays in Ray's logs of the worker.
"""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST_LINES, PER_SECONDS = 200, 60.0
"""A worker that prints in each step would hold the others up."""
STAYS = "… more of the same minute stays in Ray's logs of this worker"


class Words(logging.Handler):
    """Passes what is logged on, line by line.

    Args:
        who: put before each line.
        say: takes a line.
    """

    def __init__(self, who: str, say: Callable[[str], None]) -> None:
        super().__init__()
        self._who, self._say = who, say
        self._since, self._lines = time.monotonic(), 0

    def emit(self, record: logging.LogRecord) -> None:
        """Passes it on, if it is the user's or a warning."""
        if record.name != logging.root.name and record.levelno < logging.WARNING:
            return
        try:
            for line in self.format(record).splitlines():
                self._pass_on(line)
        except Exception:
            self.handleError(record)

    def _pass_on(self, line: str) -> None:
        if time.monotonic() - self._since > PER_SECONDS:
            self._since, self._lines = time.monotonic(), 0
        self._lines += 1
        if self._lines <= MOST_LINES + 1:
            self._say(f"{self._who} {line if self._lines <= MOST_LINES else STAYS}")


@contextmanager
def words_told(who: str, say: Callable[[str], None]) -> Iterator[None]:
    """Says what this process logs until the block ends; Python's warnings count."""
    handler = Words(who, say)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # what torch will deprecate is not the user's concern
        logging.captureWarnings(True)
        logging.root.addHandler(handler)
        try:
            yield
        finally:
            logging.root.removeHandler(handler)
            logging.captureWarnings(False)
