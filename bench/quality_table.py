"""The table of `scripts/bench quality`: scores as medians over seeds, and beside the plain DCGAN's."""

from collections.abc import Iterator, Sequence
from statistics import median

from bench.quality_judging import Judged
from bench.quality_variants import VARIANTS

BASELINE = "plain"


def markdown(rows: Sequence[Judged]) -> str:
    """A table per set; lower scores are better, 1 is as far from the reals as reals are from each other."""
    names = list(dict.fromkeys(row.set_name for row in rows))
    return "\n\n".join(_table(name, [row for row in rows if row.set_name == name]) for name in names)


def _table(name: str, rows: Sequence[Judged]) -> str:
    head = (
        f"**{name}**\n\n"
        "| variant | seeds | score, equal tiles | over plain | score, equal CPU | over plain | CPU s | worst ratios |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    return "\n".join([head, *_lines(rows)])


def _lines(rows: Sequence[Judged]) -> Iterator[str]:
    baseline = [row for row in rows if row.variant == BASELINE]
    for variant in dict.fromkeys(row.variant for row in rows):
        mine = [row for row in rows if row.variant == variant]
        scores, equal = [row.score for row in mine], [row.equal_cpu_score for row in mine]
        cells = [
            VARIANTS[variant].label,
            str(len(mine)),
            _spread(scores),
            _over(scores, [row.score for row in baseline]),
            _spread(equal),
            _over(equal, [row.equal_cpu_score for row in baseline]),
            f"{median(row.cpu_seconds for row in mine):.0f}",
            _worst(mine),
        ]
        yield "| " + " | ".join(cells) + " |"


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _over(values: Sequence[float], baseline: Sequence[float]) -> str:
    return f"{median(values) / median(baseline):.2f}×" if baseline else ""


def _worst(rows: Sequence[Judged]) -> str:
    """The three scores farthest from real, by the median of their ratios."""
    ratios = {name: median(row.ratios[name] for row in rows) for name in rows[0].ratios}
    worst = sorted(ratios, key=lambda name: -ratios[name])[:3]
    return ", ".join(f"{name} {ratios[name]:.1f}" for name in worst)
