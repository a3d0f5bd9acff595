"""How far a sweep is: trials pin it on a board, the driver shows a table of its own kind."""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TextIO

import ray
from ray.tune import Stopper

from satgan.train.progress import Progress
from satgan.train.ray_board import repeated
from satgan.train.stop import StopSignals
from tune.trials import shown

ANSWER_SECONDS = 10
ROWS = 12


class Line(NamedTuple):
    """A trial as the board has it.

    seconds   that it has computed, up to when it was asked
    """

    name: str
    values: dict[str, Any]
    running: bool
    progress: Progress | None
    score: tuple[int, float] | None
    seconds: float


class SweepBoard:
    """A small actor on the driver's machine; it knows what the sweep as a whole has cost.

    Args:
        budget: of the sweep; None: no limit [USD].
        paid: by trial, what attempts before this one have cost [USD].
    """

    def __init__(self, budget: float | None = None, paid: Mapping[str, float] | None = None) -> None:
        self._budget, self._paid, self._stop = budget, dict(paid or {}), False
        self._values: dict[str, dict[str, Any]] = {}
        self._progress: dict[str, Progress] = {}
        self._scores: dict[str, tuple[int, float]] = {}
        self._since: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._said: list[str] = []

    def begin(self, name: str, values: dict[str, Any], seed: int) -> None:
        """A trial begins, or is started again."""
        self.end(name)
        self._values[name] = values | {"seed": seed}
        self._since[name] = time.monotonic()

    def end(self, name: str) -> None:
        """A trial's process is through with it."""
        if name in self._since:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - self._since.pop(name)

    def pin(self, name: str, progress: Progress) -> None:
        """A trial has taken steps."""
        self._progress[name] = progress
        was_stopping = self.stopping()
        self._paid[name] = max(self._paid.get(name, 0.0), progress.dollars or 0.0)
        if self.stopping() and not was_stopping:
            self.say(f"the budget of {self._budget:g} USD is spent: trials save and stop, no other begins")

    def score(self, name: str, step: int, score: float) -> None:
        """A checkpoint was judged."""
        self._scores[name] = (step, score)
        progress = self._progress.get(name)
        self._said.append(f"{name} · step {step}/{progress.steps if progress else '?'} · score {score:.2f} (floor 1)")

    def say(self, text: str) -> None:
        """There is a line for the user."""
        self._said.append(text)

    def dollars(self) -> float:
        """What all trials have cost in all their attempts [USD]; 0 where no price is known."""
        return sum(self._paid.values())

    def stop(self) -> None:
        """The user wishes the sweep to stop."""
        self._stop = True

    def stopping(self) -> bool:
        """Whether the user wishes it or the budget is spent: running trials shall save and stop, and no other begin."""
        return self._stop or (self._budget is not None and self.dollars() >= self._budget)

    def is_over(self) -> bool:
        """Whether they have all done so."""
        return self.stopping() and not self._since

    def take(self) -> tuple[list[Line], list[str], float]:
        """All trials in the order in which they began, the lines that were not taken yet, and `dollars`."""
        said, self._said = self._said, []
        now = time.monotonic()
        lines = [
            Line(name, values, name in self._since, self._progress.get(name), self._scores.get(name),
                 self._seconds.get(name, 0.0) + (now - self._since[name] if name in self._since else 0.0))
            for name, values in self._values.items()
        ]  # fmt: skip
        return lines, said, self.dollars()


class WhenSpent(Stopper):
    """Ends Ray Tune's part once the sweep is to stop and the running trials have saved."""

    def __init__(self, board: Any) -> None:
        self._board = board

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial ends by it."""
        return False

    def stop_all(self) -> bool:
        """As Ray Tune asks it all the time."""
        return bool(ray.get(self._board.is_over.remote()))


def open_sweep_board(budget: float | None, paid: Mapping[str, float]) -> Any:
    """A board on the driver's own machine."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(SweepBoard).options(scheduling_strategy=here).remote(budget, dict(paid))


def table_text(lines: list[Line], total: int, at_once: int, unit: tuple[float, str], cost: str = "") -> str:
    """The table: trial, what varies, step, score against the floor, time left; below it the cost so far.

    Args:
        lines: as the board gave them.
        total: trials that there will be.
        at_once: how many run together.
        unit: how many GPUs or cores a trial computes on, and which.
        cost: see `cost_text`.
    """
    head = ("trial", "varies", "step", "score (floor 1)", "left")
    rows = [head, *map(_row, [line for line in lines if line.running][:ROWS])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    listed = ["  ".join(f"{text:<{w}}" for text, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    ended = [line for line in lines if not line.running]
    hours = sum(line.seconds for line in lines) / 3600 * unit[0]
    scores = [line.score[1] for line in lines if line.score]
    best = f" · best so far {min(scores):.2f}" if scores else ""
    left = _left_seconds(lines, total, at_once)
    so_far = f"{hours:.2f} {unit[1]}-hours{cost} so far"
    told = f"{len(ended)} of {total} trials through{best} · {_clock(left)} left · {so_far}"
    return "\n".join([*listed, told])


def cost_text(dollars: float, budget: float | None) -> str:
    """What the whole sweep has cost [USD], as part of a line; empty where no price is known."""
    if not dollars:
        return ""
    return f" · {dollars:.2f} USD" if budget is None else f" · {dollars:.2f} of {budget:g} USD"


def _row(line: Line) -> tuple[str, ...]:
    varies = ", ".join(f"{option.rpartition('.')[2]} {shown(value)}" for option, value in line.values.items())
    step = f"{line.progress.step:,} of {line.progress.steps:,}" if line.progress else "starting"
    score = f"{line.score[1]:.2f} after {line.score[0]:,}" if line.score else ""
    return line.name, varies, step, score, _clock(line.progress.seconds_left) if line.progress else ""


def _left_seconds(lines: list[Line], total: int, at_once: int) -> float | None:
    """By what trials that are through have taken, else by what the running ones will have."""
    running = [line for line in lines if line.running and line.progress]
    whole = [line.seconds for line in lines if not line.running] or [
        line.seconds + line.progress.seconds_left for line in running if line.progress
    ]
    if not whole:
        return None
    waiting = (total - len(lines)) * sum(whole) / len(whole)
    return (waiting + sum(line.progress.seconds_left for line in running if line.progress)) / max(1, at_once)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class TableScreen:
    """The table on stderr: rewritten in place on a terminal; else only lines, of scores and of what went wrong."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._height = 0

    def show(self, table: str, said: list[str]) -> None:
        """Shows both; where nobody reads, the sweep goes on."""
        with suppress(OSError, ValueError):
            on_terminal = self._stream.isatty()
            self._clear()
            for text in said:
                print(text, file=self._stream, flush=True)
            if on_terminal:
                columns = shutil.get_terminal_size().columns - 1
                lines = [line[:columns] for line in table.splitlines()]
                print("\n".join(lines), file=self._stream, flush=True)
                self._height = len(lines)

    def _clear(self) -> None:
        if self._height:
            print(f"\x1b[{self._height}A\x1b[J", end="", file=self._stream)
            self._height = 0


@contextmanager
def watching_sweep(
    board: Any, total: int, at_once: int, unit: tuple[float, str], budget: float | None, signals: StopSignals
) -> Iterator[None]:  # fmt: skip
    """Shows the table until the block ends, and passes the wish to stop on."""
    screen = TableScreen()

    def look() -> None:
        with suppress(ray.exceptions.RayError):
            if signals.wished:
                board.stop.remote()
            lines, said, dollars = ray.get(board.take.remote(), timeout=ANSWER_SECONDS)
            screen.show(table_text(lines, total, at_once, unit, cost_text(dollars, budget)), said)

    try:
        with repeated(look, "table"):
            yield
    finally:
        look()
