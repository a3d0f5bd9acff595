"""The charts of a report, from a run's record."""

from collections.abc import Iterator

from satgan.gallery.portrait import Curve, Portrait
from satgan.gallery.record import Record
from satgan.judge.score import score_names
from satgan.pictures.charts import Line, Strip, line_chart

LOSSES = ("real_loss", "fake_loss", "history_loss", "generator_loss")
"""Their names everywhere; satgan/gan/losses.py tells what they are."""

CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}


def charts_of(record: Record) -> Iterator[str]:
    """What happened over the steps: losses and the path below them, the verdict, regularizers, scores, speed."""
    path = Strip("path A", *record.series("numbers", "path_a"))
    for moment in ("before", "after"):
        lines = [Line(loss, *record.series("numbers", f"{loss}_{moment}")) for loss in LOSSES]
        lines = [line for line in lines if line.x or line.name != "history_loss"]
        yield line_chart(f"Losses {moment} the updates of a step", "step", lines, logarithmic=True, strip=path)
    verdict = {"reals called fake": "reals_called_fake", "fakes called real": "fakes_called_real"}
    lines = [Line(name, *record.series("numbers", key)) for name, key in verdict.items()]
    yield line_chart("The discriminator's mistakes, as shares of a batch", "step", lines, strip=path)
    shares = [
        Line(network, *record.series("numbers", f"{network}_regularizer_share_after"))
        for network in ("generator", "discriminator")
    ]
    yield line_chart("The regularizer's share of a network's loss (S25)", "step", shares, logarithmic=True)
    rates = [
        Line(network, *record.series("numbers", f"learning_rate.{network}"))
        for network in ("generator", "discriminator")
    ]
    if rates[0].x:  # recipe.auto_balance is on
        yield line_chart("Learning rates, as they moved (G04)", "step", rates, logarithmic=True)
    yield line_chart("Speed, tiles per second", "step", [Line("tiles/s", *record.series("timing", "tiles_per_second"))])
    yield line_chart(
        "Share of the time that was spent waiting for tiles", "step",
        [Line("waited", *record.series("timing", "waited_share"))],
    )  # fmt: skip


def score_chart(record: Record) -> str:
    """The overall score, checkpoint by checkpoint; 1 is where reals are."""
    judged = record.events("judged")
    lines = []
    for tiles in dict.fromkeys(entry.get("tiles") for entry in judged):  # other numbers of tiles do not compare
        alike = [entry for entry in judged if entry.get("tiles") == tiles]
        scores = [entry["score"] for entry in alike]
        lines.append(Line(f"score by {tiles} tiles", [entry["step"] for entry in alike], scores))
    steps = [entry["step"] for entry in judged]
    lines.append(Line("reals", steps, [1.0] * len(steps), is_floor=True))
    title = "The judge's overall score; lower is better, 1 is as far from the reals as reals are"
    return line_chart(title, "step", lines, logarithmic=True)


def score_charts(record: Record) -> Iterator[str]:
    """Each score beside its floor."""
    for name in score_names(record.config["gan"]["size"]):
        lines = [Line(name, *record.judged(name, "value")), Line("floor", *record.judged(name, "floor"), is_floor=True)]
        if lines[0].x:
            yield line_chart(name.replace("_", " "), "step", lines)


def portrait_charts(portrait: Portrait) -> Iterator[str]:
    """Spectra and histograms of fakes and reals."""
    yield spectra_chart(*portrait.spectra)
    levels = list(range(256))
    names = CHANNELS.get(len(portrait.histograms[0]), range(1, len(portrait.histograms[0]) + 1))
    for name, fake, real in zip(names, *portrait.histograms, strict=True):
        lines = [Line("fakes", levels, list(fake)), Line("reals", levels, list(real), is_floor=True)]
        yield line_chart(f"Pixels of channel {name}: share of each level", "level", lines)


def spectra_chart(fakes: Curve, reals: Curve) -> str:
    """Powers `[rings]` of ten by frequency; its axis is logarithmic, as the power law of imagery is straight there."""
    rings = list(range(1, len(fakes) + 1))
    lines = [Line("fakes", rings, list(fakes)), Line("reals", rings, list(reals), is_floor=True)]
    return line_chart("Spectra: power of ten by waves per tile", "waves per tile", lines, log_x=True)
