"""The mini cloud as a test sees it: started, entered, and gone when the test is, even one that was killed."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.stack import ROOT

TOOLS = {"ip": "iproute2", "sshd": "openssh-server", "rsync": "rsync", "unshare": "util-linux"}
READY_SECONDS = 120


class Lab:
    """A running lab.

    Args:
        process: the one that ends everything with it.
        pid: of the lab's pid 1, as this machine counts.
        about: what it said when it was ready.
    """

    def __init__(self, process: "subprocess.Popen[str]", pid: int, about: dict[str, Any]) -> None:
        self.process, self._pid = process, pid
        self.image, self.group = about["image"], about["group"]
        self.environment: dict[str, str] = about["environment"]
        self._laptop: int = about["laptop"]
        self.folder = Path(f"/proc/{pid}/root/mnt")

    def enter(self, pid: int, *words: str) -> list[str]:
        """A command line that runs words on the machine whose pid 1 the lab counts so."""
        inside = ["nsenter", "--target", str(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        return ["nsenter", "--target", str(self._pid), "--mount", "--net", "--pid", "--ipc", *inside, *words]

    def on_laptop(self, *words: str, **environment: str) -> list[str]:
        """The same for the operator, with the operator's credentials, in the root of the repository."""
        path = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        variables = self.environment | {
            "HOME": "/home/ubuntu", "PATH": path, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(ROOT),
        } | environment  # fmt: skip
        settings = [f"{name}={value}" for name, value in variables.items()]
        return self.enter(self._laptop, "env", "--ignore-environment", f"--chdir={ROOT}", *settings, *words)

    def run(self, *words: str, timeout_seconds: float, **environment: str) -> str:
        """Runs words on the laptop; what they print.

        Raises:
            AssertionError: they fail.
        """
        command = self.on_laptop(*words, **environment)
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def machines(self, state: str = "running") -> list[dict[str, Any]]:
        """The cloud's machines in that state."""
        path = self.folder / "machines"
        listed: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return [machine for machine in listed if machine["state"] == state]

    def announce(self, machine: Mapping[str, Any], time_utc: str) -> None:
        """The cloud's notice to a spot machine that it will be taken back."""
        told = json.dumps({"action": "terminate", "time": time_utc})
        (self.folder / "notices" / machine["id"]).write_text(told)

    def take_back(self, machine: Mapping[str, Any]) -> None:
        """The cloud ends it: the power goes. Returns when it has."""
        (self.folder / "terminate").write_text(machine["id"])
        until(lambda: machine["id"] not in {other["id"] for other in self.machines()}, 60, "the machine is gone")

    def run_out_of_spot(self) -> None:
        """From now on the cloud has no spot machine for anybody."""
        (self.folder / "no-spot").touch()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Writes a file on the laptop, below its home folder."""
        command = self.on_laptop("sh", "-c", 'umask 077; mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"', "sh",
                                 f"/home/ubuntu/{path}", f"{mode:o}")  # fmt: skip
        subprocess.run(command, input=text, text=True, check=True, capture_output=True)


def until(reached: Callable[[], Any], timeout_seconds: float, what: str) -> Any:
    """What `reached` gives once that is something.

    Raises:
        AssertionError: not within that time.
    """
    end = time.monotonic() + timeout_seconds
    while not (found := reached()):
        assert time.monotonic() < end, f"not within {timeout_seconds} s: {what}"
        time.sleep(0.5)
    return found


def skip_unless_possible() -> None:
    """Skips where a lab cannot be; installs what it needs where that is allowed."""
    if os.geteuid() != 0:
        pytest.skip("the lab's network and machines take root")
    if "overlay" not in Path("/proc/filesystems").read_text():
        pytest.skip("the lab's machines take overlayfs, which this kernel has not loaded")
    missing = [package for tool, package in TOOLS.items() if _tool(tool) is None]
    if missing and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "-q", *words], env=environment, capture_output=True, timeout=300)
    missing = [tool for tool in TOOLS if _tool(tool) is None]
    if missing:
        pytest.skip(f"the lab takes {', '.join(missing)}, which could not be installed")
    allowed = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True)
    if allowed.returncode:
        pytest.skip(f"no namespaces may be made here: {allowed.stderr.decode().strip()}")


def _tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextmanager
def lab() -> Iterator[Lab]:
    """A lab, from nothing to nothing: its namespaces end with its first process, and that one with this process."""
    mount = "mount -t tmpfs lab /mnt && mkdir -p /run/netns && mount -t tmpfs netns /run/netns"
    world = f"{mount} && exec {sys.executable} -m tests.lab.world /mnt"
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--ipc", "--mount-proc",
               "--fork", "--kill-child", "sh", "-c", world]  # fmt: skip
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, "the lab did not start: see above"
        (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Lab(process, int(pid), json.loads(said))
    finally:
        process.kill()
        process.communicate()
