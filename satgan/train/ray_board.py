"""What the driver, the workers and Ray Train's controller tell each other while a run goes on."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from satgan.errors import SatganError, StoreUnreachable
from satgan.judge.judgement import Judgement
from satgan.train.lease import check_left, clock_seconds
from satgan.train.progress import Progress
from satgan.train.stop import StopSignals
from satgan.train.watch import Entry

POLL_SECONDS = 0.5
ANSWER_SECONDS = 10


class Noticeboard:
    """A small actor that outlives the workers. Worker 0 pins the newest progress, lines for the user and that a
    checkpoint stands, the controller why workers were started anew, the driver that the run is to stop or end."""

    def __init__(self) -> None:
        self._newest: Progress | None = None
        self._restarts: list[Entry] = []
        self._checkpoints = 0
        self._said: list[str] = []
        self._judged: list[tuple[int, Judgement]] = []
        self._stop = False
        self._error: SatganError | None = None
        self._held_until = math.inf
        self._paid, self._per_second, self._billed_at = 0.0, 0.0, time.monotonic()

    def pin(self, progress: Progress) -> None:
        """Worker 0 tells how far it is. A checkpoint's line is not lost behind the next one."""
        if self._newest is None or not self._newest.at_checkpoint or progress.at_checkpoint:
            self._newest = progress

    def note(self, why: str) -> None:
        """The controller will start workers anew."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._restarts.append({"attempt": len(self._restarts) + 2, "why": why, "time": now})
        self.say(f"{why}; starting workers anew, from the last checkpoint")

    def count_checkpoint(self) -> None:
        """Worker 0 tells that one more checkpoint stands."""
        self._checkpoints += 1

    def checkpoints(self) -> int:
        """How many came to stand since the run was launched, in all attempts."""
        return self._checkpoints

    def say(self, text: str) -> None:
        """There is a line for the user."""
        self._said.append(text)

    def judge(self, step: int, judgement: Judgement) -> None:
        """Worker 0 tells how good a checkpoint is."""
        self._judged.append((step, judgement))

    def restarts(self) -> list[Entry]:
        """Why workers were started anew, in order; the first attempt has the number 1."""
        return self._restarts

    def take(self) -> tuple[Progress | None, list[str], list[tuple[int, Judgement]]]:
        """The newest progress, the lines and the judgements that were not taken yet."""
        told = self._newest, self._said, self._judged
        self._newest, self._said, self._judged = None, [], []
        return told

    def stop(self) -> None:
        """The driver wishes the run to save and stop."""
        self._stop = True

    def end(self, error: SatganError) -> None:
        """The run must end at once, without saving."""
        self._error = error

    def vouch(self, seconds: float) -> None:
        """The run is surely the driver's for so long from now."""
        self._held_until = clock_seconds() + seconds

    def bill(self, dollars_per_second: float, told: float) -> float:
        """Workers begin, at that price from now on; what all attempts have cost, where the journal has `told`. While
        workers were missing, their machines were not, as far as is known here."""
        now = time.monotonic()
        self._paid = max(told, self._paid + (now - self._billed_at) * self._per_second)
        self._per_second, self._billed_at = dollars_per_second, now
        return self._paid

    def seconds_left(self) -> float | SatganError:
        """For how long it is, or what it must end for."""
        return self._error or self._held_until - clock_seconds()

    def stopping(self) -> bool | SatganError:
        """Whether the driver wishes the run to stop, or what it must end for."""
        return self._error or self._stop


def open_board() -> Any:
    """A noticeboard on the driver's own machine, so that it is not lost with a worker's."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(Noticeboard).options(scheduling_strategy=here).remote()


def stop_asker(board: Any) -> Callable[[], bool]:
    """Asks the board without waiting for it: an answer is used by a later call."""
    asked: list[Any] = []

    def stop() -> bool:
        if not asked:
            asked.append(board.stopping.remote())
        if not ray.wait(asked, timeout=0)[0]:
            return False
        answer: bool | SatganError = ray.get(asked.pop())
        if isinstance(answer, SatganError):
            raise answer
        return answer

    return stop


def left_asker(board: Any) -> Callable[[], None]:
    """Raises where the run is not surely the driver's, also where that one stands still and did not vouch."""

    def check() -> None:
        asked = clock_seconds()
        try:
            answer: float | SatganError = ray.get(board.seconds_left.remote(), timeout=ANSWER_SECONDS)
        except ray.exceptions.RayError as error:
            raise StoreUnreachable(f"the driver did not answer: {error}", "see whether it still runs") from None
        if isinstance(answer, SatganError):
            raise answer
        check_left(answer - (clock_seconds() - asked))  # the answer may have been on its way for as long

    return check


@contextmanager
def repeated(look: Callable[[], None], name: str) -> Iterator[None]:
    """Calls `look` every POLL_SECONDS, in a thread of that name, until the block ends."""
    ended = threading.Event()

    def keep_looking() -> None:
        while not ended.wait(POLL_SECONDS):
            look()

    watcher = threading.Thread(target=keep_looking, name=name, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


@contextmanager
def watching(
    board: Any, show: Callable[[Progress], None], say: Callable[[str], None], seconds_left: Callable[[], float],
    signals: StopSignals, judged: Callable[[int, Judgement], None] = lambda step, judgement: None,
) -> Iterator[None]:  # fmt: skip
    """Shows the newest progress, says what there is to say and tells what was judged until the block ends, and passes
    the wish to stop, or what `seconds_left` tells or raises, on: in a thread of its own, since a terminal that is held
    (Ctrl-S) or a pipe that nobody reads holds up who writes there, while the workers write nothing without the word."""

    def tell() -> None:
        with suppress(Exception):  # nobody reads what is shown: that is no reason to miss what is to end the run
            _tell_news(board, show, say, judged)

    def pass_on() -> None:
        with suppress(ray.exceptions.RayError):
            _pass_on(board, seconds_left, signals)

    try:
        with repeated(pass_on, "wishes"), repeated(tell, "progress"):
            yield
    finally:
        tell()


def _pass_on(board: Any, seconds_left: Callable[[], float], signals: StopSignals) -> None:
    if signals.wished:
        board.stop.remote()
    try:
        board.vouch.remote(seconds_left())
    except SatganError as error:
        board.end.remote(error)


def _tell_news(
    board: Any, show: Callable[[Progress], None], say: Callable[[str], None], judged: Callable[[int, Judgement], None]
) -> None:
    try:
        progress, said, judgements = ray.get(board.take.remote(), timeout=ANSWER_SECONDS)
    except ray.exceptions.RayError:
        return
    for step, judgement in judgements:
        judged(step, judgement)
    for text in said:
        say(text)
    if progress is not None:
        show(progress)
