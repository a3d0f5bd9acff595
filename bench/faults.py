"""What faults cost: how soon each is found, how soon the run takes its next step, and how many steps are taken again.

A tiny net; each fault is done once. Those under Ray are done to a bare TorchTrainer as well, which tells how much
of the seconds is Ray's own. On a busy machine all of them are upper bounds. It needs root, for a small disk.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.faults_alone import with_files_and_drivers, with_numbers
from bench.faults_ray import CHECKPOINT_STEPS, HANG_SECONDS, Row, under_ray
from bench.faults_stores import Trouble, with_stores
from satgan.randomness import Purpose, generator
from satgan.tiles.shards import pack

PARTS = ("alone", "stores", "ray")


def main(words: Sequence[str] | None = None) -> int:
    """Exit status 0."""
    parser = argparse.ArgumentParser(prog="scripts/bench faults", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args(words)
    rows: list[Row] = []
    troubles: list[Trouble] = []
    with tempfile.TemporaryDirectory(prefix="satgan-bench-") as name:
        folder = Path(name)
        pack(_tiles(), f"{folder}/set", size=16, channels=3, seed=1, source="made", cut={})
        if "alone" in given.parts:
            rows += [*with_files_and_drivers(folder), with_numbers(folder)]
        if "stores" in given.parts:
            troubles = with_stores(folder)
        if "ray" in given.parts:
            rows = [*under_ray(folder), *rows]
    from torch import device

    from bench.machine import describe_machine

    for about, value in describe_machine(device("cpu")).items():
        print(f"- {about}: {value}")
    print(f"- 2 workers under Ray, a checkpoint every {CHECKPOINT_STEPS} steps, train.hang_seconds {HANG_SECONDS}\n")
    print(markdown(rows))
    print(f"\n{store_table(troubles)}")
    return 0


def markdown(rows: Sequence[Row]) -> str:
    """The table of what ends a process, or its numbers."""
    heads = (
        "fault", "what happened", "steps lost", "found, s", "workers back, s", "next step, s",
        "bare TorchTrainer's next step, s",
    )  # fmt: skip
    lines = []
    for row in rows:
        seconds = (row.found_seconds, row.workers_seconds, row.step_seconds, row.bare_seconds)
        lines.append((row.fault, row.happened, str(row.steps_lost), *map(_told, seconds)))
    return _table(heads, lines)


def store_table(troubles: Sequence[Trouble]) -> str:
    """The table of what befalls the store: no step is lost there."""
    heads = (
        "fault", "for, s", "next step, s", "steps meanwhile", "longest step, s", "checkpoint whole after it, s",
        "in the journal",
    )  # fmt: skip
    lines = []
    for one in troubles:
        seconds = (
            f"{one.step_seconds:.3f}",
            f"{one.steps:,}",
            f"{one.longest_seconds:.2f}",
            f"{one.whole_seconds:.1f}",
        )
        lines.append((one.fault, f"{one.seconds:g}", *seconds, one.told))
    return _table(heads, lines)


def _told(seconds: float | None) -> str:
    return "—" if seconds is None else f"{seconds:.2f}" if seconds < 1 else f"{seconds:.1f}"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ("---",) * len(heads), *lines))


def _tiles() -> Any:
    for number in range(150):
        stream = generator(5, Purpose.SAMPLE, step=number)
        yield f"tile-{number}", stream.integers(0, 256, (16, 16, 3), dtype=np.uint8)


if __name__ == "__main__":
    sys.exit(main())
