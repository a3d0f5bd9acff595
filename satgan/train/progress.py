"""How far a run is, and the line that shows it."""

import shutil
import sys
from contextlib import suppress
from typing import NamedTuple, TextIO


class Progress(NamedTuple):
    """A moment of a run; losses are those before the last update, the score is the judge's newest, dollars are USD that
    all attempts have cost, where prices are known."""

    step: int
    steps: int
    real_loss: float
    fake_loss: float
    generator_loss: float
    path_a_share: float
    tiles_per_second: float
    seconds_left: float
    at_checkpoint: bool = False
    score: float | None = None
    dollars: float | None = None

    def text(self) -> str:
        """`step 120/2400 · 3:12 left · D real 0.61 fake 0.58 · G 0.90 · 812 tiles/s · path A 43% · score 7.1`; cost"""
        minutes, seconds = divmod(round(self.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        score = "" if self.score is None else f" · score {self.score:.1f}"
        cost = "" if self.dollars is None else f" · {self.dollars:.2f} USD"
        left = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
        return (
            f"step {self.step}/{self.steps} · {left} left · D real {self.real_loss:.2f} fake {self.fake_loss:.2f} · "
            f"G {self.generator_loss:.2f} · {self.tiles_per_second:,.0f} tiles/s · "
            f"path A {self.path_a_share:.0%}{score}{cost}"
        )


class ProgressLine:
    """Shows progress on stderr: one line that is rewritten on a terminal, else a line per checkpoint.

    Where nobody reads it any more nothing is shown, and the run goes on.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._open = False

    def __call__(self, progress: Progress) -> None:
        """Shows it."""
        with suppress(OSError, ValueError):
            self._show(progress)

    def _show(self, progress: Progress) -> None:
        if self._stream.isatty():
            columns = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{progress.text()[:columns]}", end="", file=self._stream, flush=True)
            self._open = True
        elif progress.at_checkpoint:
            print(progress.text(), file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """A line of its own, above the progress."""
        with suppress(OSError, ValueError):
            if self._open:
                print("\r\x1b[K", end="", file=self._stream)
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Ends the line."""
        if self._open:
            self._open = False
            with suppress(OSError, ValueError):
                print(file=self._stream, flush=True)
