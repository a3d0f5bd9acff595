"""The doctor beside a run: it hears what the journal notes, and is asked at each checkpoint."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from satgan.config import Config
from satgan.doctor.finding import LEVELS, Finding, Level
from satgan.doctor.records import Entry, RunRecord
from satgan.doctor.rules import examine

FIRST_ENTRIES, LAST_ENTRIES = 50, 250
"""Log steps that are kept: how a run began, and how it goes on. At 20 steps each the latter are 5,000 steps."""

FOUND, OVER = "finding", "finding_over"


def found_in(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a run's journal has of the doctor's findings: the newest of each rule with its `step`, and `until`, after
    which step it was over; None: it held to the last. What holds comes first, errors before warnings."""
    found: dict[str, dict[str, Any]] = {}
    for entry in events:
        if entry.get("event") == FOUND:
            found[entry["rule"]] = entry | {"until": None}
        elif entry.get("event") == OVER and entry["rule"] in found:
            found[entry["rule"]]["until"] = entry["step"]
    return sorted(
        found.values(),
        key=lambda entry: (entry["until"] is not None, -LEVELS.index(entry["level"]), entry["rule"]),
    )


class Checkup:
    """What there is to know of a run, and what was found so far.

    Args:
        config: the run's.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._first: list[Entry] = []
        self._last: deque[Entry] = deque(maxlen=LAST_ENTRIES)
        self._events: list[dict[str, Any]] = []
        self.open: dict[str, Level] = {}

    def hear(self, entry: dict[str, Any]) -> None:
        """Takes what the journal notes; from any thread."""
        if "numbers" in entry:
            told = Entry(entry["step"], entry["numbers"], entry["timing"])
            (self._first if len(self._first) < FIRST_ENTRIES else self._last).append(told)
        elif "event" in entry:
            self._events.append(entry)
            if entry["event"] == FOUND:
                self.open[entry["rule"]] = entry["level"]
            elif entry["event"] == OVER:
                self.open.pop(entry["rule"], None)

    def record(self) -> RunRecord:
        """The run as the rules look at it."""
        return RunRecord(self._config, [*self._first, *self._last], list(self._events))

    def news(self) -> tuple[list[Finding], list[str]]:
        """What holds now and was not noted, or at another level, and the rules whose findings are over. Of a rule the
        worst finding counts."""
        worst: dict[str, Finding] = {}
        for finding in examine([self.record()]):
            before = worst.get(finding.rule)
            if before is None or LEVELS.index(finding.level) > LEVELS.index(before.level):
                worst[finding.rule] = finding
        new = [finding for rule, finding in worst.items() if self.open.get(rule) != finding.level]
        return new, [rule for rule in self.open if rule not in worst]

    def summary(self) -> str:
        """For the progress line: `S36 error, S04 warning`; empty where all is well, as with an info it is."""
        worst_first = sorted(self.open.items(), key=lambda item: -LEVELS.index(item[1]))
        return ", ".join(f"{rule} {level}" for rule, level in worst_first if level != "info")
