"""A Ray head with its dashboard and a token, in processes of its own, which are ended by their id, not by name."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

START_SECONDS = 90
PORTS = (
    "port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port",
    "metrics-export-port", "ray-client-server-port",
)  # fmt: skip


class Head(NamedTuple):
    """Where it is reached.

    url      of its job server
    metrics  what Prometheus scrapes
    token    the file with the token, which its owner alone can read
    """

    url: str
    metrics: str
    token: Path


@contextmanager
def head_running(folder: Path, surroundings: dict[str, str]) -> Iterator[Head]:
    """A head with room for two workers, for the time of a `with` block.

    Args:
        folder: for its files and its token.
        surroundings: its environment, in place of ours.
    """
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    bin_folder = Path(sys.executable).parent
    command = [str(bin_folder / "ray"), "start", "--head", "--block", "--num-cpus", "2", "--disable-usage-stats"]
    command += ["--object-store-memory", str(100 * 2**20), "--min-worker-port", "0", "--max-worker-port", "0"]
    # Paths of sockets may have 107 letters.
    command += ["--temp-dir", str(folder), "--system-config", '{"metrics_report_interval_ms": 500}']
    command += [f"--{name}={port}" for name, port in ports.items()]
    own = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2", "RAY_worker_niceness": "0",
    }  # fmt: skip
    with (folder / "head.log").open("w") as log:
        running = subprocess.Popen(command, env=surroundings | own, stdout=log, stderr=log, cwd=folder)
    url, metrics = (f"http://127.0.0.1:{ports[name]}" for name in ("dashboard-port", "metrics-export-port"))
    head = Head(url, metrics, token)
    try:
        end = time.monotonic() + START_SECONDS
        while answer(f"{head.url}/api/version") != 401:
            assert running.poll() is None, (folder / "head.log").read_text()[-2000:]
            assert time.monotonic() < end, "the head did not start"
            time.sleep(0.5)
        yield head
    finally:
        _end(running.pid)
        running.wait()


def _end(process: int) -> None:
    """Ends a process and all that it started; told to end, Ray takes half a minute."""
    with suppress(OSError):  # it has ended
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            _end(int(child))
        os.kill(process, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def answer(url: str, token: str = "", body: bytes | None = None) -> int:
    """The HTTP status of a GET, or of a POST with a body; 0 where nobody answers."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        request = urllib.request.Request(url, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as told:
            return int(told.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0
