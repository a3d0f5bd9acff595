"""A comparison as one HTML page that needs nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from satgan.gallery.comparison import COLUMNS, Comparison
from satgan.pictures.grid import grid_png
from satgan.pictures.web import png_url

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1400px; margin: 2rem auto; padding: 0 1rem; color: #1c2430 }
table { border-collapse: collapse } td, th { padding: .25rem .7rem; text-align: left; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums } tr:nth-child(even) { background: #f3f5f8 }
.runs { display: flex; gap: 1.5rem; flex-wrap: wrap } figure { margin: 1rem 0 } img { width: 420px;
image-rendering: pixelated }
"""


def comparison_page(comparison: Comparison) -> str:
    """The page."""
    names = comparison.names
    steps = _rows({str(step): row for step, row in comparison.scores.items()})
    losses = "".join(
        f"<h3>{escape(loss)}</h3>{_table(names, _rows({str(step): row for step, row in by_step.items()}), 'step')}"
        for loss, by_step in comparison.losses.items()
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(' · '.join(names))}</title>"
        f"<style>{STYLE}</style><h1>{escape(' · '.join(names))}</h1>"
        f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in differences(comparison))}</ul>"
        f"<div class=runs>{''.join(_figures(comparison))}</div>"
        f"<h2>Set differently</h2>{_table(names, _rows(comparison.settings), 'option')}"
        f"<h2>What it took</h2>{_table(names, _rows(comparison.took), '')}"
        f"<h2>Scores</h2>{_table(names, steps, 'step')}<h2>Losses before the updates</h2>{losses}</html>\n"
    )


def differences(comparison: Comparison) -> list[str]:
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


def _rows(table: Mapping[str, Sequence[Any]]) -> list[list[str]]:
    return [[name, *map(shown, row)] for name, row in table.items()]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], what: str) -> str:
    head = "".join(f"<th>{escape(name)}" for name in (what, *names))
    body = "".join(
        f"<tr><td>{escape(row[0])}</td>{''.join(f'<td class=n>{escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>" if rows else "<p>none</p>"


def _figures(comparison: Comparison) -> Iterable[str]:
    for name, drawn in zip(comparison.names, comparison.drawn, strict=True):
        if drawn is None:
            yield f"<figure><figcaption>{escape(name)}: no checkpoint</figcaption></figure>"
            continue
        caption = f"{escape(name)}, step {drawn.step:,}"
        picture = f'<img alt="{caption}" src="{png_url(grid_png(drawn.tiles, COLUMNS))}">'
        yield f"<figure><figcaption>{caption}</figcaption>{picture}</figure>"
