"""Tells Ray that EC2 will take this machine back: one watcher per node, `python -m satgan.cluster.spot`.

EC2 announces the end of a spot machine two minutes ahead, and sometimes before that a raised risk; it tells nobody but
the machine's own metadata service, and `ray up` does not ask there. The watcher asks every few seconds (IMDSv2) and
passes the word on with `ray drain-node`: nothing new is put on the machine then, and a run that computes there saves at
once and goes on elsewhere when the time is up. Start it beside `ray start`, from the same environment (Ray's token),
so that it outlives the terminal:

    setsid --fork python -m satgan.cluster.spot >>/tmp/satgan-spot.log 2>&1 </dev/null

A second one on the same machine ends at once. It looks for the node when there is word, so `ray stop` and `ray start`
need no new one. Standard library alone: it has a few megabytes on every node.

Sources: docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html, rebalance-recommendations.
html and instancedata-data-retrieval.html.
"""

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

ENDPOINT = "http://169.254.169.254"
ENDPOINT_NAME = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
"""The environment variable by which the AWS SDKs are told of another metadata service."""
TOKEN_SECONDS = 6 * 3600
ANSWER_SECONDS = 2
DRAIN_SECONDS = 60
LOOK_SECONDS = 5
INTERRUPTION = "/latest/meta-data/spot/instance-action"
REBALANCE = "/latest/meta-data/events/recommendations/rebalance"
REBALANCE_SECONDS = 600
"""A raised risk has no date: the run saves at once, and leaves the machine after so long."""


class Notice(NamedTuple):
    """What EC2 announced, and when the machine goes or is to be left."""

    what: str
    deadline: datetime


class Metadata:
    """The machine's metadata service, by IMDSv2: each question carries a token that lives for hours.

    Args:
        endpoint: its address.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token = ""
        # Without the proxies of the environment: the address means this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read(self, path: str) -> bytes | None:
        """What stands there; None where nothing does.

        Raises:
            OSError: no answer, or not the token.
        """
        if not self._token:
            self._token = self._renewed_token()
        try:
            return self._ask("GET", path, {"X-aws-ec2-metadata-token": self._token})
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code == 401:  # it has run out
                self._token = ""
            raise

    def _renewed_token(self) -> str:
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
        return self._ask("PUT", "/latest/api/token", lifetime).decode()

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(self._endpoint + path, headers=headers, method=method)
        with self._opener.open(request, timeout=ANSWER_SECONDS) as answer:
            told: bytes = answer.read()
        return told


def notice(metadata: Metadata) -> Notice | None:
    """What EC2 has announced so far; of two the one with a date.

    Raises:
        OSError: no answer.
    """
    told = metadata.read(INTERRUPTION)
    if told is not None:
        action = json.loads(told)
        return Notice(f"EC2 will {action['action']} this machine", _time(action["time"]))
    told = metadata.read(REBALANCE)
    if told is not None:
        since = _time(json.loads(told)["noticeTime"])
        return Notice("EC2 may take this machine soon (rebalance)", since + timedelta(seconds=REBALANCE_SECONDS))
    return None


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


class Watcher:
    """Passes each notice on once it is heard, again where Ray did not take it.

    Args:
        look: what EC2 has announced.
        drain: tells Ray; raises where that does not work.
        say: takes a line for the log.
    """

    def __init__(
        self, look: Callable[[], Notice | None], drain: Callable[[Notice], None], say: Callable[[str], None]
    ) -> None:
        self._look, self._drain, self._say = look, drain, say
        self._told: Notice | None = None
        self._trouble = ""

    def step(self) -> None:
        """Looks once. What goes wrong is said once, and ends nothing."""
        try:
            heard = self._look()
            if heard and heard != self._told:
                self._say(f"{heard.what} at {heard.deadline:%H:%M:%S} UTC")
                self._drain(heard)
                self._told = heard
                self._say("Ray was told")
            trouble = ""
        except Exception as error:
            trouble = f"{type(error).__name__}: {error}"
        if trouble and trouble != self._trouble:
            self._say(f"{trouble}; tried again every {LOOK_SECONDS} s")
        self._trouble = trouble


def raylets() -> dict[str, str]:
    """Ray's nodes on this machine: the id of each, and the address of its cluster."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended
            continue
        options = dict(word.lstrip("-").split("=", 1) for word in words[1:] if word.startswith("--") and "=" in word)
        if words[0].endswith("/raylet") and {"node_id", "gcs-address"} <= options.keys():
            found[options["node_id"]] = options["gcs-address"]
    return found


def drain(told: Notice, node: str | None = None) -> None:
    """Tells Ray that a node of this machine will go.

    Args:
        told: why and when.
        node: its id; None: there is one alone.

    Raises:
        RuntimeError: no such node, several, or Ray did not take it.
    """
    nodes = raylets()
    if node is None and len(nodes) != 1:
        raise RuntimeError(f"{len(nodes)} Ray nodes on this machine: start one, or give --node-id")
    node = node or next(iter(nodes))
    if node not in nodes:
        raise RuntimeError(f"no Ray node {node} on this machine")
    seconds = max(0, int((told.deadline - datetime.now(UTC)).total_seconds()))
    ray = shutil.which("ray", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}") or "ray"
    command = [ray, "drain-node", "--address", nodes[node], "--node-id", node]
    command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", told.what]
    command += ["--deadline-remaining-seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DRAIN_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"ray drain-node: {' '.join((done.stderr or done.stdout).split())[-500:]}")


def main() -> None:
    """Watches until it is ended."""
    parser = argparse.ArgumentParser(prog="python -m satgan.cluster.spot", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--node-id", metavar="ID", help="the node to drain, where several run on this machine")
    given = parser.parse_args()
    with (Path(tempfile.gettempdir()) / f"satgan-spot-{os.getuid()}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _say("a watcher runs on this machine already")
            return
        metadata = Metadata(os.environ.get(ENDPOINT_NAME) or ENDPOINT)
        watcher = Watcher(lambda: notice(metadata), lambda told: drain(told, given.node_id), _say)
        _say("watching for EC2's notices")
        while True:
            watcher.step()
            time.sleep(LOOK_SECONDS)


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
