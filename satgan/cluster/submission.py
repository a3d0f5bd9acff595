"""From the words of `satgan submit` to what the job server is handed: command, working directory, environment.

What is handed to it can be read by everybody who may list jobs, so no secret goes into it: machines get their
credentials from their own roles.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from satgan.cluster.cluster_file import ClusterFile
from satgan.cluster.prices import Instance, instance_of, instances
from satgan.errors import ConfigError, InputError
from satgan.provenance import COMMIT_NAME, commit
from satgan.tiles.store import S3Store, open_store

STOP_SECONDS = 600
"""So long a stopped job may save before it is killed; a store that does not answer is tried for 300 s."""
ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
RUN = "satgan_run"
"""What a job's metadata tell: the url of what it trains."""


class Submission(NamedTuple):
    """What the job server is handed.

    run          url of the run or sweep; jobs of the same one are attempts at it
    words        of the command, as run on the head
    working_dir  the source that travels; None: the machines have it installed
    environment  of the job and of its workers
    """

    run: str
    words: tuple[str, ...]
    working_dir: Path | None
    environment: dict[str, str]

    def job_id(self, attempt: int) -> str:
        """The name of a job: the same for all who submit this attempt at this run, so that only one can."""
        digest = hashlib.sha256(self.run.encode()).hexdigest()[:8]
        return f"{self.run.rsplit('/', 1)[-1]}-{digest}-{attempt}"

    def options(self, attempt: int) -> list[str]:
        """Of `ray job submit`, after the address."""
        where = ["--working-dir", str(self.working_dir)] if self.working_dir else []
        environment = json.dumps({"env_vars": self.environment})
        about = json.dumps({RUN: self.run})
        return [
            "--submission-id", self.job_id(attempt), "--no-wait", *where, "--runtime-env-json", environment,
            "--metadata-json", about, "--", *self.words,
        ]  # fmt: skip


def submission(
    verb: str, words: Sequence[str], store: str, name: str, tiles: str | None, files: Iterable[Path]
) -> Submission:
    """What `satgan VERB WORDS` would do here, for a cluster.

    Args:
        verb: train or sweep.
        words: after it.
        store: that they name.
        name: of the run or sweep in it.
        tiles: that they name.
        files: that they name; their paths become those in the job's working directory.

    Raises:
        ConfigError: a place that the cluster's machines do not see, or a file that does not travel.
        InputError: the endpoint has a password in it.
    """
    for option, url in (("--store", store), ("--tiles", tiles)):
        if url is not None:
            _check_shared(option, url)
    root = _source_root()
    for file in files:
        words = _with_travelling(words, file, root)
    run = f"{store.rstrip('/')}/{name}"
    return Submission(run, ("python", "-m", "satgan", verb, *words), root, _environment(store))


def prices_of(cluster: Path) -> dict[str, float]:
    """What a cluster's machines cost in USD per hour, as options of a run: a worker's share of the machine that the
    autoscaler prefers (one worker per GPU), and the head.

    Raises:
        ConfigError: it is no cluster file, or an instance type is not in the table.
    """
    tree, table = ClusterFile(cluster).tree, instances()
    kinds = dict(tree["available_node_types"])
    head = kinds.pop(tree["head_node_type"])
    found = {"train.head_price": _machine(head, table)[1]}
    preferred = max(kinds.values(), key=lambda kind: int(kind.get("priority", 0)), default=None)
    if preferred:
        gpus, price = _machine(preferred, table)
        found["train.worker_price"] = price / max(1, gpus)
    return found


def _machine(kind: Mapping[str, Any], table: Mapping[str, Instance]) -> tuple[int, float]:
    """GPUs and price of a type of machine."""
    config = kind["node_config"]
    instance = instance_of(config["InstanceType"], table)
    is_spot = (config.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
    return instance.gpus, instance.dollars_per_hour(is_spot)


def _check_shared(option: str, url: str) -> None:
    """Refuses a place that means another one on another machine.

    Raises:
        ConfigError: it is neither a bucket nor an absolute path.
    """
    if not url.startswith(("s3://", "/")):
        raise ConfigError(
            f"{option} {url} is a folder of this machine, which the cluster's machines do not see",
            f"give {option} s3://bucket/prefix, or the absolute path of a disk that they share",
        )


def _source_root() -> Path | None:
    """The checkout that this satgan runs from; None where it was installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else None


def _with_travelling(words: Sequence[str], file: Path, root: Path | None) -> list[str]:
    """The words with the path of a file as it will be in the job's working directory.

    Raises:
        ConfigError: it does not travel there.
    """
    path = file.expanduser().resolve()
    if root is None or not path.is_relative_to(root) or _is_ignored(path, root):
        raise ConfigError(
            f"{file} does not travel to the cluster: it is outside of {root or 'a checkout'}, or .gitignore has it",
            "put the file where both are not so",
        )
    return [_renamed(word, file, str(path.relative_to(root))) for word in words]


def _renamed(word: str, file: Path, there: str) -> str:
    """The word with the file's new path, where it is the file, or an option with the file behind its `=`."""
    option, sign, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{sign}{there}" if value and Path(value) == file else word


def _is_ignored(path: Path, root: Path) -> bool:
    command = ["git", "-C", str(root), "check-ignore", "--quiet", str(path)]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _environment(store: str) -> dict[str, str]:
    found = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS), COMMIT_NAME: commit()}
    for name in ENDPOINTS:
        if url := os.environ.get(name):
            if urlsplit(url).password:
                raise InputError(f"{name} has a password in it", "jobs can be listed: give an address without one")
            found[name] = url
    opened = open_store(store)
    if isinstance(opened, S3Store) and opened.region:
        found["AWS_DEFAULT_REGION"] = opened.region
    return found
