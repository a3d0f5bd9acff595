"""What a run in the lab says as it goes on, with the time."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.lab.lab import Lab


class Watch:
    """Says what happens when, and keeps a run's journal.

    Args:
        lab: where.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab, self._start = lab, time.monotonic()
        self.entries: list[dict[str, Any]] = []

    def say(self, text: str) -> None:
        """A line of the transcript (`pytest -s`)."""
        print(f"{time.monotonic() - self._start:6.1f} s  {text}", flush=True)

    @contextmanager
    def following(self, url: str) -> Iterator[None]:
        """Keeps the journal's entries while the block lasts."""
        command = self._lab.on_laptop(sys.executable, "-m", "tests.lab.errands", "follow", url)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            thread = threading.Thread(target=self._keep, args=[process.stdout], daemon=True)
            thread.start()
            try:
                yield
            finally:
                process.stdin.close()  # it ends then; a signal would reach nsenter alone
                thread.join(timeout=60)
                process.kill()

    def _keep(self, lines: Any) -> None:
        for line in lines:
            entry = json.loads(line)
            self.entries.append(entry)
            if "event" in entry:
                self.say(f"journal: {json.dumps(entry)[:300]}")

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The journal's events of these names."""
        return [entry for entry in self.entries if entry.get("event") in names]

    def attempts(self) -> list[tuple[int, int]]:
        """With how many workers each attempt began, and the last step that is known of it."""
        found: list[tuple[int, int]] = []
        for entry in list(self.entries):
            if entry.get("event") in ("start", "resume"):
                found.append((entry["workers"], entry["step"]))
            elif found and "numbers" in entry:
                found[-1] = (found[-1][0], entry["step"])
        return found

    def trains(self, workers: int, after: int = 0) -> bool:
        """Whether so many workers have taken steps in the newest attempt, which is not one of the first `after`."""
        attempts, began = self.attempts(), self.events("start", "resume")
        return len(attempts) > after and attempts[-1][0] == workers and attempts[-1][1] > began[-1]["step"]
