"""A sweep's charts as SVG: parallel coordinates, what each option does, learning curves."""

from collections.abc import Sequence
from html import escape

from tune.effects import Effect
from tune.scales import Scale, scale_of, score_scale
from tune.table import Found, Row

STYLE = """
:root { --best: #1565c0; --worst: #d67840 }
@media (prefers-color-scheme: dark) { :root { --best: #6fb1ff; --worst: #ffa066 } }
svg { max-width: 100%; height: auto; font-size: 13px; fill: var(--ink) }
.tick { font-size: 11px; fill: var(--quiet); paint-order: stroke; stroke: var(--ground); stroke-width: 3px }
.axis { stroke: var(--ink) } .rule { stroke: var(--rule) }
.trial { fill: none; stroke-width: 1.6; opacity: .75 } .trial:hover { stroke-width: 4; opacity: 1 }
.band { fill: var(--best); opacity: .16 } .mean { stroke: var(--best); stroke-width: 2.5 }
circle { stroke: var(--ink); stroke-width: 1.6; opacity: .75 } circle.base { fill: none }
"""
"""What a page with them puts into its style; it sets --ink, --ground, --rule and --quiet itself. The best score is blue
and the worst orange, which all eyes tell apart."""

WIDTH, HEIGHT, MARGIN = 1120, 340, 56
SMALL_WIDTH, SMALL_HEIGHT = 540, 280


def colour(score: float, scores: Sequence[float]) -> str:
    """Of a score between the best and the worst of all, by its logarithm, in CSS."""
    scale = Scale([], min(scores), max(scores), log=True)
    share = scale.at(score) if len(scores) > 1 else 0.0
    return f"color-mix(in srgb, var(--worst) {100 * share:.0f}%, var(--best))"


def parallel_coordinates(found: Found) -> str:
    """A line per trial through its values to its score; the base setting's are dashed."""
    rows = _scored(found)
    scores = [row.score for row in rows if row.score is not None]
    scales = [scale_of([row.values[option] for row in rows]) for option in found.options] + [score_scale(scores)]
    names = [*found.options, "score"]
    left = [MARGIN + 40 + number * (WIDTH - 2 * MARGIN - 80) / max(1, len(names) - 1) for number in range(len(names))]
    uprights = [_upright(at, name) for at, name in zip(left, names, strict=True)]
    labels = [_labels(at, scale, is_first=at == left[0]) for at, scale in zip(left, scales, strict=True)]
    lines = ""
    for row in sorted(rows, key=lambda row: -(row.score or 0)):
        values = [*(row.values[option] for option in found.options), row.score]
        heights = [_height(scale.at(value), HEIGHT) for scale, value in zip(scales, values, strict=True)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(left, heights, strict=True))
        lines += _line(row, points, scores, found)
    return _svg(WIDTH, HEIGHT, "".join([*uprights, lines, *labels]))


def marginal(found: Found, effect: Effect, noise: float | None) -> str:
    """Score of every trial over one option's values; for each level the mean, and the band within which it would lie if
    only the seeds were others."""
    rows = _scored(found)
    scale = scale_of([row.values[effect.option] for row in rows])
    heights = score_scale([row.score for row in rows if row.score is not None])
    drawn = _frame(scale, heights, effect.option)
    for low, high, mean, count in effect.levels:
        start, end = _across(scale.at(low)), _across(scale.at(high))
        start, end = (start - 22, end + 22) if low == high else (start, end)
        if noise is not None:
            factor = noise ** (1 / count**0.5)
            top, bottom = (_small(min(1.0, max(0.0, heights.at(one)))) for one in (mean * factor, mean / factor))
            drawn += (f'<rect class=band x="{start:.1f}" y="{top:.1f}" width="{end - start:.1f}" '
                      f'height="{bottom - top:.1f}"/>')  # fmt: skip
        middle = _small(heights.at(mean))
        drawn += f'<line class=mean x1="{start:.1f}" x2="{end:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
    for row in rows:
        is_base = row.values == found.base
        kind, radius = (" class=base", 5) if is_base else ("", 3.5)
        drawn += (f'<circle{kind} cx="{_across(scale.at(row.values[effect.option])):.1f}" r="{radius}" '
                  f'cy="{_small(heights.at(row.score)):.1f}"><title>{_title(row)}</title></circle>')  # fmt: skip
    return _svg(SMALL_WIDTH, SMALL_HEIGHT, drawn)


def learning_curves(found: Found) -> str:
    """Score over steps, a line per trial."""
    rows = _scored(found)
    scores = [row.score for row in rows if row.score is not None]
    last = max(step for row in rows for step, _ in row.curve)
    scale = Scale([], 0.0, float(last))
    heights = score_scale([score for row in rows for _, score in row.curve if score < float("inf")])
    drawn = _frame(scale, heights, "steps", WIDTH, HEIGHT)
    for row in sorted(rows, key=lambda row: -(row.score or 0)):
        points = " ".join(
            f"{_across(scale.at(step), WIDTH):.1f},{_height(heights.at(score), HEIGHT):.1f}"
            for step, score in row.curve if score < float("inf")
        )  # fmt: skip
        drawn += _line(row, points, scores, found)
    return _svg(WIDTH, HEIGHT, drawn)


def _line(row: Row, points: str, scores: Sequence[float], found: Found) -> str:
    """A trial's; the base setting's are dashed."""
    dash = ' stroke-dasharray="7 4"' if row.values == found.base else ""
    style = f"stroke: {colour(row.score or 1, scores)}"
    if " " not in points:  # one point is no line
        x, y = points.split(",")
        filled = "" if dash else f"; fill: {colour(row.score or 1, scores)}"
        place = f'cx="{x}" cy="{y}" r="4"'
        return f'<circle class=trial {place} style="{style}{filled}"><title>{_title(row)}</title></circle>'
    return f'<polyline class=trial points="{points}" style="{style}"{dash}><title>{_title(row)}</title></polyline>'


def _scored(found: Found) -> list[Row]:
    return [row for row in found.rows if row.score is not None]


def _title(row: Row) -> str:
    return escape(f"{row.trial}: {row.score:.2f} after {row.best_step}, {row.state}")


def _height(share: float, height: int) -> float:
    """Of what lies at a share of an axis; lower scores are better and lie lower."""
    return height - MARGIN - share * (height - MARGIN - 30)


def _small(share: float) -> float:
    return _height(share, SMALL_HEIGHT)


def _across(share: float, width: int = SMALL_WIDTH) -> float:
    return MARGIN + share * (width - MARGIN - 20)


def _labels(left: float, scale: Scale, is_first: bool) -> str:
    """An axis's, above the lines, which begin to the right of the first one."""
    x, anchor = (left - 8, "end") if is_first else (left + 6, "start")
    return "".join(
        f'<text x="{x:.1f}" y="{_height(at, HEIGHT) + 4:.1f}" text-anchor={anchor} class=tick>{escape(text)}</text>'
        for at, text in scale.ticks()
    )


def _upright(left: float, name: str) -> str:
    top, bottom = _height(1, HEIGHT), _height(0, HEIGHT)
    return (f'<line x1="{left:.1f}" x2="{left:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" class=axis />'
            f'<text x="{left:.1f}" y="{HEIGHT - 18}" text-anchor=middle>{escape(_short(name))}</text>')  # fmt: skip


def _frame(
    scale: Scale, heights: Scale, name: str, width: int = SMALL_WIDTH, height: int = SMALL_HEIGHT
) -> str:  # fmt: skip
    across = "".join(
        f'<text x="{_across(at, width):.1f}" y="{height - MARGIN + 18}" text-anchor=middle class=tick>{escape(text)}'
        "</text>" for at, text in scale.ticks()
    )  # fmt: skip
    levels = "".join(
        f'<line x1="{MARGIN}" x2="{width - 20}" y1="{_height(at, height):.1f}" y2="{_height(at, height):.1f}" '
        f'class=rule /><text x="{MARGIN - 8}" y="{_height(at, height) + 4:.1f}" text-anchor=end class=tick>'
        f"{escape(text)}</text>" for at, text in heights.ticks()
    )  # fmt: skip
    label = f'<text x="{(MARGIN + width - 20) / 2}" y="{height - 14}" text-anchor=middle>{escape(_short(name))}</text>'
    return levels + across + label


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _svg(width: int, height: int, drawn: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" font-family="system-ui,sans-serif">{drawn}</svg>'
