"""The judge over the checkpoints of one training: at its end, and at the CPU time that the plain DCGAN took."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from satgan.gallery.draw import draw_tiles, sample_noise
from satgan.judge.judgement import judge
from satgan.judge.reference import VERSION, Reference
from satgan.judge.score import about as about_score
from satgan.pictures.grid import grid_png
from satgan.tiles.store import open_store
from satgan.train.checkpoint import FOLDER, Checkpoint, complete_steps, name_of
from satgan.train.restored import generator_of

SAMPLE_SEED = 0
GRID_TILES = 64


class Judged(NamedTuple):
    """A variant on a set from a seed.

    Attributes:
        set_name, variant, seed: which.
        cpu_seconds: to the end.
        score: overall, at the end.
        equal_cpu_score: the same after as many CPU seconds as the plain DCGAN took.
        ratios: of the scores that rank, at the end.
    """

    set_name: str
    variant: str
    seed: int
    cpu_seconds: float
    score: float
    equal_cpu_score: float
    ratios: dict[str, float]


def judge_run(
    folder: Path, about: tuple[str, str, int], averaged: bool, cost: Mapping[int, float], cpu_seconds: float,
    reference: Reference, grid: Path,
) -> Judged:  # fmt: skip
    """One row.

    Args:
        folder: of the run.
        about: set, variant and seed.
        averaged: which generator.
        cost: CPU seconds up to each step with a checkpoint.
        cpu_seconds: the budget for the score at equal CPU time.
        reference: the set's.
        grid: where the picture of the end goes.
    """
    steps = complete_steps(open_store(str(folder)))
    which = "average" if averaged else "raw"
    score, ratios = _scores(folder, steps[-1], which, reference)
    before = [step for step in steps if cost[step] <= cpu_seconds]
    if not before:
        equal = math.nan
    elif before[-1] == steps[-1]:
        equal = score
    else:
        pair = before[-1], steps[len(before)]
        known = [_scores(folder, step, which, reference)[0] for step in pair]
        share = (cpu_seconds - cost[pair[0]]) / (cost[pair[1]] - cost[pair[0]])
        equal = known[0] ** (1 - share) * known[1] ** share
    _draw_grid(folder, steps[-1], which, grid)
    return Judged(*about, cost[steps[-1]], score, equal, ratios)


def _scores(folder: Path, step: int, which: str, reference: Reference) -> tuple[float, dict[str, float]]:
    """Overall score and ranking ratios of a checkpoint; kept in the run's folder."""
    kept = folder / f"judged-{which}-{step:08d}-{reference.tiles_per_side}-v{VERSION}.json"
    if not kept.exists():
        checkpoint = _checkpoint(folder, step)
        noise = sample_noise(SAMPLE_SEED, 0, reference.tiles_per_side, checkpoint.config().gan.noise_size)
        found = judge(draw_tiles(generator_of(checkpoint, which), noise), reference)
        kept.write_text(json.dumps(found.as_dict()))
    told = json.loads(kept.read_text())
    ratios = {name: score["ratio"] for name, score in told["scores"].items() if about_score(name).ranks}
    return float(told["score"]), ratios


def _draw_grid(folder: Path, step: int, which: str, grid: Path) -> None:
    if grid.exists():
        return
    checkpoint = _checkpoint(folder, step)
    noise = sample_noise(SAMPLE_SEED, 0, GRID_TILES, checkpoint.config().gan.noise_size)
    grid.parent.mkdir(parents=True, exist_ok=True)
    grid.write_bytes(grid_png(draw_tiles(generator_of(checkpoint, which), noise), columns=8))


def _checkpoint(folder: Path, step: int) -> Checkpoint:
    return Checkpoint(open_store(str(folder)).child(f"{FOLDER}/{name_of(step)}"))
