"""`satgan report RUN`: one HTML page that opens without a network and tells what came of a run, pictures first."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jinja2
import numpy as np

from satgan.config import changes, load_config
from satgan.doctor.judged_rules import FAR_FROM_REAL
from satgan.doctor.records import newest_attempt
from satgan.errors import ConfigError, SatganError
from satgan.gallery.portrait import Portrait, portray
from satgan.gallery.record import Entry, Record, open_record
from satgan.gallery.report_charts import charts_of, portrait_charts, score_chart, score_charts
from satgan.judge.score import about
from satgan.pictures.charts import STYLE
from satgan.pictures.grid import sheet
from satgan.pictures.web import PAGE_STYLE, data_url, pixels_of
from satgan.train.checkup import FOUND, OVER, found_in
from satgan.train.film import FILM_NAME, INPUTS_NAME

REPORT_NAME = "report.html"
MOST_GRIDS = 24
"""So that the page stays small: of more the first, the last, and some at equal distances."""

SEAM = 128
"""Grey of the line between a fake and its nearest real tile."""

ORDINARY = ("checkpoint", "judged", "inputs", FOUND, OVER)
"""Events that every run has by the dozen; the pages tell of them in other ways."""


class Shot(NamedTuple):
    """A picture of fixed noise after so many steps, as a data url."""

    step: int
    url: str


def write_report(run: str) -> str:
    """Writes `report.html` into the run's folder; returns its url.

    Raises:
        StoreMissing: there is no run.
        CheckpointError, StoreError: it cannot be read, or the page not be written.
    """
    record = open_record(run)
    record.run.write(REPORT_NAME, report_page(record).encode())
    return f"{record.run.url.rstrip('/')}/{REPORT_NAME}"


def report_page(record: Record) -> str:
    """The page. Tiles are drawn anew only where checkpoint and tile set can be had."""
    source = record.config.get("tiles", {}).get("source")
    portrait = portray(record.run.url, source) if source else "the run names no tile set"
    base, changed = _changes(record)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("satgan.gallery", "pages"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html").render(
        record=record, style=PAGE_STYLE + STYLE, shots=list(_shots(record)), film=_picture(record, FILM_NAME),
        inputs=_picture(record, INPUTS_NAME), score_chart=score_chart(record), score_charts=list(score_charts(record)),
        charts=list(charts_of(record)), scores=_scores(record), last=_last(record), base=base, changes=changed,
        findings=found_in(record.events()), ran_on=_ran_on(record), mark_from=FAR_FROM_REAL,
        happened=[_told(entry) for entry in _happened(record)],
        portrait=None if isinstance(portrait, str) else _drawn(portrait),
        no_portrait=portrait if isinstance(portrait, str) else "",
    )  # fmt: skip


def _shots(record: Record) -> Iterator[Shot]:
    steps = sorted(record.grids)
    each = max(1, -(-(len(steps) - 1) // (MOST_GRIDS - 1)))
    for step in sorted({*steps[::each], *steps[-1:]}):
        yield Shot(step, data_url(pixels_of(record.run.read(record.grids[step]))))


def _picture(record: Record, key: str) -> str | None:
    return data_url(pixels_of(record.run.read(key))) if record.run.exists(key) else None


def _drawn(portrait: Portrait) -> dict[str, Any]:
    pairs = zip(portrait.fakes, portrait.nearest_reals, strict=False)
    return {
        "charts": list(portrait_charts(portrait)),
        "pairs": [data_url(np.concatenate([fake, np.full_like(fake[:1], SEAM), real])) for fake, real in pairs],
        "reals": data_url(sheet(portrait.reals[:64], columns=8)),
        "count": len(portrait.reals),
    }


def _scores(record: Record) -> list[dict[str, Any]]:
    """The best checkpoint's scores, or the newest judged one's, the farthest from real first."""
    judged = record.events("judged")
    chosen = next((entry for entry in reversed(judged) if entry["step"] == record.best), judged[-1] if judged else None)
    if chosen is None:
        return []
    rows = [{"name": name, "meaning": about(name).meaning, **score} for name, score in chosen["scores"].items()]
    return sorted(rows, key=lambda row: -row["ratio"])


def _last(record: Record) -> dict[str, Any]:
    """What stands at the top: how far, how long, how good."""
    best = next((entry for entry in reversed(record.events("judged")) if entry["step"] == record.best), {})
    return {
        "step": record.step(), "steps": record.config["train"]["steps"], "best": record.best,
        "score": best.get("score"), "tiles": best.get("tiles"), **_speed(record),
    }  # fmt: skip


def _speed(record: Record) -> dict[str, Any]:
    """Of the newest attempt as a whole, as the terminal tells it at its end; nothing before its first log step."""
    attempt = newest_attempt(record.entries)
    told = [entry for entry in attempt if "timing" in entry]
    if not told:
        return {"seconds": None}
    train, timing = record.config["train"], told[-1]["timing"]
    ends = [(entry["step"], entry["seconds"]) for entry in attempt if entry.get("event") == "end"]
    step, seconds = ends[-1] if ends else (told[-1]["step"], timing["seconds"])
    tiles = (step - attempt[0]["step"]) * train["lanes"] * train["lane_batch"]
    return {
        "seconds": seconds, "tiles_per_second": tiles / max(seconds, 1e-9),
        "waited_share": timing["waited_share"] * timing["seconds"] / max(seconds, 1e-9),
        "dollars": timing.get("dollars"),
    }  # fmt: skip


def _changes(record: Record) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """What is set otherwise than in the parent, where the run was forked and that one is there, else in the preset."""
    forked = record.events("fork")
    gone = ""
    if forked:
        try:
            parent = open_record(forked[-1]["parent"])
            return f"the run it was forked from, {parent.name}", changes(parent.config, record.config)
        except SatganError:
            gone = f" (it was forked from {forked[-1]['parent']}, which cannot be read)"
    preset = record.config.get("gan", {}).get("preset", "")
    try:
        return f"the preset {preset}{gone}", changes(load_config(preset).model_dump(mode="json"), record.config)
    except ConfigError:
        return f"the preset {preset}, which is not known any more{gone}", {}


def _happened(record: Record) -> Iterator[Entry]:
    """What not every run has; a second start tells that all before it was undone."""
    first = next(iter(record.events("start")), None)
    return (entry for entry in record.events() if entry["event"] not in ORDINARY and entry is not first)


def _told(entry: Entry) -> Entry:
    rest = {name: _short(value) for name, value in entry.items() if name not in ("step", "event")}
    return {"step": entry["step"], "event": entry["event"].replace("_", " "), "about": rest}


def _ran_on(record: Record) -> dict[str, str]:
    """What the run's newest attempt computed with, and the versions."""
    starts = [entry for entry in record.events() if entry["event"] in ("start", "resume")]
    machine = {name: value for name, value in (starts[-1] if starts else {}).items() if name not in ("step", "event")}
    told = {"machine": machine, **record.about}
    return {name: _short(value) for name, value in told.items() if value}


def _short(value: Any) -> str:
    """For a table: `name value, name value` of a mapping, four digits of a fraction."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
