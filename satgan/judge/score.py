"""The scores, their floors and ratios, and the one figure that ranks.

A score's *floor* is its value for real tiles in the place of the fakes. Its *ratio* says how many times worse than
real tiles the fakes are: 1 is as good. The overall score is the geometric mean of the ratios, each at least 1, so that
no score's luck pays for another's damage, and so that ten times worse in one weighs as much as ten times in another.
"""

import math
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from satgan.judge.description import Description
from satgan.judge.diversity import overlap
from satgan.judge.features import frechet_distance
from satgan.judge.histogram import wasserstein_distance
from satgan.judge.sliced import MMAGIC, SlicedSide, Tiles, level_sizes, sliced_distances
from satgan.judge.spectrum import checkerboard_distance, radial_distance


class Kind(Enum):
    """How a score's ratio comes from value and floor."""

    DISTANCE = "value over floor; lower is better"
    SHARE = "1 - value over 1 - floor; higher is better"
    DENSITY = "floor over value; higher is better"
    LIKENESS = "1 - floor over 1 - value; fakes may be as alike as reals are"
    NEARNESS = "value over floor; well below 1 are copies"


class About(NamedTuple):
    """What a score is, and whether it enters the overall score."""

    kind: Kind
    ranks: bool
    meaning: str


SCORES = {
    "spectrum": About(Kind.DISTANCE, True, "detail at every scale: blur, noise"),
    "checkerboard": About(Kind.DISTANCE, True, "grids that strided layers leave"),
    "histogram": About(Kind.DISTANCE, True, "colours and contrast, in grey levels"),
    "sliced_wasserstein": About(Kind.DISTANCE, True, "patches at all scales (PGGAN's SWD × 1,000, average)"),
    "frd_shallow": About(Kind.DISTANCE, True, "texture (Fréchet, random features; not FID)"),
    "frd_deep": About(Kind.DISTANCE, True, "layout and kinds (Fréchet, random features; not FID)"),
    "precision": About(Kind.SHARE, True, "share of fakes that lie among the reals"),
    "recall": About(Kind.SHARE, True, "share of reals that lie among the fakes: low is collapse"),
    "density": About(Kind.DENSITY, True, "how densely fakes lie among the reals"),
    "coverage": About(Kind.SHARE, True, "share of reals that have a fake near"),
    "ms_ssim": About(Kind.LIKENESS, True, "how alike fakes are among themselves"),
    "memory": About(Kind.NEARNESS, False, "nearness to one of the 2N reals looked at: ratio well below 1 are copies"),
}
"""All scores in the order of tables; the sliced distance's levels, `sliced_wasserstein_64` and so on, follow."""

MMAGIC_SWD = "mmagic_swd"
PUBLISHED = {MMAGIC_SWD: About(Kind.DISTANCE, False, "the same as mmagic computes it, for published rows of DCGANs")}
"""What only the verb computes, to compare with the literature; its levels, `mmagic_swd_64` and so on, follow."""

LEVEL = About(Kind.DISTANCE, False, "patches at this size of the pyramid (part of the average above)")
SMALLEST = 1e-9
"""Added to distances, so that 0 over 0 is 1."""


class Score(NamedTuple):
    """One score of fakes: its value, its value for reals (the floor), and how many times worse that is."""

    value: float
    floor: float
    ratio: float


def about(name: str) -> About:
    """What the score of that name is."""
    return {**SCORES, **PUBLISHED}.get(name, LEVEL)


def score_names(size: int) -> list[str]:
    """Names of all scores of tiles of `size` pixels, in the order of tables."""
    return [*SCORES, *(f"sliced_wasserstein_{level}" for level in level_sizes(size))]


def measure(fakes: Description, reals: Description, sliced_reals: SlicedSide | None = None) -> dict[str, float]:
    """Every score but `memory` of as many fakes as reals; `sliced_reals` of these is made where it is not given."""
    levels = sliced_distances(sliced_reals or SlicedSide(reals.tiles, 0), SlicedSide(fakes.tiles, 1))
    return {
        "spectrum": radial_distance(reals.spectrum, fakes.spectrum),
        "checkerboard": checkerboard_distance(reals.spectrum, fakes.spectrum),
        "histogram": wasserstein_distance(reals.histogram, fakes.histogram),
        "sliced_wasserstein": sum(levels.values()) / len(levels),
        "frd_shallow": frechet_distance(reals.features.shallow, fakes.features.shallow),
        "frd_deep": frechet_distance(reals.features.deep, fakes.features.deep),
        **overlap(reals.features.deep, fakes.features.deep)._asdict(),
        "ms_ssim": fakes.ms_ssim,
        **{f"sliced_wasserstein_{size}": value for size, value in levels.items()},
    }


def ratio(kind: Kind, value: float, floor: float, tiles: int) -> float:
    """How many times worse than reals; shares are not resolved finer than one tile.

    Args:
        kind: of the score.
        value: for the fakes.
        floor: for reals.
        tiles: N on each side.
    """
    if kind is Kind.SHARE:
        return (1 - value + 1 / tiles) / (1 - floor + 1 / tiles)
    if kind is Kind.DENSITY:
        return (floor + 1 / tiles) / (value + 1 / tiles)
    if kind is Kind.LIKENESS:
        return (1 - floor + 1 / tiles) / (1 - value + 1 / tiles)
    return (value + SMALLEST) / (floor + SMALLEST)


def published_distances(reals: Tiles, others: Tiles) -> dict[str, float]:
    """Sliced Wasserstein as mmagic computes it: the average, then its levels, by name.

    Args:
        reals: `[N, S, S, C] uint8`.
        others: fakes, or for the floor reals; as many, of the same shape.
    """
    found = sliced_distances(SlicedSide(reals, 0, MMAGIC), SlicedSide(others, 1, MMAGIC))
    average = sum(found.values()) / len(found)
    return {MMAGIC_SWD: average} | {f"{MMAGIC_SWD}_{size}": value for size, value in found.items()}


def overall(scores: Mapping[str, Score]) -> float:
    """The geometric mean of the ranking ratios, each at least 1; lower is better, about 1 is as good as real. Infinite
    where a ratio is no number: `max` would take that for as good as real."""
    ranking = [score.ratio for name, score in scores.items() if about(name).ranks]
    if any(map(math.isnan, ranking)):
        return math.inf
    return math.exp(sum(math.log(max(1.0, ratio)) for ratio in ranking) / len(ranking))
