"""Runs beside each other: what was set differently, losses and scores at equal steps, tiles of the same noise."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from satgan.errors import CheckpointError, InputError
from satgan.gallery.draw import draw_tiles, open_checkpoint, sample_noise
from satgan.gallery.record import Series
from satgan.pictures.grid import Tiles, png, sheet
from satgan.tiles.store import open_store
from satgan.train.examined import first_difference
from satgan.train.observed import UNSAID, facts_of
from satgan.train.restored import generator_of
from satgan.train.told import Told, told_by

COLUMNS, GAP_PIXELS = 8, 12
GRID_TILES = COLUMNS**2
SHOWN_STEPS = 8
LOSSES = ("real_loss_before", "fake_loss_before", "generator_loss_before")


class Drawn(NamedTuple):
    """Tiles `[64, S, S, C] uint8` of a run's best checkpoint, or its newest where none was judged, and its step."""

    step: int
    tiles: Tiles


class Comparison(NamedTuple):
    """What was found; lists have an item for each run, in the order given.

    Attributes:
        names: of the runs.
        settings: options, tile set, versions and machine that are not the same in all, by name.
        losses: by loss and step, at steps that all have logged.
        took: hours, and USD where prices were known.
        scores: by step, the judge's overall scores; None where a run was not judged.
        judged_tiles: by step, by how many tiles a side: scores by different numbers do not compare.
        differ_from: the first step at which a run's numbers differ from the first one's, None where none does; the
            first one's is None.
        drawn: tiles of the same noise, as far as noise vectors are as long; None for a run without a checkpoint.
        curves: by loss, each run's whole series, for charts.
    """

    names: list[str]
    settings: dict[str, list[Any]]
    losses: dict[str, dict[int, list[float]]]
    took: dict[str, list[float | None]]
    scores: dict[int, list[float | None]]
    judged_tiles: dict[int, list[int | None]]
    differ_from: list[int | None]
    drawn: list[Drawn | None]
    curves: dict[str, list[Series]]

    @property
    def scores_compare(self) -> bool:
        """Whether all scores are by the same number of tiles."""
        return len({one for row in self.judged_tiles.values() for one in row if one is not None}) < 2

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without tiles and charts."""
        steps = [drawn and drawn.step for drawn in self.drawn]
        told = {name: value for name, value in self._asdict().items() if name not in ("drawn", "curves")}
        return told | {"drawn_steps": steps}


def compare_runs(urls: Sequence[str], seed: int) -> Comparison:
    """Reads two or more runs and draws from each.

    Args:
        urls: of their folders or prefixes.
        seed: of the noise.

    Raises:
        InputError: fewer than two.
        CheckpointError, CorruptData, StoreError: one cannot be read.
    """
    if len(urls) < 2:
        raise InputError(f"{len(urls)} run to compare", "give two or more: satgan compare RUN RUN")
    told = [told_by(open_store(url)) for url in urls]
    facts = [facts_of(one) for one in told]
    names = [name for name in dict.fromkeys(name for one in facts for name in one) if name not in UNSAID]
    return Comparison(
        names=[one.name for one in told],
        settings={name: row for name in names if not _equal(row := [one.get(name) for one in facts])},
        losses=_losses(told),
        took=_took(told),
        scores=_judged(told, "score"),
        judged_tiles=_judged(told, "tiles"),
        differ_from=[None, *(first_difference(told[0].entries, other.entries) for other in told[1:])],
        drawn=[_drawn(url, seed) for url in urls],
        curves={loss: [_series(one, loss) for one in told] for loss in LOSSES},
    )


def side_by_side(comparison: Comparison) -> bytes:
    """The grids of all runs from left to right, in the order of the comparison, as PNG.

    Raises:
        CheckpointError: no run has a checkpoint.
    """
    sheets = [sheet(drawn.tiles, COLUMNS) for drawn in comparison.drawn if drawn]
    if not sheets:
        raise CheckpointError("none of the runs has a checkpoint", "let one train until its first")
    height, channels = max(len(one) for one in sheets), max(one.shape[2] for one in sheets)
    parts = []
    for one in sheets:
        page = np.full((height, one.shape[1] + GAP_PIXELS, channels), 255, np.uint8)
        page[: len(one), : one.shape[1]] = one
        parts.append(page)
    return png(np.concatenate(parts, axis=1)[:, :-GAP_PIXELS])


def _equal(row: Sequence[Any]) -> bool:
    return all(value == row[0] for value in row)


def _losses(told: Sequence[Told]) -> dict[str, dict[int, list[float]]]:
    numbers = [{entry.step: entry.numbers for entry in one.entries} for one in told]
    common = sorted(set.intersection(*(set(one) for one in numbers)))
    shown = sorted({common[round(place)] for place in np.linspace(0, len(common) - 1, SHOWN_STEPS)}) if common else []
    return {loss: {step: [one[step][loss] for one in numbers] for step in shown} for loss in LOSSES}


def _took(told: Sequence[Told]) -> dict[str, list[float | None]]:
    hours: dict[str, list[float | None]] = {"hours": [one.seconds / 3600 for one in told]}
    dollars = [one.dollars for one in told]
    return hours if dollars == [None] * len(told) else hours | {"USD": dollars}


def _series(told: Told, loss: str) -> Series:
    return [entry.step for entry in told.entries], [entry.numbers[loss] for entry in told.entries]


def _judged(told: Sequence[Told], figure: str) -> dict[int, list[Any]]:
    """`score` or `tiles` of the judgements, by step."""
    judged = [{event["step"]: event.get(figure) for event in one.events if event["event"] == "judged"} for one in told]
    steps = sorted(set().union(*judged))
    return {step: [one.get(step) for one in judged] for step in steps}


def _drawn(url: str, seed: int) -> Drawn | None:
    try:
        checkpoint = open_checkpoint(url)
    except CheckpointError:
        return None
    rows = sample_noise(seed, 0, GRID_TILES, checkpoint.config().gan.noise_size)
    return Drawn(checkpoint.step, draw_tiles(generator_of(checkpoint, "average"), rows))
