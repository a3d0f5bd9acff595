"""From the words of `satgan submit` to what the job server is handed: command, working directory, environment.

What is handed to it can be read by everybody who may list jobs, so no secret goes into it: machines get their
credentials from their own roles.
"""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from satgan.cluster.cluster_file import ClusterFile
from satgan.cluster.prices import Instance, instance_of
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
    source       the checkout that travels; None: the machines have satgan installed
    files        what travels with it, by the path in the job's working directory
    environment  of the job and of its workers
    """

    run: str
    words: tuple[str, ...]
    source: Path | None
    files: dict[str, bytes]
    environment: dict[str, str]

    def job_id(self, attempt: int) -> str:
        """The name of a job: the same for all who submit this attempt at this run, so that only one can."""
        digest = hashlib.sha256(self.run.encode()).hexdigest()[:8]
        return f"{self.run.rsplit('/', 1)[-1]}-{digest}-{attempt}"

    @contextmanager
    def working_dir(self) -> Iterator[Path | None]:
        """The folder that is uploaded, for the time of a `with` block; None: there is nothing to upload.

        The checkout itself, which is not written into; files that travel with it lie in a folder beside links to all
        that is in it, .gitignore too.
        """
        if not self.files:
            yield self.source
            return
        with tempfile.TemporaryDirectory(prefix="satgan-submit-") as made:
            for there in self.source.iterdir() if self.source else ():
                Path(made, there.name).symlink_to(there)
            for name, content in self.files.items():
                file = Path(made, name)
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(content)
            yield Path(made)

    def options(self, attempt: int, working_dir: Path | None) -> list[str]:
        """Of `ray job submit`, after the address."""
        where = ["--working-dir", str(working_dir)] if working_dir else []
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
        ConfigError: a place that the cluster's machines do not see, or a file that cannot be read.
        InputError: the endpoint has a password in it.
    """
    for option, url in (("--store", store), ("--tiles", tiles)):
        if url is not None:
            _check_shared(option, url)
    source, copied = _source_root(), dict[str, bytes]()
    for file in files:
        there = _place_in_source(file, source)
        if there is None:
            there, content = _copy(file)
            copied[there] = content
        words = [_renamed(word, file, there) for word in words]
    run = f"{store.rstrip('/')}/{name}"
    return Submission(run, ("python", "-m", "satgan", verb, *words), source, copied, _environment(store))


class Price(NamedTuple):
    """What a machine, or a worker's share of one, costs in USD per hour, and which machine that is."""

    dollars_per_hour: float
    machine: str


def head_price(cluster: ClusterFile, table: Mapping[str, Instance]) -> Price:
    """What the head costs.

    Raises:
        ConfigError: its instance type is not in the table.
    """
    head = cluster.tree["head_node_type"]
    return _price(head, cluster.tree["available_node_types"][head], table)


def worker_price(cluster: ClusterFile, table: Mapping[str, Instance], is_dearest: bool) -> Price | None:
    """What a worker's share of its machine costs, one worker per GPU.

    Args:
        cluster: file with the machines.
        table: of instance types.
        is_dearest: of the dearest machine that may come, for a bound; else of the one that the autoscaler prefers.

    Returns:
        The price; None where no machine may come.

    Raises:
        ConfigError: an instance type is not in the table.
    """
    kinds = {name: kind for name, kind in cluster.tree["available_node_types"].items() if kind.get("max_workers") != 0}
    kinds.pop(cluster.tree["head_node_type"], None)
    if not kinds:
        return None
    if is_dearest:
        instead = cluster.on_demand_instead > 0
        price = max(_price(name, kind, table, instead) for name, kind in kinds.items())
        return price._replace(machine=f"{price.machine}, the dearest that may come, since there is a budget")
    name = max(kinds, key=lambda name: int(kinds[name].get("priority", 0)))
    return _price(name, kinds[name], table)


def _price(name: str, kind: Mapping[str, Any], table: Mapping[str, Instance], on_demand: bool = False) -> Price:
    """Of a type of machine, by GPU where it has some; of a spot one also as it costs on demand."""
    config = kind["node_config"]
    instance = instance_of(config["InstanceType"], table)
    is_spot = (config.get("InstanceMarketOptions") or {}).get("MarketType") == "spot" and not on_demand
    machine = f"{name}, {config['InstanceType']} {'on spot' if is_spot else 'on demand'}"
    share = f", one of its {instance.gpus} GPUs" if instance.gpus > 1 else ""
    return Price(instance.dollars_per_hour(is_spot) / max(1, instance.gpus), machine + share)


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


def _place_in_source(file: Path, source: Path | None) -> str | None:
    """A file's path in the checkout; None where it does not travel with it: it lies outside, or git ignores it."""
    path = file.resolve()
    if source is None or not path.is_relative_to(source) or _is_ignored(path, source):
        return None
    return str(path.relative_to(source))


def _copy(file: Path) -> tuple[str, bytes]:
    """The path of a copy in the job's working directory, and its content.

    Its folder is named by the content, so that a command with a changed file is another command; its own name stays,
    since a sweep without --name is named by it.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}", "give a file that is there") from None
    return f"submitted-{hashlib.sha256(content).hexdigest()[:8]}/{file.name}", content


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
