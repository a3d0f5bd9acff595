"""Does each part of the recipe pay? `scripts/bench quality --set NAME=TILESET …`

Every variant trains on every set from every seed, one process on one core each, with networks of equal size; then the
judge compares its tiles with the set's: at equal tiles seen (the end), and at equal CPU time (what the plain DCGAN took
to its end; interpolated between checkpoints). What was trained with the same config and judged under --root is not done
again, so a long table can be made in several goes. The table goes to stdout, progress to stderr, grids to ROOT/grids.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import torch

from bench.machine import describe_machine
from bench.quality_judging import Judged, judge_run
from bench.quality_table import markdown
from bench.quality_training import config_of, cost_of
from bench.quality_variants import VARIANTS, training_of
from satgan.config import Config
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


class Table(NamedTuple):
    """What all of a table's trainings share: where they are kept, the sets' places by name, the tiles seen by each."""

    root: Path
    sets: dict[str, str]
    tiles_seen: int

    def training(self, run: Run) -> Config:
        """The config of the training that a run is judged by."""
        variant = training_of(run.variant)
        name = str(run._replace(variant=variant))
        return config_of(str(self.root / "runs"), name, variant, self.sets[run.set_name], run.seed, self.tiles_seen)


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
    table = Table(root, _sets(root, given.set), given.tiles_seen)
    runs = [Run(name, variant, seed) for seed, variant, name in product(given.seeds, given.variants, table.sets)]
    _train_all(
        table, sorted({run._replace(variant=training_of(run.variant)) for run in runs}, key=lambda run: run.seed)
    )
    rows: list[Judged] = []
    for name, url in table.sets.items():
        reference = _reference(url)
        mine = [run for variant in given.variants for run in runs if (run.set_name, run.variant) == (name, variant)]
        rows += [judged for run in mine if (judged := _judge(table, run, reference))]
    for title, value in describe_machine(torch.device("cpu")).items():
        print(f"- {title}: {value}")
    print(f"- {given.tiles_seen:,} tiles seen; judged with {TILES} tiles a side; medians of {len(given.seeds)} seeds\n")
    print(markdown(rows))
    return 0 if len(rows) == len(runs) else 1


def _sets(root: Path, given: Sequence[str]) -> dict[str, str]:
    named = dict(entry.split("=", 1) for entry in given)
    return {DEMO_SET: demo_tile_set(root / "sets", 1234).store.url} | {
        name: str(Path(path).absolute()) for name, path in named.items()
    }


def _train_all(table: Table, runs: Sequence[Run]) -> None:
    """Trains what is missing, a process per core."""
    cores: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def train(run: Run) -> None:
        if cost_of(table.training(run)) is not None:
            return
        core = cores.get()
        try:
            _train(table, run, core)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(cores.qsize()) as pool:
        list(pool.map(train, runs))


def _train(table: Table, run: Run, core: int) -> None:
    told = [table.root / "runs", run, run.variant, table.sets[run.set_name], run.seed, table.tiles_seen]
    command = [sys.executable, "-m", "bench.quality_training", *map(str, told)]
    _say(f"training {run}")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    if done.returncode:
        _say(f"left out: {run}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def _reference(url: str) -> Reference:
    tile_set = open_tile_set(url)
    return make_reference(pick_tiles(tile_set, 2 * TILES, 0))


def _judge(table: Table, run: Run, reference: Reference) -> Judged | None:
    """The run's judgement, from what is kept beside it where it was made before; None where it was not trained."""
    training = table.training(run)
    cost = cost_of(training)
    if cost is None:
        return None
    plain = cost_of(table.training(run._replace(variant="plain"))) or cost
    _say(f"judging {run}")
    folder = Path(training.train.store, training.train.name)
    averaged, grid = VARIANTS[run.variant].averaged, table.root / "grids" / f"{run}.png"
    return judge_run(folder, run, averaged, cost, max(plain.values()), reference, grid)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
