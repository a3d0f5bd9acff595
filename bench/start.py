"""How soon there is something: `scripts/bench start`, or `python -m bench.start`.

`satgan --help`; `satgan train demo` until its first step is in the journal, in one process and through Ray Train; and,
paired with that, a bare TorchTrainer of the same Ray whose loop says the time and returns. Every run is a process of
its own on a tile set that is there; CPU is that of the process and of the children that it waited for, Ray's own
processes not among them. The table goes to stdout, progress to stderr.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from satgan.randomness import Purpose, generator
from satgan.tiles.shards import pack

ROUNDS, RAY_ROUNDS = 5, 3
MOST_HELP_SECONDS, MOST_STEP_SECONDS, MOST_OVERHEAD_SECONDS = 0.5, 6.0, 1.0
TILES, LIMIT_SECONDS, LOOK_SECONDS = 256, 300.0, 0.002
IMPORTS = "import satgan.config, satgan.options, satgan.train_verb, satgan.train.start, satgan.train.loop"
BARE = "--bare-ray"


class Taken(NamedTuple):
    """Of one run: wall-clock seconds from the process's start to what was waited for, CPU seconds until its end."""

    wall_seconds: float
    cpu_seconds: float


def run(arguments: Sequence[str], mark: Path | None = None, folder: Path | None = None) -> Taken:
    """Runs a Python process.

    Args:
        arguments: of the interpreter.
        mark: a file that has a line for what is waited for once it is there; none: the process's end is waited for.
        folder: where it runs.

    Raises:
        RuntimeError: it failed, or the mark did not come.
    """
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        start, seen, ended = time.perf_counter(), None, 0
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=said, cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        while not ended:
            waiting = mark is not None and seen is None
            ended, status, usage = os.wait4(process.pid, os.WNOHANG if waiting else 0)
            if waiting and mark and _is_there(mark):
                seen = time.perf_counter() - start
            time.sleep(LOOK_SECONDS if waiting else 0)
            if time.perf_counter() - start > LIMIT_SECONDS:
                process.kill()
        whole = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or (mark and seen is None):
            said.seek(0)
            last = (said.read().strip().splitlines() or ["it said nothing"])[-1]
            raise RuntimeError(f"{' '.join(arguments[:4])} failed: {last}")
    return Taken(whole if seen is None else seen, usage.ru_utime + usage.ru_stime)


def _is_there(mark: Path) -> bool:
    return mark.exists() and b'"numbers"' in mark.read_bytes()


def make_tiles(folder: Path) -> str:
    """A tile set of noise for `demo`; its path."""
    pixels = generator(1, Purpose.SAMPLE).integers(0, 256, (TILES, 64, 64, 3), np.uint8)
    named = ((f"{number:06d}", tile) for number, tile in enumerate(pixels))
    pack(named, str(folder / "set"), size=64, channels=3, seed=1, source="noise", cut={})
    return str(folder / "set")


def first_step(folder: Path, tiles: str, workers: int) -> Taken:
    """`satgan train demo` until its first step; it ends after the second one, unjudged."""
    with tempfile.TemporaryDirectory(dir=folder) as store:
        options = {
            "tiles": tiles, "store": store, "workers": workers, "train.steps": 2, "train.log-steps": 1,
            "train.checkpoint-steps": 2, "train.film-steps": 2, "judge.tiles": 0,
        }  # fmt: skip
        words = [f"--{name}={value}" for name, value in options.items()]
        return run(["-m", "satgan", "train", "demo", *words], Path(store) / "demo" / "journal.jsonl", folder)


def bare_ray(folder: Path) -> Taken:
    """A TorchTrainer with one worker until its loop is entered, under the settings of our runs."""
    with tempfile.TemporaryDirectory(dir=folder) as store:
        return run(["-m", "bench.start", BARE, store], Path(store) / "mark", folder)


def _bare_loop(about: dict[str, str]) -> None:
    Path(about["mark"]).write_text('"numbers"')


def _train_barely(store: str) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from satgan.config import load_config
    from satgan.train.ray_cluster import ray_running

    with ray_running(load_config("demo", {"train": {"workers": 1}})):
        TorchTrainer(
            _bare_loop, train_loop_config={"mark": str(Path(store) / "mark")},
            scaling_config=ScalingConfig(num_workers=1), run_config=RunConfig(name="bare", storage_path=store),
        ).fit()  # fmt: skip


def measure(ways: Sequence[Callable[[], Taken]], rounds: int) -> list[list[Taken]]:
    """Each way's runs, taken in turn; a first round is not counted."""
    found: list[list[Taken]] = [[] for _ in ways]
    for number in range(rounds + 1):
        for way, taken in zip(ways, found, strict=True):
            taken.append(way())
        told = ", ".join(f"{taken[-1].wall_seconds:.2f} s" for taken in found)
        print(f"{'warm-up' if not number else f'round {number}'}: {told}", file=sys.stderr, flush=True)
    return [taken[1:] for taken in found]


class Row(NamedTuple):
    """A line: seconds on the wall and of CPU are medians; `most` is the goal for those on the wall."""

    what: str
    rounds: int
    wall_seconds: float
    cpu_seconds: float | None
    most: float | None


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    heads = ("what", "rounds", "wall, s", "CPU, s", "goal", "over goal", "")
    lines = [heads, ("---",) * len(heads), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Row) -> tuple[str, ...]:
    cpu = "—" if row.cpu_seconds is None else f"{row.cpu_seconds:.2f}"
    told = (row.what, str(row.rounds), f"{row.wall_seconds:.2f}", cpu)
    if row.most is None:
        return (*told, "", "", "")
    verdict = "reached" if row.wall_seconds < row.most else "missed"
    return (*told, f"< {row.most:g} s", f"{row.wall_seconds / row.most:.2f}×", verdict)


def _row(what: str, taken: Sequence[Taken], most: float | None = None) -> Row:
    wall, cpu = (median(getattr(one, name) for one in taken) for name in Taken._fields)
    return Row(what, len(taken), wall, cpu, most)


def main(words: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of which the median is told (default: %(default)s)")
    parser.add_argument("--ray-rounds", type=int, default=RAY_ROUNDS, help="0: without Ray (default: %(default)s)")
    parser.add_argument(BARE, metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.bare_ray:
        _train_barely(given.bare_ray)
        return 0
    with tempfile.TemporaryDirectory(prefix="satgan-bench-") as name:
        rows = _rows(Path(name), given.rounds, given.ray_rounds)
    import torch  # not above: what is waited for shall not wait for this process

    from bench.machine import describe_machine

    for about, value in describe_machine(torch.device("cpu")).items():
        print(f"- {about}: {value}")
    print("- wall: from the process's start; CPU: of the whole process; medians\n")
    print(markdown(rows))
    return 0


def _rows(folder: Path, rounds: int, ray_rounds: int) -> list[Row]:
    tiles = make_tiles(folder)
    helped, imported, alone = measure(
        [
            lambda: run(["-m", "satgan", "--help"]),
            lambda: run(["-c", IMPORTS]),
            lambda: first_step(folder, tiles, workers=0),
        ],
        rounds,
    )
    share = median(one.wall_seconds for one in imported) / median(one.wall_seconds for one in alone)
    rows = [
        _row("`satgan --help`", helped, MOST_HELP_SECONDS),
        _row("`satgan train demo --workers 0` to its first step", alone, MOST_STEP_SECONDS),
        _row(f"… of which its imports ({share:.0%})", imported),
    ]
    if ray_rounds:
        ours, bare = measure([lambda: first_step(folder, tiles, workers=1), lambda: bare_ray(folder)], ray_rounds)
        over = median(one.wall_seconds - other.wall_seconds for one, other in zip(ours, bare, strict=True))
        rows += [
            _row("`satgan train demo --workers 1`, through Ray Train, to its first step", ours),
            _row("a bare TorchTrainer, to its loop", bare),
            Row("… ours beyond that, in pairs", len(ours), over, None, MOST_OVERHEAD_SECONDS),
        ]
    return rows


if __name__ == "__main__":
    sys.exit(main())
