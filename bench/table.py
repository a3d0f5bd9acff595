"""From measurements to one table: ratio to the plain loop, goal, roof."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

from bench.measure import Measured
from satgan.gan.describe import step_flops

LEAST_RATIOS = {("demo", 64, "fast"): 1.5, ("dcgan", 64, "fast"): 1.4, ("article", 64, "fast"): 1.7}
"""By preset, batch and variant: times the plain loop's tiles/s."""


@dataclass(frozen=True)
class Row:
    """One line. `ratio` is the median over rounds of the plain loop's seconds per step by this variant's."""

    preset: str
    batch: int
    variant: str
    label: str
    step_seconds: tuple[float, ...]
    cold: bool
    ratio: float | None
    roof_tiles_per_second: float

    @property
    def steps_per_second(self) -> float:
        """The median over rounds."""
        return 1 / median(self.step_seconds)

    @property
    def tiles_per_second(self) -> float:
        """Real tiles."""
        return self.batch * self.steps_per_second

    @property
    def roof_share(self) -> float:
        """Of what the FLOPs that a step needs would allow."""
        return self.tiles_per_second / self.roof_tiles_per_second


class LeftOut(NamedTuple):
    """A line that was not measured, and why."""

    preset: str
    batch: int
    variant: str
    reason: str


def make_rows(preset: str, batch: int, measured: Mapping[str, Measured], roof_flops_per_second: float) -> list[Row]:
    """The rows of one preset and batch, from the measurements by variant."""
    plain = measured.get("plain")
    rows = []
    for variant, result in measured.items():
        pairs = zip(plain.step_seconds, result.step_seconds, strict=True) if plain else ()
        ratios = [theirs / mine for theirs, mine in pairs]
        rows.append(
            Row(
                preset, batch, variant, result.variant.label, result.step_seconds, result.cold,
                median(ratios) if ratios else None,
                roof_flops_per_second / step_flops(result.variant.config),
            )
        )  # fmt: skip
    return rows


def reached(row: Row) -> bool | None:
    """Whether a row reaches its goal; None where it has none, or was not measured beside the plain loop."""
    least = LEAST_RATIOS.get((row.preset, row.batch, row.variant))
    return None if least is None or row.ratio is None else row.ratio >= least


def markdown(rows: Sequence[Row], left_out: Sequence[LeftOut]) -> str:
    """The table, then a line for everything that was left out."""
    heads = (
        "preset",
        "batch",
        "variant",
        "rounds",
        "steps/s",
        "tiles/s",
        "× plain",
        "goal",
        "roof, tiles/s",
        "of roof",
    )
    lines = [heads, ("---",) * len(heads), *map(_cells, rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    notes = [f"- not measured: {line.preset} at batch {line.batch}, {line.variant}: {line.reason}" for line in left_out]
    return "\n".join([table, *([""] if notes else []), *notes])


def as_json(rows: Sequence[Row], left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """The same as plain values."""
    described = []
    for row in rows:
        derived = {
            "steps_per_second": row.steps_per_second, "tiles_per_second": row.tiles_per_second,
            "roof_share": row.roof_share, "least_ratio": LEAST_RATIOS.get((row.preset, row.batch, row.variant)),
            "reached": reached(row),
        }  # fmt: skip
        described.append(asdict(row) | derived)
    return {"rows": described, "left_out": [line._asdict() for line in left_out]}


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.preset,
        str(row.batch),
        row.label,
        "1, cold" if row.cold else str(len(row.step_seconds)),
        f"{row.steps_per_second:,.3g}",
        f"{row.tiles_per_second:,.4g}",
        "—" if row.ratio is None else f"{row.ratio:.2f}×",
        _goal_cell(row),
        f"{row.roof_tiles_per_second:,.4g}",
        f"{row.roof_share:.1%}",
    )


def _goal_cell(row: Row) -> str:
    least = LEAST_RATIOS.get((row.preset, row.batch, row.variant))
    if least is None:
        return ""
    return f"≥ {least:g}× plain: { {True: 'reached', False: 'missed', None: 'open'}[reached(row)] }"
