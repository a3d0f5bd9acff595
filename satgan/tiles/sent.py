"""Bodies on their way to a bucket."""

import time
from collections.abc import Callable
from typing import BinaryIO

ASK_SECONDS = 1.0
"""So often, and not with each piece: the answer may come from another machine."""


class Sent:
    """A file whose pieces are sent while `check` does not object: a body that ends too early makes no object.

    Args:
        file: open for reading.
        check: asked just now, and again every ASK_SECONDS; what it raises ends the sending.
    """

    def __init__(self, file: BinaryIO, check: Callable[[], None]) -> None:
        self._file, self._check, self._asked = file, check, time.monotonic()

    def read(self, size: int = -1) -> bytes:
        """The next piece."""
        if time.monotonic() >= self._asked + ASK_SECONDS:
            self._check()
            self._asked = time.monotonic()
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of the file."""
        return self._file.tell()
