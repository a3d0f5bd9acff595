"""The jobs of a cluster that train or sweep: submit, list, stop, follow.

A job outlives who submitted it. All jobs of one run carry its url; the newest that has not ended is the run's.
"""

import asyncio
import math
import shlex
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from satgan.cluster.job_server import JobServer, answers_told, run_ray
from satgan.cluster.submission import RUN, Submission
from satgan.errors import InputError, SatganError, Stopped, nearest

LIVE = ("pending", "running")
EXITS = {130: "stopped", 2: "refused"}
"""What our exit statuses mean, where Ray says "failed"."""
LOST_SECONDS = 120
"""A job server that does not answer for so long is given up; the run is not touched by that."""
RETRY_SECONDS = 3


class Job(NamedTuple):
    """A job: an attempt at a run.

    state  pending, running, succeeded, stopped (it saved), refused (the options), failed
    """

    id: str
    run: str
    state: str
    command: str
    started: str
    ended: str
    message: str


def jobs_of(server: JobServer) -> list[Job]:
    """Those that `satgan submit` made, the newest first.

    Raises:
        SatganError: the job server does not answer, or not to us.
    """
    client = server.client()
    with answers_told(server.url):
        told = [job for job in client.list_jobs() if job.submission_id and RUN in (job.metadata or {})]
    return [_job(job) for job in sorted(told, key=lambda job: job.start_time or 0, reverse=True)]


def find(known: list[Job], wanted: str) -> Job:
    """The job of that id, or the newest one of the run of that url or name.

    Raises:
        InputError: there is none.
    """
    for job in known:
        if wanted.rstrip("/") in (job.id, job.run, job.run.rsplit("/", 1)[-1]):
            return job
    names = {name for job in known for name in (job.id, job.run.rsplit("/", 1)[-1])}
    raise InputError(f"no job of {wanted}", nearest(wanted, names) if names else "there are none: see `satgan submit`")


def submit_job(server: JobServer, what: Submission, say: Callable[[str], None]) -> str:
    """Hands a run in, or finds the job that has it already; returns the job's id.

    Raises:
        InputError: it is being trained by another command.
        SatganError: it was not taken.
    """
    attempts = [job for job in jobs_of(server) if job.run == what.run]
    if job := _live(attempts, what, say):
        return job.id
    attempt = 1 + max((int(job.id.rsplit("-", 1)[-1]) for job in attempts), default=0)
    uploaded = [*([str(what.source)] if what.source else []), *what.files]
    say(f"uploading {' and '.join(uploaded)} …" if uploaded else "the machines' own satgan is used")
    try:
        with what.working_dir() as folder:
            run_ray(server.command("submit", *what.options(attempt, folder)), say)
    except SatganError:  # somebody else may have been faster
        job = _live([job for job in jobs_of(server) if job.id == what.job_id(attempt)], what, say)
        if job is None:
            raise
        return job.id
    return what.job_id(attempt)


def stop_job(server: JobServer, job: Job, say: Callable[[str], None]) -> None:
    """Asks a job to save and stop.

    Raises:
        InputError: it has ended.
        SatganError: it was not heard.
    """
    if job.state not in LIVE:
        raise InputError(f"{job.id} has {job.state} already", "`satgan jobs` lists the jobs")
    run_ray(server.command("stop", "--no-wait", job.id), say)


def follow(server: JobServer, job_id: str, show: Callable[[str], None], say: Callable[[str], None]) -> Job:
    """Shows what a job says until it ends; a broken connection is opened anew.

    Args:
        server: where it runs.
        job_id: of the job.
        show: takes what it says, as it comes.
        say: takes lines about the connection.

    Returns:
        The job, ended.

    Raises:
        SatganError: the job server was lost for too long.
    """
    seen, lost_at = 0, math.inf

    async def shown() -> None:
        nonlocal seen, lost_at
        behind = seen
        async for text in server.client().tail_job_logs(job_id):
            lost_at = math.inf
            new, behind = text[behind:], max(0, behind - len(text))
            seen += len(new)
            show(new)

    while True:
        try:
            server.renew()
            with answers_told(server.url):
                asyncio.run(shown())
            job = find(jobs_of(server), job_id)
            if job.state not in LIVE:
                return job
        except InputError:
            raise
        except SatganError as error:
            if lost_at == math.inf:
                lost_at = time.monotonic()
                say(f"the connection broke ({error.found.splitlines()[0][:200]}); the job goes on, trying again …")
            if time.monotonic() - lost_at > LOST_SECONDS:
                remedy = "the run is in its store: once the cluster is up again the same command goes on"
                raise SatganError(f"{server.url} did not answer for {LOST_SECONDS} s", remedy) from error
        time.sleep(RETRY_SECONDS)


def check_end(job: Job) -> None:
    """Nothing where a job succeeded.

    Raises:
        Stopped: it was stopped, and saved.
        InputError: its options were refused.
        SatganError: it failed.
    """
    if job.state == "stopped":
        raise Stopped(f"{job.id} was stopped", "the same command goes on from its last checkpoint")
    if job.state == "refused":
        raise InputError(f"{job.id} was refused, as told above", "correct the command")
    if job.state != "succeeded":
        remedy = "what it said is above; the same command goes on from its last checkpoint"
        raise SatganError(f"{job.id} {job.state}: {job.message}", remedy)


def _live(known: list[Job], what: Submission, say: Callable[[str], None]) -> Job | None:
    """The job that has the run now.

    Raises:
        InputError: it was started by another command.
    """
    for job in known:
        if job.state in LIVE:
            ours = shlex.join(what.words)
            if job.command != ours:
                raise InputError(
                    f"{what.run} is being trained by {job.id} with other options:\n  there: {job.command}\n"
                    f"  here:  {ours}",
                    f"`satgan jobs stop {job.id}` first, or give the same command, which follows it",
                )
            say(f"{job.id} is {job.state}: following it")
            return job
    return None


def _job(told: Any) -> Job:
    state = str(told.status.value).lower()
    if state == "failed":
        state = EXITS.get(told.driver_exit_code, state)
    started, ended = (_time(stamp) for stamp in (told.start_time, told.end_time))
    message = " ".join((told.message or "").split())
    return Job(told.submission_id, told.metadata[RUN], state, told.entrypoint, started, ended, message)


def _time(milliseconds: int | None) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if milliseconds else ""
