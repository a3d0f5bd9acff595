"""How far a run is, and the line that shows it."""

import sys
from typing import NamedTuple, TextIO


class Progress(NamedTuple):
    """A moment of a run; losses are those before the last update."""

    step: int
    steps: int
    real_loss: float
    fake_loss: float
    generator_loss: float
    path_a_share: float
    tiles_per_second: float
    seconds_left: float
    at_checkpoint: bool = False

    def text(self) -> str:
        """`step 120/2400 · D real 0.61 fake 0.58 · G 0.90 · path A 43 % · 812 tiles/s · 3:12 left`"""
        minutes, seconds = divmod(round(self.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        left = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
        return (
            f"step {self.step}/{self.steps} · D real {self.real_loss:.2f} fake {self.fake_loss:.2f} · "
            f"G {self.generator_loss:.2f} · path A {self.path_a_share:.0%} · {self.tiles_per_second:,.0f} tiles/s · "
            f"{left} left"
        )


class ProgressLine:
    """Shows progress on stderr: one line that is rewritten on a terminal, else a line per checkpoint."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._open = False

    def __call__(self, progress: Progress) -> None:
        """Shows it."""
        if self._stream.isatty():
            print(f"\r\x1b[K{progress.text()}", end="", file=self._stream, flush=True)
            self._open = True
        elif progress.at_checkpoint:
            print(progress.text(), file=self._stream, flush=True)

    def close(self) -> None:
        """Ends the line."""
        if self._open:
            print(file=self._stream, flush=True)
            self._open = False
