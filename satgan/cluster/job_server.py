"""The way to a cluster's job server: its address or the tunnel to it, the token, and Ray's own commands.

The dashboard, which takes jobs, listens on the head's loopback alone. For a cluster.yaml `ray dashboard` forwards a
port of this machine there through ssh.
"""

import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from satgan.errors import InputError, SatganError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

CLUSTER_FILE = "cluster.yaml"
ADDRESS_NAME = "RAY_API_SERVER_ADDRESS"
"""The environment variable by which Ray's own tools know the job server."""
MODE_NAME, TOKEN_NAME, TOKEN_PATH_NAME = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
TUNNEL_SECONDS = 120
"""`ray dashboard` looks the head up at EC2 before it calls ssh."""


class JobServer:
    """A job server that can be reached.

    Args:
        url: its address from here.
        tunnel: that leads there; None: none is needed.
    """

    def __init__(self, url: str, tunnel: "Tunnel | None" = None) -> None:
        self.url = url
        self._tunnel = tunnel

    def client(self) -> "JobSubmissionClient":
        """Ray's client of it.

        Raises:
            SatganError: nobody answers.
            InputError: the token was refused.
        """
        from ray.job_submission import JobSubmissionClient

        logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
        with answers_told(self.url):
            return JobSubmissionClient(self.url)

    def renew(self) -> None:
        """Opens the tunnel anew where it has broken."""
        if self._tunnel:
            self._tunnel.open()

    def command(self, *words: str) -> list[str]:
        """`ray job …` with this address."""
        return ["ray", "job", words[0], "--address", self.url, *words[1:]]


class Tunnel:
    """`ray dashboard` in a process of its own, for the time of a `with` block.

    Args:
        cluster: the cluster.yaml.
        say: told what is run.
    """

    def __init__(self, cluster: Path, say: Callable[[str], None]) -> None:
        self._cluster, self._say = cluster, say
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Opens it, where it is not open, and waits until somebody answers behind it.

        Raises:
            SatganError: nobody does.
        """
        if self._process and self._process.poll() is None and is_answering(self.url):
            return
        self.close()
        command = ["ray", "dashboard", str(self._cluster), "--port", str(self._port)]
        self._say(f"$ {shlex.join(command)}")
        with tempfile.TemporaryFile() as said:
            self._process = subprocess.Popen(
                found(command), stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
            end = time.monotonic() + TUNNEL_SECONDS
            while not is_answering(self.url):
                if self._process.poll() is not None or time.monotonic() > end:
                    self.close()
                    said.seek(0)
                    raise _no_tunnel(self._cluster, last_words(said.read().decode(errors="replace")))
                time.sleep(0.5)

    def close(self) -> None:
        """Closes it: ssh goes with the process that started it."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
        self._process = None


def _no_tunnel(cluster: Path, told: str) -> SatganError:
    remedy = f"see whether the cluster is up (ray up {cluster}), and ssh reaches its head"
    if any(word in told for word in ("credentials", "AuthFailure", "Expired")):
        remedy = "say who you are to AWS: AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `aws sso login`"
    return SatganError(f"no tunnel to the head of {cluster}: {told or 'no answer'}", remedy)


def last_words(told: str) -> str:
    """Why one of Ray's commands failed, in its own words, without log lines, tracebacks and guesses."""
    _, is_said, cause = told.rpartition("The exception is: ")
    if is_said:
        return cause.strip()[-1000:]
    noise = re.compile(r"\s|Traceback|\d{4}-\d\d-\d\d ")
    lines = [line.strip() for line in told.splitlines() if line.strip() and not noise.match(line)]
    return " ".join(lines[-5:])[-1000:]


@contextmanager
def job_server(address: str | None, cluster: Path | None, say: Callable[[str], None]) -> Iterator[JobServer]:
    """The job server for the time of a `with` block.

    Args:
        address: of it; None: that of the cluster file.
        cluster: file of a cluster that `ray up` started; None: the environment's address, or cluster.yaml here.
        say: told what is run.

    Raises:
        InputError: neither is known.
        SatganError: it cannot be reached.
    """
    file = cluster_file(address, cluster)
    tunnel = Tunnel(file, say) if file else None
    url = tunnel.url if tunnel else (address or os.environ[ADDRESS_NAME]).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url} is not a job server's address", "write it as http://127.0.0.1:8265")
    before = {name: os.environ.get(name) for name in (ADDRESS_NAME, MODE_NAME)}
    use_token(say)
    os.environ[ADDRESS_NAME] = url  # Ray lets the environment decide
    try:
        if tunnel:
            for number in (signal.SIGTERM, signal.SIGHUP):  # the terminal was closed: ssh must not stay behind
                signal.signal(number, _leave)
            tunnel.open()
        yield JobServer(url, tunnel)
    finally:
        if tunnel:
            tunnel.close()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def cluster_file(address: str | None, cluster: Path | None) -> Path | None:
    """The cluster file that a tunnel is opened by; None where an address is known.

    Raises:
        InputError: there is neither.
    """
    if cluster is None and (address or os.environ.get(ADDRESS_NAME)):
        return None
    file = cluster or Path(CLUSTER_FILE)
    if not file.is_file():
        remedy = "give --cluster FILE of `ray up`, or --address http://127.0.0.1:8265 of a job server"
        raise InputError(f"no cluster: there is no {file}", remedy)
    return file


def use_token(say: Callable[[str], None]) -> None:
    """Turns Ray's token authentication on where there is a token; one that others may read is closed to them."""
    path = Path(os.environ.get(TOKEN_PATH_NAME) or Path.home() / ".ray" / "auth_token").expanduser()
    if MODE_NAME not in os.environ and (os.environ.get(TOKEN_NAME) or path.is_file()):
        os.environ[MODE_NAME] = "token"
    if path.is_file() and path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077:
        path.chmod(0o600)
        say(f"{path} could be read by others: now by its owner alone")


def shown(command: Sequence[str]) -> str:
    """A command as one can copy it into a shell; the token stays where it lies."""
    mode = f"{MODE_NAME}=token " if os.environ.get(MODE_NAME) == "token" else ""
    return f"$ {mode}{shlex.join(command)}"


def run_ray(command: Sequence[str], say: Callable[[str], None]) -> None:
    """Runs one of Ray's commands, and says which.

    Raises:
        SatganError: it failed, with its own words.
    """
    say(shown(command))
    done = subprocess.run(found(command), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        why = last_words(f"{done.stdout}\n{done.stderr}")
        raise SatganError(f"{shlex.join(command[:3])} failed: {why}", "see its words above")


def found(command: Sequence[str]) -> list[str]:
    """The command with the path of this environment's `ray`."""
    own = Path(sysconfig.get_path("scripts")) / command[0]
    return [str(own) if own.exists() else command[0], *command[1:]]


def is_answering(url: str) -> bool:
    """Whether a job server answers there, be it with a refusal."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(f"{url}/api/version", timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)
    except OSError:
        return False
    return True


@contextmanager
def answers_told(url: str) -> Iterator[None]:
    """A block whose failures to reach the job server are told in our words.

    Raises:
        SatganError: nobody answers, or with a failure.
        InputError: the token was refused, or there is none.
    """
    from aiohttp import ClientError
    from ray.exceptions import AuthenticationError

    token: Any = AuthenticationError
    try:
        yield
    except token as error:
        why = str(error).split("\n")[0]
        raise InputError(
            f"{url} did not let us in: {why}",
            f"set {TOKEN_PATH_NAME} to the file with the cluster's token (~/.ray/auth_token), {MODE_NAME}=token",
        ) from None
    except (OSError, RuntimeError, ClientError) as error:
        if "401" in str(error)[:200] or "403" in str(error)[:200]:
            raise InputError(f"{url} did not let us in: {error}", f"set {TOKEN_PATH_NAME}, {MODE_NAME}=token") from None
        raise SatganError(
            f"no job server answers at {url}: {str(error).strip()[-500:]}",
            "see whether the cluster is up (`ray up`), and the address",
        ) from None
