"""Loaders that are measured, each in a process of its own: ours, raw sockets, and training with ours.

`python -m bench.tile_loaders NAME OPTIONS-AS-JSON` prints a line of JSON. Peers are in `bench.tile_peers`.
"""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.tile_server import BUCKET, SET_NAME, connect
from satgan.tiles.manifest import MANIFEST_NAME, Manifest

BATCH = 64
SEED = 7
RAW_THREADS = 4
MARK = "SATGAN_BENCH_MARK"
TRAIN_STEPS = 40


class Options(NamedTuple):
    """What a loader is told.

    root         folder that the server shows
    endpoint     of the server
    certificate  that vouches for it, or nothing
    tiles        of an epoch
    epochs       to be timed, after a first one
    """

    root: str
    endpoint: str
    certificate: str | None
    tiles: int
    epochs: int


Loader = Callable[[Options], Iterator[int]]
"""Gives 0 once its libraries are loaded and its client is made, then the number of tiles of each batch, without end."""


class Timed(NamedTuple):
    """Seconds from a ready loader to its first batch; wall and CPU of each timed epoch, of all its processes."""

    first_batch_seconds: float
    wall_seconds: list[float]
    cpu_seconds: list[float]


def ours(options: Options) -> Iterator[int]:
    """The stream as training uses it, every piece from the server in every epoch."""
    from satgan.tiles.stream import TileStream
    from satgan.tiles.tile_set import open_tile_set

    tile_set = open_tile_set(f"s3://{BUCKET}/{SET_NAME}")
    yield 0
    with TileStream(tile_set, lanes=1, my_lanes=[0], lane_batch=BATCH, seed=SEED, keep=False) as stream:
        for batch in stream:
            yield batch.tiles.shape[1]


def raw(options: Options) -> Iterator[int]:
    """Sockets that receive the same ranges, each into new memory, which batches are slices of: no digest or order."""
    manifest = Manifest.model_validate_json((Path(options.root) / BUCKET / SET_NAME / MANIFEST_NAME).read_bytes())
    local, stack = threading.local(), ExitStack()

    def receive(piece: int) -> NDArray[np.uint8]:
        if not hasattr(local, "connection"):
            local.connection = connect(options.endpoint, Path(options.certificate) if options.certificate else None)
            stack.callback(local.connection.close)
        place = manifest.piece_place(piece)
        tiles = np.empty((place.tiles, manifest.tile_bytes), np.uint8)
        asked = f"bytes={place.offset_bytes}-{place.offset_bytes + tiles.nbytes - 1}"
        local.connection.request("GET", f"/{BUCKET}/{SET_NAME}/{place.shard.name}", headers={"Range": asked})
        answer, rest = local.connection.getresponse(), tiles.data.cast("B")
        while len(rest):
            rest = rest[answer.readinto(rest) :]
        answer.read()
        return tiles

    yield 0
    with stack, ThreadPoolExecutor(RAW_THREADS) as threads:
        while True:
            for tiles in threads.map(receive, range(manifest.piece_count)):
                yield from (len(tiles[first : first + BATCH]) for first in range(0, len(tiles), BATCH))


LOADERS: dict[str, Loader] = {"ours": ours, "raw": raw}


def timed(loader: Loader, options: Options) -> Timed:
    """A first epoch, then timed ones."""
    wall, cpu = [], []
    with closing(loader(options)) as batches:  # type: ignore[type-var]  # all loaders are generators
        assert next(batches) == 0
        began = time.perf_counter()
        seen = next(batches)
        first = time.perf_counter() - began
        for epoch in range(options.epochs + 1):
            start, start_cpu = time.perf_counter(), cpu_seconds()
            while seen < (epoch + 1) * options.tiles:
                seen += next(batches)
            wall.append(time.perf_counter() - start)
            cpu.append(cpu_seconds() - start_cpu)
    return Timed(first, wall[1:], cpu[1:])


def cpu_seconds() -> float:
    """User and system time of this process and of all that bear its mark, however they were started."""
    mark, tick = f"{MARK}={os.environ.get(MARK, '')}".encode(), os.sysconf("SC_CLK_TCK")
    total = time.process_time()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) != os.getpid() and mark in (folder / "environ").read_bytes().split(b"\0"):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, fields[11:15])) / tick
        except OSError:
            continue  # it has ended
    children = os.times()
    return total + children.children_user + children.children_system


def train_waiting(options: Options) -> dict[str, float]:
    """The share of the time after the first step that training (`demo`) waits for tiles."""
    from satgan.config import load_config
    from satgan.train.loop import train_loop
    from satgan.train.watch import Watch

    with tempfile.TemporaryDirectory() as store:
        given: dict[str, dict[str, Any]] = {
            "tiles": {"source": f"s3://{BUCKET}/{SET_NAME}", "cache": "none"},
            "train": {
                "store": store, "workers": 0, "steps": TRAIN_STEPS, "log_steps": 1, "checkpoint_steps": TRAIN_STEPS,
                "film_steps": TRAIN_STEPS,
            },
        }  # fmt: skip
        train_loop(load_config("demo", given), Watch(lambda progress: None, lambda step, url, numbers: None))
        lines = (Path(store) / "demo" / "journal.jsonl").read_text().splitlines()
    entries = [entry["timing"] for entry in map(json.loads, lines) if "timing" in entry]
    waited = [entry["waited_share"] * entry["seconds"] for entry in entries]
    seconds = entries[-1]["seconds"] - entries[0]["seconds"]
    return {"waited_share": (waited[-1] - waited[0]) / seconds, "seconds": seconds}


def main() -> int:
    """One measurement."""
    name, options = sys.argv[1], Options(**json.loads(sys.argv[2]))
    print(json.dumps(train_waiting(options) if name == "train" else timed(LOADERS[name], options)._asdict()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
