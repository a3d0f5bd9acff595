"""From measurements to one table: ratio to the plain loop, goal, roof."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal, NamedTuple

from bench.measure import Measured
from satgan.gan.describe import step_flops


class Goal(NamedTuple):
    """What a row has to reach at least."""

    measure: Literal["ratio", "tiles_per_second", "roof_share", "share_of_batch_512"]
    least: float

    def __str__(self) -> str:
        match self.measure:
            case "ratio":
                return f"≥ {self.least:g}× plain"
            case "tiles_per_second":
                return f"≥ {self.least:,.0f} tiles/s"
            case "roof_share":
                return f"≥ {self.least:.0%} of roof"
            case "share_of_batch_512":
                return f"≥ {self.least:.0%} of batch 512"


GOALS: dict[str, dict[tuple[str, int, str], Goal]] = {
    "cpu": {
        ("article", 64, "fast"): Goal("ratio", 1.7),
        ("dcgan", 64, "fast"): Goal("ratio", 1.4),
    },
    "cuda": {
        ("article", 64, "fast"): Goal("share_of_batch_512", 0.75),
        ("article", 512, "fast"): Goal("tiles_per_second", 10_300),
        ("article", 512, "recipe"): Goal("roof_share", 0.4),
        ("dcgan", 64, "fast"): Goal("ratio", 10),
        ("dcgan", 512, "fast"): Goal("tiles_per_second", 110_000),
    },
}
"""By device, preset, batch and variant; those of cuda are for an H200."""


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
    peak_bytes: int | None

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
                result.peak_bytes,
            )
        )  # fmt: skip
    return rows


def reached(goal: Goal, row: Row, rows: Sequence[Row]) -> bool | None:
    """Whether a row reaches its goal; None where the row that it is compared with was not measured."""
    if goal.measure != "share_of_batch_512":
        value = getattr(row, goal.measure)
        return None if value is None else bool(value >= goal.least)
    for other in rows:
        if (other.preset, other.batch, other.variant) == (row.preset, 512, row.variant):
            return row.tiles_per_second >= goal.least * other.tiles_per_second
    return None


def markdown(rows: Sequence[Row], left_out: Sequence[LeftOut], device: str) -> str:
    """The table, then a line for everything that was left out."""
    heads = (
        "preset", "batch", "variant", "rounds", "steps/s", "tiles/s", "× plain", "goal", "roof, tiles/s", "of roof",
        "peak memory",
    )  # fmt: skip
    lines = [heads, ("---",) * len(heads), *(_cells(row, rows, device) for row in rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    notes = [f"- not measured: {line.preset} at batch {line.batch}, {line.variant}: {line.reason}" for line in left_out]
    return "\n".join([table, *([""] if notes else []), *notes])


def as_json(rows: Sequence[Row], left_out: Sequence[LeftOut], device: str) -> dict[str, Any]:
    """The same as plain values."""
    described = []
    for row in rows:
        goal = GOALS[device].get((row.preset, row.batch, row.variant))
        derived = {
            "steps_per_second": row.steps_per_second, "tiles_per_second": row.tiles_per_second,
            "roof_share": row.roof_share, "goal": str(goal) if goal else None,
            "reached": reached(goal, row, rows) if goal else None,
        }  # fmt: skip
        described.append(asdict(row) | derived)
    return {"rows": described, "left_out": [line._asdict() for line in left_out]}


def _cells(row: Row, rows: Sequence[Row], device: str) -> tuple[str, ...]:
    return (
        row.preset,
        str(row.batch),
        row.label,
        "1, cold" if row.cold else str(len(row.step_seconds)),
        f"{row.steps_per_second:,.3g}",
        f"{row.tiles_per_second:,.4g}",
        "—" if row.ratio is None else f"{row.ratio:.2f}×",
        _goal_cell(row, rows, device),
        f"{row.roof_tiles_per_second:,.4g}",
        f"{row.roof_share:.1%}",
        "—" if row.peak_bytes is None else f"{row.peak_bytes / 2**30:.2f} GiB",
    )


def _goal_cell(row: Row, rows: Sequence[Row], device: str) -> str:
    goal = GOALS[device].get((row.preset, row.batch, row.variant))
    if goal is None:
        return ""
    outcome = {True: "reached", False: "missed", None: "open"}[reached(goal, row, rows)]
    return f"{goal}: {outcome}"
