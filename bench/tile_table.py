"""From measurements of loaders to one table with the issue's goals."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

TILES_UNIT = 100_000
LEAST_FAR_TILES_PER_SECOND = 60_000
MOST_FAR_FIRST_SECONDS = 0.3
MOST_TLS_CPU_SECONDS = 3.2
MOST_RAW_CPU_RATIO = 2.0
LEAST_RAW_WALL_RATIO = 0.45
MOST_WAITED_SHARE = 0.01
PEER_CPU_SHARE = 0.25
PEER_SPEED_RATIOS = {"s3torchconnector": 4, "mosaicml-streaming": 15, "webdataset": 15, "ray data": 20}


class Row(NamedTuple):
    """A measured loader; lists have an entry per timed epoch.

    name                  ours, raw, or a peer's
    server                http, tls or far
    tiles                 of an epoch
    first_batch_seconds   from the making of the loader, one per process
    """

    name: str
    server: str
    tiles: int
    first_batch_seconds: Sequence[float]
    wall_seconds: Sequence[float]
    cpu_seconds: Sequence[float]

    @property
    def tiles_per_second(self) -> float:
        """Median over the epochs."""
        return self.tiles / median(self.wall_seconds)

    @property
    def cpu_per_unit(self) -> float:
        """CPU seconds per 100,000 tiles, all processes of the loader; median over the epochs."""
        return median(self.cpu_seconds) * TILES_UNIT / self.tiles


Rows = Mapping[tuple[str, str], Row]


def markdown(rows: Rows, waited_share: float | None) -> str:
    """The table; `waited_share` is that of training, None where it was not measured."""
    head = ("loader", "server", "epochs", "tiles/s", "CPU s / 100,000 tiles", "first batch, s", "goal")
    lines = [head, ("---",) * len(head), *(_cells(row, rows) for row in rows.values())]
    if waited_share is not None:
        goal = _told(f"waits ≤ {MOST_WAITED_SHARE:.0%} of the step time", waited_share <= MOST_WAITED_SHARE)
        lines.append(("training `demo` on the CPU", "http", "1", "", "", "", f"{goal} ({waited_share:.2%})"))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def goals(row: Row, rows: Rows) -> list[tuple[str, bool]]:
    """What the issue asks of a row, with the figure found, and whether it is reached; nothing for what is a measure."""
    ours, raw = rows.get(("ours", row.server)), rows.get(("raw", row.server))
    if row.name in PEER_SPEED_RATIOS and ours:
        ratio, share = ours.tiles_per_second / row.tiles_per_second, ours.cpu_per_unit / row.cpu_per_unit
        least = PEER_SPEED_RATIOS[row.name]
        return [
            (f"ours ≥ {least}× the tiles/s ({ratio:.1f}×)", ratio >= least),
            (f"and ≤ ¼ of the CPU ({share:.3f})", share <= PEER_CPU_SHARE),
        ]
    if row.name != "ours":
        return []
    found = []
    if row.server == "http" and raw:
        cpu, wall = row.cpu_per_unit / raw.cpu_per_unit, row.tiles_per_second / raw.tiles_per_second
        found += [
            (f"CPU ≤ {MOST_RAW_CPU_RATIO}× raw ({cpu:.2f}×)", cpu <= MOST_RAW_CPU_RATIO),
            (f"tiles/s ≥ {LEAST_RAW_WALL_RATIO}× raw ({wall:.2f}×)", wall >= LEAST_RAW_WALL_RATIO),
        ]
    if row.server == "far":
        first = median(row.first_batch_seconds)
        found += [
            (f"≥ {LEAST_FAR_TILES_PER_SECOND:,} tiles/s", row.tiles_per_second >= LEAST_FAR_TILES_PER_SECOND),
            (f"first batch ≤ {MOST_FAR_FIRST_SECONDS} s", first <= MOST_FAR_FIRST_SECONDS),
        ]
    if row.server == "tls":
        found.append((f"CPU ≤ {MOST_TLS_CPU_SECONDS} s", row.cpu_per_unit <= MOST_TLS_CPU_SECONDS))
    return found


def _cells(row: Row, rows: Rows) -> tuple[str, ...]:
    return (
        row.name,
        row.server,
        str(len(row.wall_seconds)),
        f"{row.tiles_per_second:,.0f}",
        f"{row.cpu_per_unit:.2f}",
        f"{median(row.first_batch_seconds):.2f}",
        "; ".join(_told(text, reached) for text, reached in goals(row, rows)),
    )


def _told(text: str, reached: bool) -> str:
    return f"{text}: {'reached' if reached else 'missed'}"
