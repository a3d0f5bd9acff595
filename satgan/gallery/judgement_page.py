"""A judgement as one HTML page that needs nothing else: table, tiles of both sides, their spectra."""

from html import escape

import numpy as np

from satgan.gallery.judgement import Finding
from satgan.judge.inception_scores import InceptionJudgement, about_inception
from satgan.judge.score import about
from satgan.judge.spectrum import Spectrum, radial_means
from satgan.pictures.grid import Tiles, grid_png
from satgan.pictures.web import png_url

COLUMNS = 8
PLOT_WIDTH, PLOT_HEIGHT, MARGIN = 640, 300, 48
CURVES = (("fakes", "#b3261e", 30), ("reals", "#1a5fb4", 50))
"""Title, colour and height of the title in pixels, of the spectra's lines."""

MARK_FROM = 2.0
"""Ratios from here on are marked: twice as far from the reals as reals are."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; color: #1c2430 }
table { border-collapse: collapse; width: 100% } td, th { padding: .25rem .7rem; text-align: left }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tr:nth-child(even) { background: #f3f5f8 }
.worse { color: #b3261e; font-weight: 600 } .sides { display: flex; gap: 1.5rem; flex-wrap: wrap }
figure { margin: 1rem 0 } img { width: 540px; image-rendering: pixelated } .score { font-size: 2rem }
"""


def judgement_page(finding: Finding, fakes: str, reals: str) -> str:
    """The page.

    Args:
        finding: what the judge found.
        fakes: name of that side.
        reals: name of that side.
    """
    judgement = finding.judgement
    rows = "".join(
        f"<tr><td>{name}</td><td class=n>{score.value:.4g}</td><td class=n>{score.floor:.4g}</td>"
        f'<td class="n{" worse" if score.ratio >= MARK_FROM else ""}">{score.ratio:.2f}</td>'
        f"<td>{escape(about(name).meaning)}</td></tr>"
        for name, score in judgement.scores.items()
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Judgement of {escape(fakes)}</title>"
        f"<style>{STYLE}</style><h1>Judgement</h1><p>{escape(fakes)} against {escape(reals)}, "
        f"{judgement.tiles:,} tiles per side.</p><p class=score>Score {judgement.score:.2f}</p>"
        "<p>Lower is better; 1 is as far from the reals as reals are from each other. It is the geometric mean of the "
        "ratios that rank, each at least 1. The floor is the same score for reals in the place of the fakes.</p>"
        "<table><tr><th>Score<th class=n>Value<th class=n>Floor<th class=n>Ratio<th>What it sees</tr>"
        f"{rows}</table>{_inception(finding.inception)}<div class=sides>"
        f"{_figure(finding.fakes, 'Fakes')}{_figure(finding.reals, 'Reals')}</div>"
        f"<h2>Spectra</h2>{_plot(finding.fake_spectrum, finding.real_spectrum)}</html>\n"
    )


def _inception(judgement: InceptionJudgement | None) -> str:
    if judgement is None:
        return ""
    rows = "".join(
        f"<tr><td>{name} ({escape(judgement.extractor.title)})</td><td class=n>{score.value:.4g}</td>"
        f"<td class=n>{score.floor:.4g}</td><td class=n>{'' if score.ratio is None else f'{score.ratio:.2f}'}</td></tr>"
        for name, score in judgement.scores.items()
    )
    head = "<tr><th>Score<th class=n>Value<th class=n>Floor<th class=n>Ratio</tr>"
    return f"<h2>By Inception</h2><table>{head}{rows}</table><p>{about_inception(judgement.tiles)}</p>"


def _figure(tiles: Tiles, title: str) -> str:
    url = png_url(grid_png(tiles, COLUMNS))
    return f'<figure><figcaption>{title}</figcaption><img alt="{title}" src="{url}"></figure>'


def _plot(fakes: Spectrum, reals: Spectrum) -> str:
    """Log power over frequency, mean over channels, both sides, as SVG."""
    lines = [radial_means(spectrum).mean(axis=0) / np.log(10) for spectrum in (fakes, reals)]
    low, high = np.floor(min(map(np.min, lines))), np.ceil(max(map(np.max, lines)))
    size = fakes.shape[1]
    levels = "".join(_level(level, low, high) for level in np.arange(low, high + 1))
    drawn = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{_points(line, low, high)}"/>'
        f'<text x="{PLOT_WIDTH - 110}" y="{height}" fill="{colour}">{title}</text>'
        for line, (title, colour, height) in zip(lines, CURVES, strict=True)
    )
    return (
        f'<svg viewBox="0 0 {PLOT_WIDTH} {PLOT_HEIGHT}" width="{PLOT_WIDTH}" font-size="13" font-family="sans-serif">'
        f'{levels}{drawn}<text x="{MARGIN}" y="{PLOT_HEIGHT - 10}">1 wave per tile</text>'
        f'<text x="{PLOT_WIDTH - 10}" y="{PLOT_HEIGHT - 10}" text-anchor="end">{len(lines[0])} waves '
        f"({len(lines[0]) / size:.2f} per pixel)</text></svg><p>Power of the pixel values in powers of ten.</p>"
    )


def _height(value: float, low: float, high: float) -> float:
    return float(PLOT_HEIGHT - MARGIN - (value - low) / max(high - low, 1) * (PLOT_HEIGHT - MARGIN - 15))


def _level(level: float, low: float, high: float) -> str:
    height = _height(level, low, high)
    return (
        f'<line x1="{MARGIN}" x2="{PLOT_WIDTH - 10}" y1="{height:.1f}" y2="{height:.1f}" stroke="#ccd3db"/>'
        f'<text x="{MARGIN - 8}" y="{height + 4:.1f}" text-anchor="end">{level:.0f}</text>'
    )


def _points(line: Spectrum, low: float, high: float) -> str:
    """Frequency is drawn by its logarithm, as the power law of imagery is straight there."""
    reach = PLOT_WIDTH - MARGIN - 10
    across = MARGIN + reach * np.log(np.arange(1, len(line) + 1)) / np.log(len(line))
    return " ".join(f"{x:.1f},{_height(y, low, high):.1f}" for x, y in zip(across, line, strict=True))
