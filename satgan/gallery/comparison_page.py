"""A comparison as one HTML page that needs nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from satgan.gallery.comparison import COLUMNS, Comparison
from satgan.pictures.charts import STYLE, Line, line_chart
from satgan.pictures.grid import grid_png
from satgan.pictures.web import document, png_url, wide

UNLIKE = "Scores by different numbers of tiles do not compare: more tiles have lower floors, so higher scores."


def comparison_page(comparison: Comparison) -> str:
    """The page."""
    names = comparison.names
    title = " · ".join(names)
    losses = "".join(
        f"{line_chart(_plain(loss), 'step', _lines(comparison, loss), logarithmic=True)}"
        f"{_table(names, _rows(_by_text(by_step)), 'step', loss)}"
        for loss, by_step in comparison.losses.items()
    )
    differ = "".join(f"<li>{escape(line)}</li>" for line in first_differences(comparison))
    return document(
        title,
        f"{STYLE} table {{ width: auto }} .sides img {{ width: 420px }}",
        f"<h1>{escape(title)}</h1><ul>{differ}</ul>"
        f"<div class=sides>{''.join(_figures(comparison))}</div>"
        f"<h2>Set differently</h2>{_table(names, _rows(comparison.settings), 'option', 'settings')}"
        f"<h2>What it took</h2>{_table(names, _rows(comparison.took), 'unit', 'took')}"
        f"<h2>Scores</h2>{_scores(comparison)}<h2>Losses before the updates</h2>{losses}",
    )


def scores_told(comparison: Comparison) -> dict[str, list[str]]:
    """A row per step: each run's score and by how many tiles."""
    both = ((step, zip(row, comparison.judged_tiles[step], strict=True)) for step, row in comparison.scores.items())
    return {
        str(step): ["" if score is None else f"{score:.4g} by {tiles} tiles" for score, tiles in row]
        for step, row in both
    }


def first_differences(comparison: Comparison) -> list[str]:
    """A line per run after the first: from which step its numbers are others."""
    first, *others = zip(comparison.names, comparison.differ_from, strict=True)
    return [
        f"{name} has the numbers of {first[0]} at every step that both have logged"
        if step is None
        else f"{name} differs from {first[0]} from step {step} on"
        for name, step in others
    ]


def shown(value: Any) -> str:
    """A value in a table: four digits, nothing for none."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _scores(comparison: Comparison) -> str:
    if not comparison.scores:
        return "<p>none</p>"
    lines = []
    for number, name in enumerate(comparison.names):
        judged = [(step, row[number]) for step, row in comparison.scores.items() if row[number] is not None]
        lines.append(Line(name, [step for step, _ in judged], [score for _, score in judged if score is not None]))
    chart = line_chart("The judge's overall score; lower is better", "step", lines, logarithmic=True)
    warning = "" if comparison.scores_compare else f"<p class=worse>{UNLIKE}</p>"
    return f"{warning}{chart}{_table(comparison.names, _rows(scores_told(comparison)), 'step', 'scores')}"


def _lines(comparison: Comparison, loss: str) -> list[Line]:
    return [Line(name, *series) for name, series in zip(comparison.names, comparison.curves[loss], strict=True)]


def _plain(loss: str) -> str:
    """`real_loss_before` as a title."""
    return loss.removesuffix("_before").replace("_", " ").capitalize()


def _by_text(table: Mapping[int, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    return {str(step): row for step, row in table.items()}


def _rows(table: Mapping[str, Sequence[Any]]) -> list[list[str]]:
    return [[name, *map(shown, row)] for name, row in table.items()]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], what: str, about: str) -> str:
    head = "".join(f"<th>{escape(name)}" for name in (what, *names))
    body = "".join(
        f"<tr><td>{escape(row[0])}</td>{''.join(f'<td class=n>{escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{head}</thead><tbody>{body}</tbody></table>"
    return wide(table, about) if rows else "<p>none</p>"


def _figures(comparison: Comparison) -> Iterable[str]:
    for name, drawn in zip(comparison.names, comparison.drawn, strict=True):
        if drawn is None:
            yield f"<figure><figcaption>{escape(name)}: no checkpoint</figcaption></figure>"
            continue
        caption = f"{escape(name)}, step {drawn.step:,}"
        picture = f'<img alt="{caption}" src="{png_url(grid_png(drawn.tiles, COLUMNS))}">'
        yield f"<figure><figcaption>{caption}</figcaption>{picture}</figure>"
