"""A judgement as one HTML page that needs nothing else: table, tiles of both sides, their spectra."""

from html import escape

from satgan.doctor.judged_rules import FAR_FROM_REAL
from satgan.gallery.judgement import Finding
from satgan.gallery.portrait import radial
from satgan.gallery.report_charts import spectra_chart
from satgan.judge.inception_scores import InceptionJudgement, about_inception
from satgan.judge.score import about
from satgan.pictures.charts import STYLE
from satgan.pictures.grid import Tiles, grid_png
from satgan.pictures.web import document, png_url, wide

COLUMNS = 8
HEAD = '<thead><tr><th>Score<th class="n">Value<th class="n">Floor<th class="n">Ratio'


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
        f'<td class="n{" worse" if score.ratio >= FAR_FROM_REAL else ""}">{score.ratio:.2f}</td>'
        f"<td>{escape(about(name).meaning)}</td></tr>"
        for name, score in judgement.scores.items()
    )
    table = wide(f"<table>{HEAD}<th>What it sees</thead><tbody>{rows}</tbody></table>", "scores")
    spectra = spectra_chart(radial(finding.fake_spectrum), radial(finding.real_spectrum))
    return document(
        f"Judgement of {fakes}",
        f"{STYLE} .score {{ font-size: 2rem; margin: .5rem 0 }}",
        f"<h1>Judgement</h1><p>{escape(fakes)} against {escape(reals)}, {judgement.tiles:,} tiles per side.</p>"
        f"<p class=score>Score {judgement.score:.2f}</p>"
        "<p>Lower is better; 1 is as far from the reals as reals are from each other. It is the geometric mean of the "
        "ratios that rank, each at least 1. The floor is the same score for reals in the place of the fakes; ratios "
        f"from {FAR_FROM_REAL:g} on are marked.</p>"
        f"<div class=sides>{_figure(finding.fakes, 'Fakes')}{_figure(finding.reals, 'Reals')}</div>"
        f"{table}{_inception(finding.inception)}<h2>Spectra</h2>{spectra}",
    )


def _inception(judgement: InceptionJudgement | None) -> str:
    if judgement is None:
        return ""
    rows = "".join(
        f"<tr><td>{name} ({escape(judgement.extractor.title)})</td><td class=n>{score.value:.4g}</td>"
        f"<td class=n>{score.floor:.4g}</td><td class=n>{'' if score.ratio is None else f'{score.ratio:.2f}'}</td></tr>"
        for name, score in judgement.scores.items()
    )
    table = wide(f"<table>{HEAD}</thead><tbody>{rows}</tbody></table>", "scores by Inception")
    return f"<h2>By Inception</h2>{table}<p>{about_inception(judgement.tiles)}</p>"


def _figure(tiles: Tiles, title: str) -> str:
    url = png_url(grid_png(tiles, COLUMNS))
    return f'<figure><figcaption>{title}</figcaption><img alt="{title}" src="{url}"></figure>'
