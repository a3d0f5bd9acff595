"""What can be seen in the judge's words about a run: records in, findings out."""

from typing import Any

from satgan.doctor.finding import Finding
from satgan.doctor.limits import graded
from satgan.doctor.records import RunRecord
from satgan.doctor.training_rules import against_grids
from satgan.doctor.windows import SETTLED_STEPS

JUDGEMENTS = 2
"""In a row: the score of few tiles is noisy."""

FAR_FROM_REAL = 2.0
"""Ratio from which the pages mark a score; below it a value says little."""


def _last(record: RunRecord, name: str) -> list[dict[str, Any]]:
    """One score in the newest judgements, each with its step."""
    judged = [event for event in record.events if event["event"] == "judged" and name in event["scores"]]
    return [{**event["scores"][name], "step": event["step"]} for event in judged[-JUDGEMENTS:]]


def tiles_are_copied(record: RunRecord) -> Finding | None:
    """S07: fakes that lie nearer to single real tiles than real tiles do, by the last judgements."""
    judged = _last(record, "memory")
    if len(judged) < JUDGEMENTS:
        return None
    figure = max(score["ratio"] for score in judged)
    found = f"fakes are copies: {figure:.2f} of the reals' own distance to the nearest real tile"
    finding = graded("S07", "memory", figure, found, "--recipe.differentiable-augmentation color,translation,cutout")
    return finding and finding._replace(since_step=judged[0]["step"])


def grid_is_judged(record: RunRecord) -> Finding | None:
    """S27: a grid that the judge sees in the spectra, be it too faint to be much of the variance."""
    judged = [score for score in _last(record, "checkerboard") if score["step"] > SETTLED_STEPS]
    if len(judged) < JUDGEMENTS or min(score["ratio"] for score in judged) < FAR_FROM_REAL:
        return None
    least = min(judged, key=lambda score: score["value"])
    found = f"the judge sees a grid: checkerboard {least['value']:.2f}, {least['ratio']:.0f} times its floor"
    finding = graded("S27", "judged", least["value"], found, against_grids(record))
    return finding and finding._replace(since_step=judged[0]["step"])


def scores_lack_references(record: RunRecord) -> Finding | None:
    """G06: checkpoints that nobody could judge, or scores without their floors."""
    judged = [event for event in record.events if event["event"] == "judged"]
    bare = sum("floor" not in score for event in judged for score in event["scores"].values())
    failed = sum(event["event"] == "unjudged" for event in record.events) if not judged else 0
    found = f"{bare} score(s) have no reference" if bare else f"no checkpoint was judged, {failed} could not be"
    return graded("G06", "missing", bare + failed, found, "--judge.tiles 256")
