"""Every threshold of every rule, and where it comes from."""

from typing import NamedTuple

from satgan.doctor.finding import LEVELS, Finding, Level
from satgan.gan.balance import AHEAD, BEHIND


class Limit(NamedTuple):
    """A figure's limits.

    Attributes:
        about: what the figure is, with its unit.
        warning: from here it is a warning; None: never.
        error: from here it is an error; None: never.
        source: where the limits come from.
        upwards: whether they are passed upwards; else downwards.
        info: from here it is worth knowing; None: never.
    """

    about: str
    warning: float | None
    error: float | None
    source: str
    upwards: bool = True
    info: float | None = None

    def text(self) -> str:
        """A line for people."""
        sign = ">=" if self.upwards else "<="
        limits = [(level, self.of(level)) for level in LEVELS]
        parts = [f"{level} {sign} {value:g}" for level, value in limits if value is not None]
        return f"{self.about}: {', '.join(parts)} ({self.source})"

    def of(self, level: Level) -> float | None:
        """From where on it is of a level; None: never."""
        return {"info": self.info, "warning": self.warning, "error": self.error}[level]


ARTICLE = "the second article"
SURE = "probability that fakes are called fake with, median over 500 steps"
OWN = "our choice, not measured"

LIMITS: dict[tuple[str, str], Limit] = {
    ("S01", "ladder"): Limit(
        "how far a feature map's filters are from half of the one before [times]", 1.5, None,
        "DCGAN halves them at each doubling; 1.5 leaves room for odd numbers",
    ),
    ("S02", "memory"): Limit(
        "memory that the run needs, of what the machine has [share]", 0.8, 1.0,
        "above 1 it does not fit; the activations are an estimate",
    ),
    ("S02", "hours"): Limit("projected time over train.budget_hours [times]", 1.0, 1.5, "the budget itself"),
    ("S03", "hours"): Limit(
        "projected time on the CPU [hours]", 12.0, None, f"a night; {ARTICLE} gave up on runs of days",
    ),
    ("S06", "deterministic"): Limit(
        "algorithms on the GPU that may differ from run to run [1: yes]", 1.0, None, "train.deterministic",
    ),
    ("S09", "interval"): Limit(
        "steps between checkpoints, of 64 tiles where batches are smaller", 501.0, 5001.0,
        f"{ARTICLE}: about every 500; ten times that",
    ),
    ("S09", "disk"): Limit("disk that the kept checkpoints take [GB]", 100.0, None, OWN),
    ("S10", "film"): Limit("steps between the film's frames", 101.0, None, f"{ARTICLE}: every 10; ten times that"),
    ("S20", "few"): Limit(
        "first feature map's filters, of those that follow from the preset and the kernel's area [times]", 0.25, None,
        f"{ARTICLE}: 1024 for 5×5, 4096 for 11×11", upwards=False,
    ),
    ("S20", "many"): Limit("the same, too many [times]", 4.0, None, "the same law the other way"),
    ("S22", "leak"): Limit(
        "slope of the discriminator's ReLU below zero", 0.0, None, f"{ARTICLE}: leaky, not plain", upwards=False,
    ),
    ("S23", "batch"): Limit(
        "tiles that a lane's batch norm sees", 7.0, None,
        "a mean of n tiles is off by 1/√n of their deviation: 38 % at 7; our choice", upwards=False,
    ),
    ("S24", "steps"): Limit(
        "steps without an L2 term", 2000.0, None, f"{ARTICLE}: it unsettles runs of thousands of iterations",
    ),
    ("S27", "kernel"): Limit(
        "odd kernel over stride 2 with nothing to smooth after it [1: yes]", 1.0, None,
        "such kernels cover pixels unevenly (Odena et al. 2016, distill.pub/2016/deconv-checkerboard)",
    ),
    ("S28", "threads"): Limit(
        "computing threads over usable cores [times]", 1.01, 2.0, f"{ARTICLE}: one core stays free",
    ),
    ("S30", "steps"): Limit(
        "steps of the run over its preset's own [share]", 4999 / 20000, None,
        f"{ARTICLE}: nothing after 500 to 700, 20,000 are common; recipe.md: few below 5,000 of them", upwards=False,
    ),
    ("S31", "rate"): Limit(
        "learning rate over the law's, or the preset's own where that is higher [times]", 1.01, 5.0,
        f"the law goes through {ARTICLE}'s rates; 5 is its 1e-3 at a batch of 64, which unsettled training",
    ),
    ("S33", "history"): Limit("share of steps with past fakes", 0.0, None, f"{ARTICLE}: 30 %", upwards=False),
    ("S37", "parameters"): Limit(
        "how much smaller the smaller network is [share of the larger]", 0.25, 0.75, "recipe.md: within 25 %",
    ),
    ("S37", "updates"): Limit(
        "generator updates per step", 5.0, 10.0, f"{ARTICLE} trains it twice; 10 is a generator ten times as strong",
    ),
    ("S39", "threshold"): Limit(
        "distance of recipe.path_threshold from 1/2", 0.4, None, f"{ARTICLE}: 50 %; at 0 or 1 one path is left",
    ),
    ("S39", "beta1"): Limit("Adam's beta1", 0.75, None, f"{ARTICLE}: 0.5, not 0.9"),
    ("G05", "digits"): Limit("runs on digits in the log", 0.0, None, "the first article", upwards=False),
    ("G06", "judge"): Limit("tiles that the judge looks at", 0.0, None, "judge.tiles", upwards=False),
    ("S07", "few"): Limit(
        "tiles of the set", 499.0, 63.0, f"63: fewer than {ARTICLE}'s batch, so that each batch repeats them; 499: "
        "our choice, not measured", upwards=False,
    ),
    ("S07", "poor"): Limit(
        "share of tiles that are flat, without detail or without data", 0.05, 0.5, OWN,
    ),
    ("S07", "mixed"): Limit(
        "share of tiles of another size or mode, unreadable, or grey among colour", 1e-9, 0.05,
        f"{ARTICLE}: they fail in some batch; 5 %: our choice",
    ),
    ("S08", "span"): Limit(
        "part of 0 to 255 that the tiles fill", 0.5, 0.25, "recipe.md: half of the range; a quarter: our choice",
        upwards=False,
    ),
    ("S04", "waiting"): Limit("share of the time that steps wait for tiles", 0.01, None, "recipe.md: 1 %"),
    ("S05", "entries"): Limit("entries of the run in the log", 0.0, None, "every run has one", upwards=False),
    ("S06", "twins"): Limit("runs of the same config whose numbers differ", 1.0, None, "same config, same numbers"),
    ("S07", "memory"): Limit(
        "distance of fakes to the nearest real tile, over that of reals [ratio of the judge's `memory`]", 0.5, 0.25,
        "healthy runs have 0.97 to 1.0; 0.5: our choice", upwards=False,
    ),
    ("S08", "largest"): Limit("largest value in the first batch", None, 1.001, "networks see [-1, 1]"),
    ("S09", "corrupt"): Limit(
        "newest checkpoint whose files have not their digests [1: yes]", None, 1.0, "the digests that were recorded",
    ),
    ("S09", "kept"): Limit("checkpoints beyond those that are kept", 3.0, None, "one is being written, one removed"),
    ("S09", "unwritten"): Limit(
        "checkpoints that were taken since the one that stands, and not written",
        1.0, 10.0, f"1: one is missing; 10: {OWN}",
    ),
    ("S09", "late"): Limit("checkpoints left out while one is on its way to the store", 3.0, None, OWN),
    ("S10", "pictures"): Limit("pictures of a run with checkpoints", 0.0, None, "a grid with each", upwards=False),
    ("S11", "layout"): Limit("first batch not channels_last [1: yes]", 1.0, None, "the networks' layout"),
    ("S12", "span"): Limit(
        "largest less smallest value of the first batch", None, 0.1, "bytes divided by 255 twice span 0.008",
        upwards=False,
    ),
    ("S14", "resident"): Limit(
        "rise of the process's memory [MB in 1,000 steps]", 100.0, 1000.0,
        "checkpoints and the judge take some 20 MB once; our choice",
    ),
    ("S14", "gpu"): Limit("rise of the GPU's memory [MB in 1,000 steps]", 20.0, 1000.0, "flat but for what leaks"),
    ("S23", "drift"): Limit(
        "distance of batch means from the running ones [running deviations]", 0.5, 1.0,
        "healthy runs have 0.02 to 0.1",
    ),
    ("S25", "share"): Limit("L2's share of a network's loss in the first 10 log steps", 0.5, 0.9, "recipe.md: half"),
    ("S27", "stride"): Limit(
        "variance of fakes at the strides' period, less that of reals [share of all variance]", 0.04, None,
        "30 runs of `demo` on three sets have 0.004 to 0.021 from step 2,000 on, `digits` 0.002 at most; before 1,000 "
        "up to 0.34, hence only after 2,000; a checkerboard of ±8 of 255 levels over real tiles has 0.035 to 0.040, "
        "fakes of 0.047 show one plainly; two batches of reals differ by 0.001",
    ),
    ("S27", "judged"): Limit(
        "the judge's `checkerboard`, twice in a row, where it is twice its floor or more [nepers]", None, None,
        "reals have 0.04 to 0.14; with a grid of ±1 of 255 levels over them 0.9 to 1.5, of ±3 1.2 to 3.3; 72 runs of "
        "`demo` and its variants on three sets have 1.3 to 4.1 at their end, so it is no warning; `digits` 0.5 to 1.0 "
        "after 1,000 steps", info=1.0,
    ),
    ("S31", "diverged"): Limit("attempts that ended with a number that is not finite", None, 1.0, "none is in order"),
    ("S31", "loss"): Limit(
        "largest loss, median over 200 steps", 10.0, 20.0,
        "39 runs had 8.1 at most; digits at 20 times their rates 24 after 360 steps",
    ),
    ("S31", "moves"): Limit(
        "change of a network's weights in a step [share of their norm]", 0.018, 0.05,
        "healthy runs have 0.001 to 0.015, at 20 times the rates 0.017 to 0.05",
    ),
    ("S36", "moves"): Limit(
        "change of the discriminator's weights in a step [share of their norm]", 1e-5, 1e-6,
        "healthy runs have 0.001 and more", upwards=False,
    ),
    ("S36", "chance"): Limit(
        "distance of the discriminator's accuracy from 1/2, median over 500 steps", 0.03, None,
        "healthy runs are rarely there for so long; our choice", upwards=False,
    ),
    ("S37", "sure"): Limit(
        SURE, None, 0.9995, "38 of 39 runs of the quality bench stay below; not of the first 500 steps",
    ),
    ("S37", "fooled"): Limit(
        SURE, None, 0.1,
        "healthy runs have 0.3 and more, beside a discriminator that does not learn 0.02 and less; not of the first "
        "500 steps: a run on digits had 0.005 in them and got well", upwards=False,
    ),
    ("S37", "spread"): Limit(
        "distance of fakes from each other, over that of reals, after 500 steps", 0.2, 0.1,
        "healthy narrow runs have 0.24 and more, without a learning discriminator 0.18", upwards=False,
    ),
    ("S39", "one-path"): Limit("only one path in the last 500 steps [1: yes]", 1.0, None, "paths are for alternating"),
    ("G02", "saturated"): Limit(
        "share of values beyond ±0.99, fakes less reals", 0.2, 0.5,
        "healthy runs have 0.04 at most",
    ),
    ("G03", "norm"): Limit("smallest of a network's layer gradients over the largest",
        1e-3, 1e-5, "healthy runs have 0.08 and more", upwards=False),
    ("G03", "zeros"): Limit("share of a layer's gradient that is exactly 0", 0.5, 0.9, "healthy runs have 0.001"),
    ("G04", "ahead"): Limit(SURE, AHEAD, None, "33 of 39 runs of the quality bench stay below"),
    ("G04", "behind"): Limit(SURE, BEHIND, None, "healthy runs have 0.3 and more", upwards=False),
    ("G06", "missing"): Limit("scores without reference, or checkpoints that could not be judged", 3.0, None, OWN),
    ("S29", "lowest"): Limit(
        "darkest value as the networks see it", -0.1, None, "0 where [0, 1] was not brought to [-1, 1]; 0.1 of room",
    ),
}  # fmt: skip
"""By rule and figure."""


def graded(
    rule: str, what: str, figure: float, found: str, action: str, since_step: int | None = None
) -> Finding | None:
    """The finding of the worse limit that a figure has reached; None where it has reached none.

    Args:
        rule: code.
        what: the figure's name in LIMITS.
        figure: its value.
        found: what was found, in a sentence.
        action: what can be pasted.
        since_step: see `Finding`.
    """
    limit = LIMITS[rule, what]
    for level in reversed(LEVELS):
        value = limit.of(level)
        if value is not None and (figure >= value if limit.upwards else figure <= value):
            return Finding(rule, level, found, figure, value, action, since_step)
    return None


def limits_of(rule: str) -> dict[str, Limit]:
    """A rule's limits by figure."""
    return {what: limit for (code, what), limit in LIMITS.items() if code == rule}
