"""Line charts as SVG, to stand in a page: numbers in, text out. Colours are the page's, by class."""

from collections.abc import Iterator, Sequence
from html import escape
from math import floor, isfinite, log10
from typing import NamedTuple

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 46
STRIP_PIXELS = 14
MOST_POINTS = 400
TICKS = 5

STYLE = """
svg { max-width: 100%; height: auto; overflow: visible; font: 13px system-ui, sans-serif; fill: var(--ink) }
.key { white-space: nowrap; margin-right: 1.2rem; font-size: .85rem } .key svg { vertical-align: middle }
@media (max-width: 40rem) { svg { font-size: 20px } }
svg .rule { stroke: var(--rule) } svg .line { fill: none; stroke-width: 1.8 } svg .floor { stroke-dasharray: 5 4 }
.c0 { stroke: #1a5fb4 } .c1 { stroke: #c64600 } .c2 { stroke: #26803a } .c3 { stroke: #9141ac } .c4 { stroke: #a8730a }
.c5 { stroke: #a51d2d } .c6 { stroke: #0a7d86 } .c7 { stroke: #77767b }
@media (prefers-color-scheme: dark) {
.c0 { stroke: #78aeed } .c1 { stroke: #ff9d5c } .c2 { stroke: #7bd88a } .c3 { stroke: #d0a0e8 } .c4 { stroke: #f0c45a }
.c5 { stroke: #ff8f97 } .c6 { stroke: #5fd3dc } .c7 { stroke: #b5b4ba } }
"""
"""What a page with charts puts into its style; it sets --ink and --rule itself."""


class Line(NamedTuple):
    """One line: its name and its points, x ascending; points that are not finite are left out.

    is_floor  a reference, drawn dashed
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    is_floor: bool = False


class Strip(NamedTuple):
    """A band under the lines: a share 0 to 1 at each x, drawn as darkness."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


class _Scale(NamedTuple):
    low: float
    high: float
    logarithmic: bool

    def share(self, value: float) -> float:
        low, high, value = (log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)


def line_chart(
    title: str, x_title: str, lines: Sequence[Line], *, logarithmic: bool = False, strip: Strip | None = None,
    log_x: bool = False,
) -> str:  # fmt: skip
    """The lines in one frame, or a sentence where there are no points.

    Args:
        title: above it; also what a screen reader says.
        x_title: below the axis.
        lines: up to eight.
        logarithmic: the vertical axis; points at 0 or below are left out then.
        strip: under the lines, on the same x.
        log_x: the horizontal axis; x must be above 0.
    """
    drawn = [thin for line in lines if len((thin := _thinned(line, logarithmic)).x)]
    if not drawn:
        return f"<p>{escape(title)}: nothing was noted.</p>"
    across = _scale([value for line in drawn for value in line.x], log_x, is_tight=True)
    up = _scale([value for line in drawn for value in line.y], logarithmic)
    band = STRIP_PIXELS + 8 if strip else 0
    height = HEIGHT + band
    parts = [
        *_levels(up),
        *_columns(across, x_title, height),
        *(_polyline(line, number, across, up) for number, line in enumerate(drawn)),
        *(_strip(strip, across) if strip else ()),
    ]
    body, spoken = "".join(parts), escape(_spoken(title, drawn))
    return (
        f"<figure><figcaption>{escape(title)}<br>{''.join(_legend(drawn))}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" aria-label="{spoken}">{body}</svg></figure>'
    )


def _thinned(line: Line, logarithmic: bool) -> Line:
    """At most MOST_POINTS points; each stands for its neighbours by their mean."""
    points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if isfinite(y) and (y > 0 or not logarithmic)]
    each = max(1, -(-len(points) // MOST_POINTS))
    groups = [points[first : first + each] for first in range(0, len(points), each)]
    return line._replace(
        x=[sum(x for x, _ in group) / len(group) for group in groups],
        y=[sum(y for _, y in group) / len(group) for group in groups],
    )


def _scale(values: Sequence[float], logarithmic: bool, is_tight: bool = False) -> _Scale:
    low, high = min(values), max(values)
    if logarithmic:
        return _Scale(low / 1.1, high * 1.1, True) if not is_tight or low == high else _Scale(low, high, True)
    if low == high:
        low, high = low - 0.5, high + 0.5
    room = 0 if is_tight else (high - low) * 0.06
    return _Scale(low - room, high + room, False)


def _x(scale: _Scale, value: float) -> float:
    return LEFT + scale.share(value) * (WIDTH - LEFT - RIGHT)


def _y(scale: _Scale, value: float) -> float:
    return HEIGHT - BOTTOM - scale.share(value) * (HEIGHT - TOP - BOTTOM)


def ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    """Round values from low to high: powers of ten and their halves and fifths, or equal steps, as also where an axis
    is too short for three of those."""
    if logarithmic:
        tens = [10.0**power for power in range(floor(log10(low)) - 1, floor(log10(high)) + 2)]
        found = [ten * part for ten in tens for part in (1, 2, 5) if low <= ten * part <= high]
        if len(found) > 2:
            return found if len(found) <= 2 * TICKS else [value for value in found if value in tens]
    rough = (high - low) / (TICKS + 3 if logarithmic else TICKS)  # labels lie closer towards its end
    power = 10.0 ** floor(log10(rough))
    step = next(power * part for part in (1, 2, 5, 10) if power * part >= rough)
    first = -floor(-low / step)
    return [number * step for number in range(first, floor(high / step + 1e-9) + 1)]


def _levels(scale: _Scale) -> Iterator[str]:
    for value in ticks(*scale):
        y = _y(scale, value)
        yield f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{number_text(value)}</text>'


def _columns(scale: _Scale, title: str, height: int) -> Iterator[str]:
    for value in ticks(*scale):
        yield f'<text x="{_x(scale, value):.1f}" y="{height - 26}" text-anchor="middle">{number_text(value)}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{height - 5}" text-anchor="end">{escape(title)}</text>'


def number_text(value: float) -> str:
    """Of a label: four digits, or all of a thousand and more."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _polyline(line: Line, number: int, across: _Scale, up: _Scale) -> str:
    points = " ".join(f"{_x(across, x):.1f},{_y(up, y):.1f}" for x, y in zip(line.x, line.y, strict=True))
    kind = "line floor" if line.is_floor else "line"
    if len(line.x) == 1:
        x, y = points.split(",")
        return f'<circle class="line c{number % 8}" cx="{x}" cy="{y}" r="3"/>'
    return f'<polyline class="{kind} c{number % 8}" points="{points}"/>'


def _legend(lines: Sequence[Line]) -> Iterator[str]:
    """Outside the picture, so that its letters are the page's however small the picture is shown."""
    for number, line in enumerate(lines):
        kind = "line floor" if line.is_floor else "line"
        stroke = f'<line class="{kind} c{number % 8}" x1="0" x2="20" y1="4" y2="4"/>'
        yield f'<span class="key"><svg viewBox="0 0 20 8" width="20" height="8" aria-hidden="true">{stroke}</svg>'
        yield f" {escape(line.name)}</span> "


def _strip(strip: Strip, across: _Scale) -> Iterator[str]:
    """Each share reaches from its x halfway to its neighbours."""
    top = HEIGHT - BOTTOM + 6
    thin = _thinned(Line(*strip), False)
    ends = [_x(across, x) for x in thin.x]
    for number, share in enumerate(thin.y):
        left = (ends[number - 1] + ends[number]) / 2 if number else ends[0]
        right = (ends[number] + ends[number + 1]) / 2 if number + 1 < len(ends) else WIDTH - RIGHT
        shade = f'fill-opacity="{min(1.0, share):.2f}"'
        yield f'<rect x="{left:.1f}" y="{top}" width="{max(right - left, 0.5):.1f}" height="{STRIP_PIXELS}" {shade}/>'
    size = f'width="{WIDTH - LEFT - RIGHT}" height="{STRIP_PIXELS}"'
    yield f'<rect class="rule" fill="none" x="{LEFT}" y="{top}" {size}/>'
    yield f'<text x="{LEFT - 7}" y="{top + 11}" text-anchor="end">{escape(strip.name)}</text>'


def _spoken(title: str, lines: Sequence[Line]) -> str:
    """What the picture shows, for those who hear the page."""
    ends = "; ".join(f"{line.name} from {number_text(line.y[0])} to {number_text(line.y[-1])}" for line in lines)
    return f"{title}: {ends}"
