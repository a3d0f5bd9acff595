"""What happens when workers under Ray Train fail, hang, lose their machine or find no room."""

import re
import time
from contextlib import suppress
from typing import Any

import ray
from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback

from satgan.errors import SatganError, StoreUnreachable, WorkersLost
from satgan.train.ray_board import ANSWER_SECONDS

WAIT_SECONDS = 0.5
"""Ray Train looks for room without a pause, with a whole core."""
AWAY_SECONDS = 10.0
"""Workers that found no store are started anew after so long, the second time after twice that, and so on."""
FRUITLESS_STARTS = 10
"""So often workers are started anew for any reason without a checkpoint in between: a machine that comes and goes
would have the run begin for ever."""
WITHOUT_WORKERS = ("INITIALIZING", "RESTARTING", "RESCHEDULING", "SCHEDULING", "RESIZING")
REMEDY = "the same command goes on from the last checkpoint"


class Referee(ControllerCallback, WorkerGroupCallback):
    """Judges, in Ray Train's controller, whether a run goes on after a fault.

    What it raises ends the run and comes back to the driver; where it is silent Ray Train starts the workers anew,
    and the run goes on from its newest whole checkpoint. What satgan raised on purpose ends the run at once; crashes,
    and a store that does not answer, are borne a few times; a machine that was taken away with notice is nobody's
    fault, nor is one that comes, unless they do nothing else; for room it waits for a while.

    Args:
        restarts: crashes that are borne before another checkpoint is written.
        start_seconds: how long workers may be missing.
        fewest: workers with which the run goes on.
        board: told why workers are started anew, and asked how many checkpoints came to stand.
    """

    def __init__(self, restarts: int, start_seconds: float, fewest: int, board: Any) -> None:
        self._restarts, self._start_seconds, self._fewest, self._board = restarts, start_seconds, fewest, board
        self._state = ""
        self._crashes = self._starts = self._checkpoints = 0
        self._missing_since: float | None = None

    def after_worker_group_poll_status(self, worker_group_status: Any) -> None:
        """Ray Train looked after its workers.

        Raises:
            SatganError: the workers' own, or that they crashed too often.
        """
        failures: dict[int, Exception] = worker_group_status.errors
        for failure in failures.values():
            if isinstance(failure, SatganError) and not isinstance(failure, StoreUnreachable | WorkersLost):
                raise failure
        # After a notice all of them fail: the one whose machine goes, and those that waited for its message.
        if not failures or self._state == "PREEMPTING":
            return
        why = told(failures)
        self._forgive()
        if not any(map(_preempted, failures.values())):
            self._crashes += 1
        away = next((failure for failure in failures.values() if isinstance(failure, StoreUnreachable)), None)
        if self._crashes > self._restarts:
            raise away or SatganError(
                f"workers crashed {self._crashes} time(s) without a checkpoint in between, the last time: {why}",
                "a killed worker often lacked memory: take a smaller --train.lane-batch under another --name, or "
                f"fewer --workers; {REMEDY}, and --train.restarts bears more",
            )
        self._start_anew(why)
        if away:
            time.sleep(AWAY_SECONDS * self._crashes)

    def after_controller_state_update(self, previous_state: Any, current_state: Any) -> None:
        """Ray Train goes from one state into another, or tries the same again.

        Raises:
            SatganError: workers were missing for too long, or came and went too often.
        """
        before, self._state = (state._state_type.state_name for state in (previous_state, current_state))
        if self._state == "RESIZING":
            self._forgive()
            self._start_anew(f"room for {current_state.scaling_decision.num_workers} worker(s) now")
        elif (before, self._state) == ("PREEMPTING", "RESTARTING"):
            self._forgive()
            gone = ", ".join(map(str, previous_state.preemption_info.preempted_ranks))
            self._start_anew(f"the machine of worker(s) {gone} was taken away")
        if self._state not in WITHOUT_WORKERS:
            self._missing_since = None
            return
        self._missing_since = self._missing_since or time.monotonic()
        if time.monotonic() - self._missing_since > self._start_seconds:
            raise self._no_room()
        if self._state == before:
            time.sleep(WAIT_SECONDS)

    def _forgive(self) -> None:
        """What happened before the newest checkpoint does not count any more, told by who wrote it: Ray Train hears of
        it only when the next one is due. Where the board does not answer in time, all counts."""
        with suppress(ray.exceptions.RayError):
            checkpoints: int = ray.get(self._board.checkpoints.remote(), timeout=ANSWER_SECONDS)
            if checkpoints > self._checkpoints:
                self._checkpoints, self._crashes, self._starts = checkpoints, 0, 0

    def _start_anew(self, why: str) -> None:
        self._starts += 1
        if self._starts > FRUITLESS_STARTS:
            raise SatganError(
                f"workers were started anew {FRUITLESS_STARTS} time(s) without a checkpoint in between, then: {why}",
                "see whether machines come and go; a fixed number of --workers is not resized, --train.resize-seconds "
                f"looks for machines less often, a smaller --train.checkpoint-steps saves sooner; {REMEDY}",
            )
        self._board.note.remote(why)

    def _no_room(self) -> SatganError:
        total, free = (
            ", ".join(f"{resources.get(name, 0):g} {name}(s)" for name in ("CPU", "GPU"))
            for resources in (ray.cluster_resources(), ray.available_resources())  # type: ignore[no-untyped-call]
        )
        return SatganError(
            f"no room for {self._fewest} worker(s) for {self._start_seconds:g} s: there are {total}; free: {free}",
            f"take fewer --workers, or MIN:MAX; add machines, or end what runs there; {REMEDY}; it waits longer with "
            "--train.start-seconds",
        )


def told(failures: dict[int, Exception]) -> str:
    """One line about what happened to which workers, those that are gone first."""
    lines = sorted((_gone(failure) is None, rank, _line(rank, failure)) for rank, failure in failures.items())
    return "; ".join(line for _, _, line in lines)


def own_error(error: Exception) -> SatganError:
    """satgan's own error where that ended the run, else what Ray tells in its own words."""
    cause = getattr(error, "controller_failure", None)
    if isinstance(cause, SatganError):
        return cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return SatganError(f"training under Ray failed: {' '.join(lines)[:1500]}", REMEDY)


def _line(rank: int, failure: Exception) -> str:
    gone = _gone(failure)
    if gone is None:
        found = getattr(failure, "found", str(failure).strip().split(". ")[0])
        return f"worker {rank}: {type(failure).__name__}: {found[:200]}"
    found = [re.search(pattern, str(failure)) for pattern in (r"pid=(\d+)", r"hostname='(.*?)'")]
    process, machine = (match[1] if match else "?" for match in found)
    return f"worker {rank} (process {process} on {machine}) {gone}"


def _gone(failure: Exception) -> str | None:
    """What became of a process that is not there any more; None where it raised something."""
    if _preempted(failure):
        return "was lost with its machine, which was taken away"
    kinds = {
        "WorkerHealthCheckFailedError": "died: killed, or its machine was lost",
        "WorkerHealthCheckTimeoutError": "did not answer any more",
    }
    return kinds.get(type(failure).__name__)


def _preempted(failure: Exception) -> bool:
    """Whether a worker died because its machine was taken away, as had been announced."""
    return bool(getattr(getattr(failure, "health_check_failure", None), "preempted", False))
