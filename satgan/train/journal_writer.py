"""The journal while a run goes on: `journal.jsonl` (see `journal.py`), and the same numbers as TensorBoard events."""

import json
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from satgan.config import Config
from satgan.doctor.finding import Finding
from satgan.errors import RunLost, Stopped, StoreError
from satgan.judge.judgement import Judgement
from satgan.tiles.aside import written_aside
from satgan.tiles.folder import folder_errors_told
from satgan.train.checkup import FOUND, OVER, Checkup
from satgan.train.divergence import NotFinite
from satgan.train.events import Events
from satgan.train.journal import JOURNAL_NAME, JUDGED, MOVED, dollars_in, entries_in, events_in, reached_in, step_of
from satgan.train.loggers import Ending, Teller, figures_of
from satgan.train.run_folder import RunFolder
from satgan.train.troubles import Troubles

EVENTS_FOLDER = "tensorboard"
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
        return [entry for entry in events_in(self._path.read_bytes()) if entry["event"] == event]

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


def _kept_until(path: Path, step: int) -> list[dict[str, Any]]:
    """Drops what was computed after `step`, which will be written anew, and lines torn by a kill; returns the rest."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    step = step or -1  # a run that begins anew says so anew
    kept = [line for line in text.splitlines(keepends=True) if step_of(line) <= step or _is_told_once(line)]
    if "".join(kept) != text:
        with written_aside(path) as aside:
            aside.write_text("".join(kept), encoding="utf-8")
    return [json.loads(line) for line in kept]


def _is_told_once(line: str) -> bool:
    """Whether a line tells of what steps that are taken again do not bring back."""
    entry = json.loads(line) if step_of(line) < math.inf else {}
    return "event" in entry and entry["event"] not in DONE_ANEW
