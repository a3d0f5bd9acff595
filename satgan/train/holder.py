"""Which process of which machine, and whether it still lives."""

import json
import os
import socket
from pathlib import Path
from typing import Any, NamedTuple, Self

PROC = Path("/proc")
DEAD_STATES = ("Z", "X")


class Holder(NamedTuple):
    """A process that holds something.

    token     of this holder alone
    host      for people
    machine   a running system and what its pids count in; another one after a reboot, another one in a container
    pid       its number there
    started   when the system started it, since numbers are given again
    since     when it took what it holds, UTC
    renewals  how often it said since that it still holds it
    """

    token: str
    host: str
    machine: str
    pid: int
    started: str
    since: str
    renewals: int

    @classmethod
    def myself(cls, token: str, since: str) -> Self:
        """This process."""
        pid = os.getpid()
        return cls(token, socket.gethostname(), _machine(), pid, _started(pid) or "", since, 0)

    @classmethod
    def read(cls, raw: bytes) -> Self | None:
        """What `as_bytes` made; None for anything else."""
        try:
            told: dict[str, Any] = json.loads(raw)
            return cls(*(kind(told[name]) for name, kind in cls.__annotations__.items()))
        except (ValueError, KeyError, TypeError):
            return None

    def as_bytes(self) -> bytes:
        """JSON."""
        return json.dumps(self._asdict(), indent=2).encode()

    def lives(self) -> bool | None:
        """Whether the process is there; None where that cannot be seen from here: it is another machine's, or its
        number may have been given again."""
        if self.machine != _machine():
            return None
        started = _started(self.pid)
        if started is not None and not self.started:
            return None
        return started == self.started

    def text(self) -> str:
        """`process 4711 on node-3 since 2026-11-22T07:16:17Z`"""
        return f"process {self.pid} on {self.host} since {self.since}"


def _machine() -> str:
    try:
        boot = (PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
        return f"{boot} {os.readlink(PROC / 'self' / 'ns' / 'pid')}"
    except OSError:  # no Linux
        return socket.gethostname()


def _started(pid: int) -> str | None:
    """When the system started the process, in its own ticks; None where there is none."""
    if not PROC.is_dir():
        return _started_elsewhere(pid)
    try:
        told = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if told[0] in DEAD_STATES else told[19]


def _started_elsewhere(pid: int) -> str | None:
    """Where there is no /proc: nothing but whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
