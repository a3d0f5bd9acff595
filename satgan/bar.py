"""How far a verb is, as a bar on stderr."""

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

BAR_COLUMNS = 30
SECONDS_BETWEEN = 0.2


class Bar:
    """A progress bar on stderr while it is a terminal; else nothing. It begins anew after the last tile."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._start = self._drawn = time.monotonic()
        self._count = 0

    def __call__(self, count: int, total: int | None) -> None:
        """So many more tiles were looked at, of `total` in all if that is known."""
        self._count += count
        now = time.monotonic()
        if self._shown and (now - self._drawn > SECONDS_BETWEEN or self._count == total):
            self._drawn = now
            print(f"\r\x1b[K{self.text(total, now - self._start)}", end="", file=self._stream, flush=True)
        if self._count == total:
            self._start, self._count = now, 0

    def text(self, total: int | None, seconds: float) -> str:
        """`[#####.....] 12,000 of 24,000 tiles · 9,000 tiles/s`"""
        speed = f"{self._count / max(seconds, 1e-3):,.0f} tiles/s"
        if not total:
            return f"{self._count:,} tiles · {speed}"
        done = BAR_COLUMNS * self._count // total
        return f"[{'#' * done}{'.' * (BAR_COLUMNS - done)}] {self._count:,} of {total:,} tiles · {speed}"

    def close(self) -> None:
        """Clears the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=self._stream, flush=True)


def with_bar(work: Callable[[Bar], Any]) -> Any:
    """What `work` gives, with a bar while it lasts."""
    bar = Bar()
    try:
        return work(bar)
    finally:
        bar.close()
