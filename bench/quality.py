"""Does each part of the recipe pay? `scripts/bench quality --set NAME=TILESET …`

Every variant trains on every set from every seed, one process on one core each, with networks of equal size; then the
judge compares its tiles with the set's: at equal tiles seen (the end), and at equal CPU time (what the plain DCGAN took
to its end; interpolated between checkpoints). What is trained and judged already under --root is not done again, so a
long table can be made in several goes. The table goes to stdout, progress to stderr, grids to ROOT/grids.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import torch

from bench.machine import describe_machine
from bench.quality_judging import Judged, judge_run
from bench.quality_table import markdown
from bench.quality_training import COST_NAME
from bench.quality_variants import VARIANTS, training_of
from satgan.judge.reference import Reference, make_reference, pick_tiles
from satgan.tiles.demo import demo_tile_set
from satgan.tiles.tile_set import open_tile_set

ROOT = Path("build") / "bench-quality"
SEEDS = (1234, 1235, 1236)
TILES_SEEN = 102_400
TILES = 512
DEMO_SET = "demo"


class Run(NamedTuple):
    """One training: a set, a variant's name and a seed."""

    set_name: str
    variant: str
    seed: int

    def __str__(self) -> str:
        return f"{self.set_name}-{self.variant}-{self.seed}"


def main(words: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 where a training failed."""
    parser = argparse.ArgumentParser(prog="scripts/bench quality", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="where runs, judgements and grids are kept")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=TILESET", help="beside the demo's")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--tiles-seen", type=int, default=TILES_SEEN, help="by every run, in batches of its own size")
    given = parser.parse_args(words)
    root = given.root.absolute()
    sets = _sets(root, given.set)
    trainings = {Run(name, training_of(variant), seed) for seed, variant, name in _cells(given, sets)}
    failed = _train_all(root, sets, sorted(trainings, key=lambda run: run.seed), given.tiles_seen)
    rows: list[Judged] = []
    for name, url in sets.items():
        reference = _reference(url)
        rows += [one for run in _runs_of(given, name) if run not in failed for one in _judge(root, run, reference)]
    for title, value in describe_machine(torch.device("cpu")).items():
        print(f"- {title}: {value}")
    print(f"- {given.tiles_seen:,} tiles seen; judged with {TILES} tiles a side; medians of {len(given.seeds)} seeds\n")
    print(markdown(rows))
    return 1 if failed else 0


def _cells(given: argparse.Namespace, sets: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    return product(given.seeds, given.variants, sets)


def _runs_of(given: argparse.Namespace, name: str) -> list[Run]:
    return [Run(name, variant, seed) for variant in given.variants for seed in given.seeds]


def _sets(root: Path, given: Sequence[str]) -> dict[str, str]:
    named = dict(entry.split("=", 1) for entry in given)
    return {DEMO_SET: demo_tile_set(root / "sets", 1234).store.url} | {
        name: str(Path(path).absolute()) for name, path in named.items()
    }


def _train_all(root: Path, sets: dict[str, str], runs: Sequence[Run], tiles_seen: int) -> set[Run]:
    """Trains what is missing, a process per core; returns the runs that failed."""
    cores: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def train(run: Run) -> bool:
        if (root / "runs" / str(run) / COST_NAME).exists():
            return True
        core = cores.get()
        try:
            return _train(root, sets[run.set_name], run, tiles_seen, core)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(cores.qsize()) as pool:
        done = list(pool.map(train, runs))
    return {run for run, whole in zip(runs, done, strict=True) if not whole}


def _train(root: Path, tiles: str, run: Run, tiles_seen: int, core: int) -> bool:
    told = [root / "runs", run, run.variant, tiles, run.seed, tiles_seen]
    command = [sys.executable, "-m", "bench.quality_training", *map(str, told)]
    _say(f"training {run}")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    if done.returncode:
        _say(f"left out: {run}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.returncode == 0


def _reference(url: str) -> Reference:
    tile_set = open_tile_set(url)
    return make_reference(pick_tiles(tile_set, 2 * TILES, 0))


def _judge(root: Path, run: Run, reference: Reference) -> list[Judged]:
    """The run's judgements, from `judged.json` beside it where they were made before."""
    training = Run(run.set_name, training_of(run.variant), run.seed)
    baseline = Run(run.set_name, "plain", run.seed)
    folder, plain = root / "runs" / str(training), root / "runs" / str(baseline)
    if not (plain / COST_NAME).exists():
        plain = folder
    _say(f"judging {run}")
    grid = root / "grids" / f"{run}.png"
    about = (run.set_name, run.variant, run.seed)
    return judge_run(folder, about, VARIANTS[run.variant].averaged, _end_seconds(plain), reference, grid)


def _end_seconds(folder: Path) -> float:
    cost: dict[str, float] = json.loads((folder / COST_NAME).read_text())
    return max(cost.values())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
