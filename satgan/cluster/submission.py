"""From the words of `satgan submit` to what the job server is handed: command, working directory, environment.

What is handed to it can be read by everybody who may list jobs, so no secret goes into it: machines get their
credentials from their own roles.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from satgan.errors import ConfigError, InputError
from satgan.options import Parser, config_from, forked_config_from, train_parser
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


def train_submission(words: Sequence[str], prices: dict[str, float]) -> Submission:
    """The run that `satgan train WORDS` would train here, for a cluster.

    Args:
        words: after `train`.
        prices: of the cluster's machines: `train.worker_price` and `train.head_price`; what `words` say goes before.

    Raises:
        ConfigError: an option that cannot be, or a place that the cluster's machines do not see.
    """
    given = train_parser(words).parse_all(words)
    priced = [] if "train.worker_price" in given or "train.head_price" in given else _priced(prices)
    words = [*words, *priced]
    parsed = train_parser(words).parse_all(words)
    if parsed.dry_run:
        raise ConfigError("--dry-run is not for a cluster", "give the same words to `satgan train`")
    config = forked_config_from(parsed)[0] if parsed.fork else config_from(parsed)
    root = source_root()
    if parsed.config is not None:
        words = _with_travelling(words, parsed.config, root)
    if config.train.workers is None:
        words = [*words, "--workers", "1" if config.train.lanes == 1 else f"1:{config.train.lanes}"]
    if config.tiles.source is not None:
        check_shared("--tiles", config.tiles.source)
    check_shared("--store", config.train.store)
    run = f"{config.train.store.rstrip('/')}/{config.train.name}"
    return Submission(run, ("python", "-m", "satgan", "train", *words), root, _environment(config.train.store))


def sweep_submission(words: Sequence[str]) -> Submission:
    """The sweep that `satgan sweep SPACE …` would make here, for a cluster.

    Args:
        words: after `sweep`; its own parser looks at them there.

    Raises:
        ConfigError: no space, one that does not travel, or a place that the cluster's machines do not see.
    """
    parser = Parser(prog="satgan submit sweep", add_help=False)
    parser.add_argument("space", type=Path)
    parser.add_argument("--store", "--train.store", required=True)
    parser.add_argument("--tiles", "--tiles.source")
    parser.add_argument("--name", "--train.name")
    given, _ = parser.parse_known_args(words)
    root = source_root()
    check_shared("--store", given.store)
    if given.tiles is not None:
        check_shared("--tiles", given.tiles)
    run = f"{given.store.rstrip('/')}/{given.name or given.space.stem}"
    words = _with_travelling(words, given.space, root)
    return Submission(run, ("python", "-m", "satgan", "sweep", *words), root, _environment(given.store))


def check_shared(option: str, url: str) -> None:
    """Refuses a place that means another one on another machine.

    Raises:
        ConfigError: it is neither a bucket nor an absolute path.
    """
    if not url.startswith(("s3://", "/")):
        raise ConfigError(
            f"{option} {url} is a folder of this machine, which the cluster's machines do not see",
            f"give {option} s3://bucket/prefix, or the absolute path of a disk that they share",
        )


def source_root() -> Path | None:
    """The checkout that this satgan runs from; None where it was installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else None


def _priced(prices: dict[str, float]) -> list[str]:
    names = {name: f"--{name.replace('_', '-')}" for name in prices}
    return [word for name, price in prices.items() for word in (names[name], f"{price:g}")]


def _with_travelling(words: Sequence[str], file: Path, root: Path | None) -> list[str]:
    """The words with the path of a file as it will be in the job's working directory.

    Raises:
        ConfigError: it does not travel there.
    """
    path = file.expanduser().resolve()
    if root is None or not path.is_relative_to(root):
        raise ConfigError(
            f"{file} lies outside of {root or 'a checkout'}, which is what travels to the cluster",
            "put the file there, where .gitignore does not leave it out",
        )
    there = str(path.relative_to(root))
    return [there if word == str(file) else word.replace(f"--config={file}", f"--config={there}") for word in words]


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
