"""What a run writes down, as it is read: journal.jsonl, one JSON object per line (`journal_writer.py` writes it).

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
from collections.abc import Iterable, Sequence
from typing import Any

from satgan.doctor.records import BEGINNINGS, newest_attempt
from satgan.train.run_folder import RunFolder

JOURNAL_NAME = "journal.jsonl"
JUDGED = "judged"
CORRUPT = "corrupt_checkpoint"
MOVED = "balance"


def has_ended(folder: RunFolder, step: int) -> bool:
    """Whether the run came to its end after `step` steps: a kill between its last checkpoint and its end leaves the
    film to be made and the checkpoint to be judged."""
    path = folder.fetch(JOURNAL_NAME)
    if not path.exists():
        return False
    return step in {entry["step"] for entry in events_in(path.read_bytes()) if entry["event"] == "end"}


def entries_in(raw: bytes) -> list[dict[str, Any]]:
    """The entries of a journal, in order; what is no whole line is passed over."""
    lines = raw.decode(errors="replace").splitlines(keepends=True)
    return [json.loads(line) for line in lines if step_of(line) < math.inf]


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


def step_of(line: str) -> float:
    """The step of a journal's line; infinite for what is no whole entry."""
    try:
        return float(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf
