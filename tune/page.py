"""A sweep as one HTML page that needs nothing else."""

from contextlib import suppress
from html import escape
from typing import Any

from satgan.errors import SatganError
from satgan.gallery.draw import draw_tiles, open_checkpoint, sample_noise
from satgan.pictures.grid import grid_png
from satgan.pictures.web import document, png_url, wide
from satgan.train.restored import generator_of
from tune.best import Standing, chance_text, counted, judged_by, standings, verdicts
from tune.charts import STYLE as CHARTS_STYLE
from tune.charts import learning_curves, marginal, parallel_coordinates
from tune.effects import Effect, effects, seed_noise
from tune.table import Found, Row, at_end
from tune.trials import shown

TILES, COLUMNS, NOISE_SEED = 16, 8, 0
SHARES = ("generator_regularizer_share_after", "discriminator_regularizer_share_after")

STYLE = """
td.n, th.n { white-space: nowrap } img { width: 530px }
.base td:first-child::after { content: " base"; color: var(--mark); font-weight: 600 }
.trials { display: flex; gap: 1.2rem; flex-wrap: wrap } figure { margin: .6rem 0; max-width: 540px }
td.long { overflow-wrap: anywhere; min-width: 14rem } .error { font-weight: 600 } li { margin: .2rem 0 }
figcaption { font-size: .85rem }
"""


def sweep_page(found: Found) -> str:
    """The page.

    Raises:
        InputError, SatganError: no trial has a score.
    """
    ranked, noise = standings(found), seed_noise(found)
    name = found.url.rstrip("/").rsplit("/", 1)[-1]
    last = at_end(found)
    figures = _marginals(last) if last else ""
    ends = f"<h3>At the end of the runs</h3>{figures}" if figures else ""
    return document(
        f"Sweep {name}",
        STYLE + CHARTS_STYLE,
        f"<h1>Sweep {escape(name)}</h1><p>{_summary(found, noise)}</p><ul>"
        f"{''.join(f'<li>{escape(line)}</li>' for line in verdicts(found))}</ul>"
        f"<h2>Settings</h2>{_settings_table(found, ranked)}"
        "<h2>Every trial, from its values to its score</h2><p class=quiet>Lower is better; 1 is as far from the "
        f"reals as reals are from each other. Dashed: the base setting.</p>{parallel_coordinates(found)}"
        "<h2>What each option does</h2><p class=quiet>By each trial's best checkpoint. A dot is a trial, a ring one "
        "of the base setting; a line is the "
        "mean of a level, and the band around it where that would lie if only the seeds were others. "
        "Only complete trials count for both. p: how often levels lie as far apart by chance, when settings exchange "
        "their values of the option, or, where levels differ in nothing else, when only the seeds are others.</p>"
        f"{_marginals(found)}{ends}<h2>Learning curves</h2>{learning_curves(found)}"
        f"<h2>What the doctor found</h2>{_findings_table(found)}"
        f"<h2>Trials</h2>{_trials_table(found)}<h2>Tiles of every trial from the same noise</h2>"
        f"<p class=quiet>Averaged generators of the best checkpoints, settings by rank.</p>"
        f"<div class=trials>{''.join(_grid(row) for one in ranked for row in one.trials)}</div>",
    )


def _summary(found: Found, noise: float | None) -> str:
    states = [row.state for row in found.rows]
    hours = sum(row.seconds for row in found.rows) / 3600
    dollars = sum(row.dollars for row in found.rows)
    cost = f", {dollars:.2f} USD" if dollars else ""
    by = f"; {text}" if (text := judged_by(found)) else ""
    seeds = ", ".join(map(str, found.record["settings"]["seeds"]))
    changed = "" if noise is None else f" Changing only the seed changes a score by a factor of {noise:.2f}."
    search, stop = found.record["settings"]["search"], found.record["settings"]["stop"]
    ended = "" if stop == "none" else f", poor trials ended early by {stop}"
    return escape(
        f"{len(states)} trials ({counted(states)}); {search} search{ended}; seeds {seeds}; {hours:.2f} hours of "
        f"training in all{cost}{by}.{changed}"
    )


def _marginals(found: Found) -> str:
    noise = seed_noise(found)
    figures = "".join(
        f"<figure>{marginal(found, effect, noise)}<figcaption>{_effect_text(effect)}</figcaption>"
        "</figure>" for effect in effects(found)
    )  # fmt: skip
    return f"<div class=sides>{figures}</div>" if figures else ""


def _effect_text(effect: Effect) -> str:
    seeds = "" if effect.noise is None else f"; the seeds alone: × {effect.noise:.2f}"
    return escape(f"Worst level over best: × {effect.factor:.2f}{seeds}. That is: {chance_text(effect)}.")


def _settings_table(found: Found, ranked: list[Standing]) -> str:
    head = "".join(f"<th>{escape(option)}" for option in found.options)
    rows = "".join(
        f"<tr{' class=base' if one.values == found.base else ''}><td>{place}</td>"
        f"{''.join(f'<td>{escape(shown(one.values[option]))}</td>' for option in found.options)}"
        f"<td class=n>{f'{one.mean:.2f}' if one.scores else ''}</td>"
        f"<td class=n>{'' if one.spread is None else f'{one.spread:.2f}'}</td><td>{escape(one.states)}</td>"
        f"<td>{_rules_of(one)}</td></tr>"
        for place, one in enumerate(ranked, 1)
    )
    head = f"<th>Rank{head}<th class=n>Mean score<th class=n>Spread over seeds<th>Trials<th>Doctor's findings"
    note = "<p class=quiet>Means are geometric, here and below: scores are geometric means of ratios.</p>"
    return _table(head, rows, "settings") + note


def _rules_of(one: Standing) -> str:
    """Such as `S25 in 3, S31 in 1`: by rule, in how many of a setting's trials."""
    rules = sorted(finding["rule"] for row in one.trials for finding in row.findings)
    return ", ".join(f"{rule} in {rules.count(rule)}" for rule in dict.fromkeys(rules))


def _findings_table(found: Found) -> str:
    """A line for each rule and level, with what was found where the figure is farthest from its limit."""
    groups: dict[tuple[str, str], list[tuple[Row, dict[str, Any]]]] = {}
    for row in found.rows:
        for finding in row.findings:
            groups.setdefault((finding["rule"], finding["level"]), []).append((row, finding))
    if not groups:
        return "<p>Nothing while the trials went on; <code>satgan doctor RUN</code> looks again.</p>"
    lines = ""
    for (rule, level), told in sorted(groups.items(), key=lambda one: (one[0][1], -len(one[1]), one[0])):
        _, worst = max(told, key=lambda one: _excess(one[1]))
        names = ", ".join(row.trial + _until(finding) for row, finding in told)
        lines += (
            f"<tr><td>{escape(rule)}</td><td class={level}>{level}</td><td>{escape(worst['found'])}</td>"
            f"<td><code>{escape(worst['action'])}</code></td><td class=long><details><summary>{len(told)} of "
            f"{len(found.rows)}</summary>{escape(names)}</details></td></tr>"
        )
    note = "<p class=quiet>What was found is told of the trial that lies farthest beyond the limit.</p>"
    return _table("<th>Rule<th>Level<th>What was found<th>What to do<th>Trials", lines, "findings") + note


def _excess(finding: dict[str, Any]) -> float:
    """How many times its limit a figure is, or the limit the figure."""
    figure, limit = (abs(float(finding[name])) for name in ("figure", "threshold"))
    return max(figure, limit) / max(min(figure, limit), 1e-12)


def _until(finding: dict[str, Any]) -> str:
    return "" if finding["until"] is None else f" (over after step {finding['until']:,})"


def _table(head: str, rows: str, about: str) -> str:
    return wide(f"<table><thead><tr>{head}</thead><tbody>{rows}</tbody></table>", about)


def _trials_table(found: Found) -> str:
    rows = "".join(
        f"<tr><td>{escape(row.trial)}</td><td>{escape(row.state)}</td>"
        f"<td class=n>{'' if row.score is None else f'{row.score:.2f}'}</td><td class=n>{row.best_step or ''}</td>"
        f"<td class=n>{f'{row.step:,} of {row.steps:,}' if row.steps else ''}</td>"
        f"{''.join(f'<td class=n>{_share(row, name)}</td>' for name in SHARES)}"
        f"<td class=n>{f'{row.seconds:,.0f}' if row.steps else ''}</td>"
        f"<td class=n>{f'{row.dollars:.2f}' if row.dollars else ''}</td>"
        f"<td>{', '.join(_finding_text(finding) for finding in row.findings)}</td><td>{escape(row.why)}</td></tr>"
        for row in sorted(found.rows, key=lambda row: (row.score is None, row.score or 0.0, row.trial))
    )
    head = (
        "<th>Trial<th>State<th class=n>Score<th class=n>Best step<th class=n>Steps<th class=n>L2 share G"
        "<th class=n>L2 share D<th class=n>Seconds<th class=n>USD<th>Doctor<th>Why"
    )
    table = _table(head, rows, "trials")
    return (
        f"{table}<p class=quiet>L2 share: of a network's total loss at its last log step that its regularizer makes up "
        "(S25).</p>"
    )


def _finding_text(finding: dict[str, Any]) -> str:
    told = escape(f"{finding['found']}{_until(finding)}; {finding['action']}", quote=True)
    return f'<span class={finding["level"]} title="{told}">{finding["rule"]} {finding["level"]}</span>'


def _share(row: Row, name: str) -> str:
    return f"{row.numbers[name]:.1%}" if name in row.numbers else ""


def _grid(row: Row) -> str:
    """Nothing where the checkpoint is gone, or cannot be read."""
    with suppress(SatganError):
        checkpoint = row.checkpoint and open_checkpoint(row.checkpoint)
        if checkpoint:
            network = generator_of(checkpoint, "average")
            tiles = draw_tiles(network, sample_noise(NOISE_SEED, 0, TILES, checkpoint.config().gan.noise_size))
            url = png_url(grid_png(tiles, COLUMNS))
            told = f"{row.trial}: {row.score:.2f} after step {row.best_step:,}"
            return (f'<figure><img alt="tiles of {escape(row.trial)}" src="{url}">'
                    f"<figcaption>{escape(told)}</figcaption></figure>")  # fmt: skip
    return ""
