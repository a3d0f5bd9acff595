"""What a run writes down: journal.jsonl, one JSON object per line, and the same numbers as TensorBoard events.

{"step": 20, "numbers": {…}, "timing": {…}}     at log steps; `numbers` follow from config and seed alone
{"step": 0, "event": "start", …}                start, resume, checkpoint, end

The names of the losses are explained in satgan/gan/losses.py.
"""

import json
from types import TracebackType
from typing import Any

from satgan.tiles.folder import folder_errors_told
from satgan.train.run_folder import RunFolder

JOURNAL_NAME = "journal.jsonl"
EVENTS_FOLDER = "tensorboard"


class Journal:
    """The journal of one attempt at a run; what an earlier attempt wrote after `start_step` is dropped.

    Args:
        folder: the run's.
        start_step: steps that the attempt starts from.
    """

    def __init__(self, folder: RunFolder, start_step: int) -> None:
        from tensorboardX import SummaryWriter

        self._folder = folder
        path = folder.fetch(JOURNAL_NAME)
        with folder_errors_told("write the journal", str(path)):
            kept = _lines_until(path.read_text() if path.exists() else "", start_step)
            path.write_text("".join(kept))
            self._file = path.open("a")
        events = folder.local / EVENTS_FOLDER
        self._events = SummaryWriter(str(events), purge_step=start_step or None, max_queue=1000, flush_secs=30)

    def numbers(self, step: int, numbers: dict[str, float], timing: dict[str, float]) -> None:
        """Notes a log step."""
        self._write({"step": step, "numbers": numbers, "timing": timing})
        for name, value in (numbers | timing).items():
            self._events.add_scalar(name, value, step)

    def event(self, step: int, event: str, **about: Any) -> None:
        """Notes that something happened."""
        self._write({"step": step, "event": event, **about})

    def publish(self) -> None:
        """Brings what was noted to the run's folder."""
        self._events.flush()
        self._folder.publish(JOURNAL_NAME)
        for path in sorted((self._folder.local / EVENTS_FOLDER).iterdir()):
            self._folder.publish(f"{EVENTS_FOLDER}/{path.name}")

    def _write(self, entry: dict[str, Any]) -> None:
        with folder_errors_told("write the journal", self._file.name):
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._events.close()


def _lines_until(text: str, step: int) -> list[str]:
    """Whole lines of entries up to `step`; a line torn by a kill is dropped, as are those that will be written anew."""
    lines = []
    for line in text.splitlines(keepends=True):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break
        if entry["step"] <= step and line.endswith("\n"):
            lines.append(line)
    return lines
