"""A store that fails for a while under a run in one process: no step is lost, and the run goes on."""

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from bench.faults_alone import config_of
from bench.faults_ray import CHECKPOINT_STEPS, until
from satgan.errors import Stopped
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.journal import events_in
from satgan.train.loop import train_loop
from satgan.train.progress import Progress
from satgan.train.watch import Watch
from tests.conftest import S3_ENVIRONMENT
from tests.tiles.fault_proxy import Fault, FaultProxy, dropped, fault_proxy, late, refused, silent

BUCKET = "satgan-bench"
WRITES = ("PUT", "POST", "DELETE")
ALL = ("GET", "HEAD", *WRITES)
OUTAGES: tuple[tuple[str, Fault, tuple[str, ...], float], ...] = (
    ("S3 gone: connections are closed", dropped, ALL, 60),
    ("S3 silent: no answers", silent, ALL, 60),
    ("S3 refuses to write (403)", refused(403, "AccessDenied"), WRITES, 10),
    ("S3 full (507)", refused(507, "InsufficientStorage"), WRITES, 10),
)
TELLING = ("checkpoint_failed", "left_out", "checkpoint_whole", "held_up")


class Trouble(NamedTuple):
    """What a store did that failed for a while.

    seconds          for how long
    step_seconds     from its beginning to the next step
    steps            taken meanwhile
    longest_seconds  between two steps, until a checkpoint was whole again
    whole_seconds    from its end until a checkpoint was whole
    told             the journal's events of it
    """

    fault: str
    seconds: float
    step_seconds: float
    steps: int
    longest_seconds: float
    whole_seconds: float
    told: str


def with_stores(folder: Path) -> list[Trouble]:
    """An S3 server (moto) behind a proxy that is away, silent, refuses, is full or slow; and a disk that is full."""
    found = []
    with _s3() as proxy:
        for name, fault, methods, seconds in OUTAGES:
            found.append(_through(folder, _prefix(), name, seconds, _blocked(proxy, fault, methods)))
        found.append(_through(folder, _prefix(), "S3 slow: each write takes 0.5 s more", 20, _slow(proxy)))
    with tempfile.TemporaryDirectory(prefix="satgan-bench-") as disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)
        try:
            found.append(_through(folder, disk, "local disk full", 10, _filled(Path(disk))))
        finally:
            subprocess.run(["umount", disk], check=True)
    return found


def _prefix() -> str:
    return f"s3://{BUCKET}/{time.time_ns()}"


Do = Callable[[bool], object]
"""Begins a trouble (True), or ends it (False)."""


def _blocked(proxy: FaultProxy, fault: Fault, methods: tuple[str, ...]) -> Do:
    def do(begins: bool) -> None:
        proxy.block = lambda method, key: fault if begins and method in methods else None

    return do


def _slow(proxy: FaultProxy) -> Do:
    def do(begins: bool) -> None:
        proxy.choose_write = lambda key, asked: late(0.5) if begins else None

    return do


def _filled(disk: Path) -> Do:
    def do(begins: bool) -> None:
        if not begins:
            (disk / "filler").unlink()
            return
        with suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    return do


def _through(folder: Path, store: str, fault: str, seconds: float, do: Do) -> Trouble:
    """A run that has the trouble for so long, and goes on until a checkpoint is whole again."""
    steps: list[tuple[float, int]] = []
    moments: list[float] = []
    over, failures = threading.Event(), list[BaseException]()
    config = config_of(folder, store, {"checkpoint_seconds": 1})
    run = f"{store}/run"

    def show(progress: Progress) -> None:
        steps.append((time.perf_counter(), progress.step))

    def happen() -> None:
        try:
            until(lambda: len(steps) > CHECKPOINT_STEPS * 3 // 2 and complete_steps(open_store(run)))
            moments.append(time.perf_counter())
            do(True)
            time.sleep(seconds)
            do(False)
            moments.append(time.perf_counter())
            stood = complete_steps(open_store(run))[-1]
            until(lambda: complete_steps(open_store(run))[-1] > stood)
            moments.append(time.perf_counter())
        except BaseException as error:
            failures.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=happen)
    thread.start()
    with suppress(Stopped):
        train_loop(config, Watch(show, lambda *told: None, over.is_set, lambda text: None))
    thread.join()
    if failures:
        raise failures[0]
    begun, ended, whole = moments
    after = next(moment for moment, _ in steps if moment > begun)
    pairs = [pair for pair in pairwise(steps) if pair[1][0] > begun and pair[0][0] < whole]
    longest = max(after_it[0] - before_it[0] for before_it, after_it in pairs)
    taken = sum(begun < moment <= ended for moment, _ in steps)
    events = [entry for entry in events_in(open_store(run).read("journal.jsonl")) if entry["event"] in TELLING]
    line = ", ".join(f"`{name}`" for name in dict.fromkeys(entry["event"] for entry in events))
    print(f"{fault}: {taken} steps meanwhile, longest {longest:.2f} s", file=sys.stderr, flush=True)
    return Trouble(fault, seconds, after - begun, taken, longest, whole - ended, line)


@contextmanager
def _s3() -> Iterator[FaultProxy]:
    """A bucket, and the proxy through which the standard AWS variables lead to it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # which tells each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with ExitStack() as stack:
        stack.callback(server.stop)
        proxy = stack.enter_context(fault_proxy(f"http://{host}:{port}"))
        stack.enter_context(patch.dict(os.environ, S3_ENVIRONMENT | {"AWS_ENDPOINT_URL": proxy.url}))
        connection = HTTPConnection(host, port)
        connection.request("PUT", f"/{BUCKET}")  # moto asks for no signature
        assert connection.getresponse().status == 200
        connection.close()
        yield proxy
