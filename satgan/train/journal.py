"""What a run writes down: journal.jsonl, one JSON object per line, and the same numbers as TensorBoard events.

{"step": 20, "numbers": {…}, "timing": {…}}     at log steps; `numbers` follow from config and seed alone
{"step": 0, "event": "start", …}                start, resume, checkpoint, stop, end
                                                start and resume have `undone_steps`: what the attempt before this one
                                                had logged beyond `step`, as far as its journal came to the store;
                                                those steps are taken again
                                                where prices are known `timing`, stop and end have `dollars`: the cost
                                                of all attempts so far (satgan/train/cost.py)
{"step": 0, "event": "failed", "found": …}      what ended the attempt; also the driver's word, where no worker noted it
{"step": 500, "event": "corrupt_checkpoint", "corrupt_step": 1000, "found": …, "aside": …}     on resume
{"step": 500, "event": "checkpoint_failed", "found": …, "remedy": …, "stands": 0}              it is tried again
{"step": 1000, "event": "checkpoint_whole"}     the first one after such failures
{"step": 1500, "event": "left_out", "under_way": 1000}   it was due, but the one before was still on its way
{"step": 1000, "event": "held_up", "seconds": 35.6}      steps stood still for the checkpoint before: the store is slow
{"step": 700, "event": "diverged", "found": "real_loss_before = nan", "attempt": 0}
{"step": 500, "event": "rollback", "attempt": 1, "diverged_step": 700, "found": …}       satgan/train/divergence.py
{"step": 1, "event": "not_recorded", "why": …}  a GPU computes the steps directly: its graphs failed (gan/graphs.py)
{"step": 500, "event": "fork", "parent": …, "parent_step": 500}                            satgan/train/fork.py
{"step": 400, "event": "restart", "attempt": 2, "why": …, "time": …}           workers were started anew, from here
{"step": 412, "event": "preemption", "workers": [1], "nodes": […], "deadline": …}  a machine goes; a checkpoint follows
{"step": 400, "event": "judged", "score": 3.1, "scores": {"spectrum": {"value": …, "floor": …, "ratio": …}, …}}
{"step": 400, "event": "unjudged", "why": …}    the judge failed; it is tried again at the next checkpoint
{"step": 400, "event": "alarm", "kind": "worse", "since_step": 300, …}         satgan/judge/alarms.py
{"step": 400, "event": "balance", "network": "generator", "rate_before": …, "rate": …, "why": …}     recipe.auto_balance
{"step": 500, "event": "finding", "rule": "S36", "level": "error", "figure": …, "since_step": 340, …}  of the doctor
{"step": 900, "event": "finding_over", "rule": "S36"}                          it holds no more

An attempt drops what follows from the steps that it takes again (DONE_ANEW). What befell the attempts before it stays
where it is, at steps that were undone.

The names of the losses are explained in satgan/gan/losses.py, those of what was observed in satgan/gan/observe.py.
"""

import json
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from satgan.config import Config
from satgan.doctor.finding import Finding
from satgan.doctor.records import BEGINNINGS, newest_attempt
from satgan.errors import RunLost, Stopped, StoreError
from satgan.judge.judgement import Judgement
from satgan.tiles.aside import written_aside
from satgan.tiles.folder import folder_errors_told
from satgan.train.checkup import FOUND, OVER, Checkup
from satgan.train.divergence import NotFinite
from satgan.train.events import Events
from satgan.train.loggers import Ending, Teller, figures_of
from satgan.train.run_folder import RunFolder
from satgan.train.troubles import Troubles

JOURNAL_NAME = "journal.jsonl"
EVENTS_FOLDER = "tensorboard"
JUDGED = "judged"
CORRUPT = "corrupt_checkpoint"
MOVED = "balance"
NOT_WRITTEN = "the journal was not written"
DONE_ANEW = ("inputs", "checkpoint", JUDGED, "unjudged", "alarm", MOVED, FOUND, OVER, "not_recorded", "end")
"""Events that follow from the steps before them, as all numbers do: they come again where steps are taken again."""


class Journal:
    """The journal of one attempt at a run; what earlier attempts computed after `start_step` is dropped.

    Args:
        folder: the run's.
        start_step: steps that the attempt starts from.
        troubles: told when it cannot be written; what is noted then waits in memory, and the run goes on.
        checkup: hears all that is noted, and what was before.
        config: the run's; its loggers (satgan/train/loggers.py) are told at checkpoints.
    """

    def __init__(
        self, folder: RunFolder, start_step: int, troubles: Troubles, checkup: Checkup, config: Config
    ) -> None:
        self._folder, self._troubles, self._checkup = folder, troubles, checkup
        self._lock, self._unwritten, self._step = threading.RLock(), bytearray(), start_step
        self._path = path = folder.fetch(JOURNAL_NAME)
        folder.check_local()
        with folder_errors_told("write the journal", str(path)):
            self.dollars = dollars_in(path.read_bytes()) if path.exists() else 0.0
            """What attempts before this one have cost, what is dropped now included."""
            reached = reached_in(entries_in(path.read_bytes())) if path.exists() else 0
            self.undone_steps = max(0, reached - start_step)
            """Steps that the attempt before this one has noted, and that are taken again."""
            for entry in _kept_until(path, start_step):
                checkup.hear(entry)
            self._file = path.open("ab", buffering=0)
        self._events = Events(folder.local / EVENTS_FOLDER, start_step)
        self._tellers = [
            Teller(name, config, folder, lambda: entries_in(path.read_bytes()), troubles)
            for name in config.train.loggers
        ]

    def numbers(self, step: int, numbers: dict[str, float], timing: dict[str, float]) -> None:
        """Notes a log step."""
        entry = {"step": step, "numbers": numbers, "timing": timing}
        self._write(entry)
        self._show(entry)

    def judged(self, step: int, judgement: Judgement) -> None:
        """Notes how good the tiles of the checkpoint after `step` steps are."""
        told = judgement.as_dict()
        self.event(step, JUDGED, **told)
        self._show({"step": step, "event": JUDGED, **told})

    def events(self, event: str) -> list[dict[str, Any]]:
        """The entries of one kind so far."""
        return _events(self._path, event)

    def event(self, step: int, event: str, **about: Any) -> None:
        """Notes that something happened."""
        self._write({"step": step, "event": event, **about})

    def examine(self, step: int) -> list[Finding]:
        """Asks the doctor and notes what is new; returns that."""
        new, over = self._checkup.news()
        for finding in new:
            self.event(step, FOUND, **finding.as_dict())
        for rule in over:
            self.event(step, OVER, rule=rule)
        return new

    def stands(self, step: int) -> None:
        """What was noted until there will not be undone: loggers are told."""
        for teller in self._tellers:
            teller.stands(step)

    def publish(self) -> None:
        """Brings what was noted to the run's folder.

        Raises:
            StoreError: not all of it came there.
        """
        with self._lock:
            self._flush()
        self._folder.publish(JOURNAL_NAME)
        for path in sorted((self._folder.local / EVENTS_FOLDER).iterdir()):
            self._folder.publish(f"{EVENTS_FOLDER}/{path.name}")

    def hand_in(self) -> None:
        """`publish`, where nobody will try again.

        Raises:
            RunLost: the journal is another's.
        """
        with self._troubles.borne(NOT_WRITTEN, "its last lines may be lost"):
            self.publish()

    def _write(self, entry: dict[str, Any]) -> None:
        with self._lock, self._troubles.borne(NOT_WRITTEN, "its lines wait in memory"):
            self._step = entry["step"]
            self._checkup.hear(entry)
            self._unwritten += json.dumps(entry).encode() + b"\n"
            self._flush()

    def _flush(self) -> None:
        """Writes what waits; what a full disk took of it is not written twice."""
        if self._unwritten:
            self._folder.check_local()
        with folder_errors_told("write the journal", str(self._path)):
            while self._unwritten:
                del self._unwritten[: self._file.write(self._unwritten)]

    def _show(self, entry: dict[str, Any]) -> None:
        with self._troubles.borne("TensorBoard's events were not written", "the run goes on"):
            self._events.add(entry["step"], figures_of(entry))

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A lost run's journal is another's; whoever says Ctrl-C twice does not want to wait; that a number was not
        # finite is noted already.
        if isinstance(error, Exception) and not isinstance(error, Stopped | RunLost | NotFinite):
            with suppress(RunLost):
                self.event(self._step, "failed", found=getattr(error, "found", f"{type(error).__name__}: {error}"))
                if not isinstance(error, StoreError):  # whose waiting was long enough
                    self.hand_in()
        with self._troubles.borne("TensorBoard's events were not written", "the run has ended"):
            self._events.close()
        if ending := _ending(error):
            for teller in self._tellers:
                teller.close(ending)
        self._file.close()


def _ending(error: BaseException | None) -> Ending | None:
    """How an attempt ended, for loggers; None where they are not to be waited for."""
    if error is None or isinstance(error, Stopped):
        return "stopped" if error else "finished"
    return "failed" if isinstance(error, Exception) and not isinstance(error, RunLost) else None


def tell_complete(config: Config, folder: RunFolder, step: int, say: Callable[[str], None]) -> None:
    """Tells a config's loggers what they lack of a run that is complete after `step` steps."""
    for name in config.train.loggers:
        read = partial(_entries_of, folder)
        teller = Teller(name, config, folder, read, Troubles(say))
        teller.stands(step)
        teller.close("finished")


def _entries_of(folder: RunFolder) -> list[dict[str, Any]]:
    return entries_in(folder.store.read(JOURNAL_NAME))


def has_ended(folder: RunFolder, step: int) -> bool:
    """Whether the run came to its end after `step` steps: a kill between its last checkpoint and its end leaves the
    film to be made and the checkpoint to be judged."""
    path = folder.fetch(JOURNAL_NAME)
    return path.exists() and step in {entry["step"] for entry in _events(path, "end")}


def entries_in(raw: bytes) -> list[dict[str, Any]]:
    """The entries of a journal, in order; what is no whole line is passed over."""
    lines = raw.decode(errors="replace").splitlines(keepends=True)
    return [json.loads(line) for line in lines if _step_of(line) < math.inf]


def events_in(raw: bytes) -> list[dict[str, Any]]:
    """The events of a journal, in order."""
    return [entry for entry in entries_in(raw) if "event" in entry]


def judged_alike(judged: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of judgements those by as many tiles as the newest one: scores by different numbers do not compare."""
    return [entry for entry in judged if entry.get("tiles") == judged[-1].get("tiles")]


def dollars_in(raw: bytes) -> float:
    """What a journal says that the run has cost; 0 where it says nothing."""
    return dollars_of(entries_in(raw))


def dollars_of(entries: Iterable[dict[str, Any]]) -> float:
    """The same of its entries: each tells what all attempts until then have cost."""
    return max((float(entry.get("timing", entry).get("dollars", 0.0)) for entry in entries), default=0.0)


def reached_in(entries: Sequence[dict[str, Any]]) -> int:
    """How far the newest attempt came, as its journal tells."""
    return max((int(entry["step"]) for entry in newest_attempt(entries)), default=0)


def seconds_in(entries: Iterable[dict[str, Any]]) -> float:
    """Seconds of all attempts: each begins to count anew."""
    whole = attempt = 0.0
    for entry in entries:
        if entry.get("event") in BEGINNINGS:
            whole, attempt = whole + attempt, 0.0
        attempt = float(entry.get("timing", entry if entry.get("event") == "end" else {}).get("seconds", attempt))
    return whole + attempt


def _events(path: Path, event: str) -> list[dict[str, Any]]:
    return [entry for entry in events_in(path.read_bytes()) if entry["event"] == event]


def _kept_until(path: Path, step: int) -> list[dict[str, Any]]:
    """Drops what was computed after `step`, which will be written anew, and lines torn by a kill; returns the rest."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    step = step or -1  # a run that begins anew says so anew
    kept = [line for line in text.splitlines(keepends=True) if _step_of(line) <= step or _is_told_once(line)]
    if "".join(kept) != text:
        with written_aside(path) as aside:
            aside.write_text("".join(kept), encoding="utf-8")
    return [json.loads(line) for line in kept]


def _is_told_once(line: str) -> bool:
    """Whether a line tells of what steps that are taken again do not bring back."""
    entry = json.loads(line) if _step_of(line) < math.inf else {}
    return "event" in entry and entry["event"] not in DONE_ANEW


def _step_of(line: str) -> float:
    """The step of an entry; infinite for what is not a whole one."""
    try:
        return float(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf
