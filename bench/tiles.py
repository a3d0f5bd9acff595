"""How fast tiles stream, beside raw sockets and other loaders: `scripts/bench tiles`.

nginx serves a set of noise tiles on loopback: as it is, by TLS, and with 30 ms to the first byte and 90 MB/s per
connection. Each loader runs in a process of its own; CPU is that of all its processes, the server's apart. The table
goes to stdout, progress and what is left out to stderr.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from bench.machine import describe_machine
from bench.peer_environment import peer_python
from bench.tile_loaders import MARK, Options
from bench.tile_server import Endpoints, make_set, serving
from bench.tile_table import Row, markdown

ROOT = Path("build") / "bench-tiles"
PEER_FOLDER = "peers"
TILES, ROUNDS = 40_960, 5
TIME_LIMIT_SECONDS = 300.0
OURS = (
    ("ours", "http"),
    ("raw", "http"),
    ("ours", "tls"),
    ("raw", "tls"),
    ("ours", "far"),
)
PEERS = ("s3torchconnector", "mosaicml-streaming", "webdataset", "ray data")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 where nginx is missing."""
    parser = argparse.ArgumentParser(prog="scripts/bench tiles", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="where the set is made and kept")
    parser.add_argument("--tiles", type=int, default=TILES, help="of the set")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed epochs, of which the table has the median")
    parser.add_argument("--no-peers", action="store_true", help="leave out the loaders of others")
    parser.add_argument("--no-training", action="store_true", help="leave training out")
    given = parser.parse_args(words)
    root = given.root.absolute()
    _say(f"the set: {make_set(root, given.tiles).manifest.tile_count} tiles in {root}")
    try:
        with serving(root) as endpoints:
            _measure_all(given, root, endpoints)
    except FileNotFoundError as error:
        _say(str(error))
        return 1
    return 0


def _measure_all(given: argparse.Namespace, root: Path, endpoints: Endpoints) -> None:
    rows: dict[tuple[str, str], Row] = {}
    python = None if given.no_peers else peer_python(root / PEER_FOLDER)
    if python is None:
        _say("left out: the loaders of others" + (": they cannot be installed" if not given.no_peers else ""))
    peers = [(name, "http") for name in PEERS] if python else []
    for name, server in (*OURS, *peers):
        endpoint = getattr(endpoints, server)
        if endpoint is None:
            _say(f"left out: {name} from the far server: apt-get install libnginx-mod-http-echo")
            continue
        options = Options(str(root), endpoint, str(endpoints.certificate), given.tiles, given.rounds)
        found = _run(str(python) if name in PEERS else sys.executable, name, options)
        if found is not None:
            first = [found["first_batch_seconds"]]
            rows[name, server] = Row(name, server, given.tiles, first, found["wall_seconds"], found["cpu_seconds"])
    training = None
    if not given.no_training:
        training = _run(sys.executable, "train", Options(str(root), endpoints.http, None, given.tiles, 1))
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"- {name}: {value}")
    print(f"- set: {given.tiles} tiles of 64×64×3; batch 64; warm epochs\n")
    print(markdown(rows, training["waited_share"] if training else None))


def _run(python: str, name: str, options: Options) -> dict[str, Any] | None:
    """What the loader's process prints; None, and a line on stderr, where it failed."""
    _say(f"{name} from {options.endpoint}")
    module = "bench.tile_peers" if name in PEERS else "bench.tile_loaders"
    environment = os.environ | ENVIRONMENT | {MARK: uuid4().hex, "AWS_ENDPOINT_URL": options.endpoint}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    if options.certificate:
        environment["AWS_CA_BUNDLE"] = options.certificate
    command = [python, "-m", module, name, json.dumps(options._asdict())]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS, check=True
        )
    except OSError as error:
        _say(f"left out: {name}: {error}")
        return None
    except subprocess.TimeoutExpired:
        _say(f"left out: {name}: it did not end within {TIME_LIMIT_SECONDS:.0f} s")
        return None
    except subprocess.CalledProcessError as error:
        _say(f"left out: {name}: {(error.stderr.strip().splitlines() or ['failed'])[-1]}")
        return None
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
