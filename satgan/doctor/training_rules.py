"""What can be seen in a run's numbers: records in, findings out. Names as in gan/losses.py and gan/observe.py."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

from satgan.doctor.balance import (
    accuracy,
    discriminator_is_pinned,
    discriminator_is_subdued,
    discriminator_outruns,
    generator_outruns,
)
from satgan.doctor.finding import Finding
from satgan.doctor.limits import graded
from satgan.doctor.records import Entry, RunRecord, newest_attempt
from satgan.doctor.windows import (
    FEWEST_ENTRIES,
    LONG_STEPS,
    SETTLED_STEPS,
    SHORT_STEPS,
    begun,
    difference,
    lasting,
    number,
    ratio,
)

TrainingCheck = Callable[[RunRecord], Finding | None]
COIN_TOSS = math.log(2)
"""The loss of a network that cannot tell."""

NETWORKS = ("generator", "discriminator")


def _worst(findings: list[Finding | None], upwards: bool = True) -> Finding | None:
    """Of several findings of one figure the one farthest out."""
    return max((one for one in findings if one), key=lambda one: one.figure if upwards else -one.figure, default=None)


def statistics_drift(record: RunRecord) -> Finding | None:
    """S23: batches whose statistics are far from the running ones, so that samples are drawn by another network."""
    return _worst(
        [
            lasting(
                record,
                "S23",
                "drift",
                number(f"norm_drift.{network}"),
                f"the {network}'s batch means lie {{:.2g}} running deviations off",
                f"--gan.{network}-norm virtual",
            )
            for network in NETWORKS
        ]
    )


def regularizer_is_large(record: RunRecord) -> Finding | None:
    """S25: a regularizer that is most of the loss in the first log steps. A loss counts as a coin's toss at least: a
    regularizer is not large because a loss is small."""
    early = record.entries[:FEWEST_ENTRIES]
    findings = []
    for network, losses in (("generator", ("generator",)), ("discriminator", ("real", "fake"))):
        shares = [share for entry in early if (share := _regularizer_share(entry, network, losses)) is not None]
        if len(shares) == FEWEST_ENTRIES:
            found = f"the L2 term is {median(shares):.0%} of the {network}'s loss at the start"
            constant = getattr(record.config.recipe, f"{network}_l2")
            action = f"--recipe.{network}-l2 {constant / 10:g}"
            findings.append(graded("S25", "share", median(shares), found, action))
    worst = _worst(findings)
    return worst and worst._replace(since_step=early[0].step)


def _regularizer_share(entry: Entry, network: str, losses: tuple[str, ...]) -> float | None:
    regularizer = entry.numbers.get(f"{network}_regularizer_after")
    if regularizer is None:
        return None
    loss = sum(max(entry.numbers[f"{name}_loss_after"], COIN_TOSS) for name in losses)
    return regularizer / (loss + regularizer)


def checkerboard(record: RunRecord) -> Finding | None:
    """S27: fakes that repeat with the strides' period more than real tiles do, once they have learned for a while."""
    return lasting(
        begun(record, SETTLED_STEPS), "S27", "stride", difference("stride_energy.fakes", "stride_energy.reals"),
        "{:.0%} more of the fakes' variance than of the reals' repeats with the strides' period",
        against_grids(record), LONG_STEPS,
    )  # fmt: skip


def against_grids(record: RunRecord) -> str:
    """What to change (S27): with even kernels a smoothing layer helped on one set of three, longer training on all."""
    gan = record.config.gan
    uneven = gan.kernel_size % 2 == 1 and gan.smoothing_layers == 0
    return "--gan.smoothing-layers 1" if uneven else f"--train.steps {2 * record.config.train.steps}"


def losses_diverge(record: RunRecord) -> Finding | None:
    """S31: a number that is not finite, or losses that grow far beyond those of a coin's toss."""
    rates = record.rates
    lower = (
        f"--recipe.generator-learning-rate {rates.generator / 5:g} "
        f"--recipe.discriminator-learning-rate {rates.discriminator / 5:g}"
    )
    diverged = [event for event in newest_attempt(record.events) if event["event"] == "diverged"]
    if diverged:  # else there was none, or it was rolled back
        found = f"not finite: {diverged[-1]['found']}"
        finding = graded("S31", "diverged", len(diverged), found, lower)
        return finding and finding._replace(since_step=diverged[-1]["step"])

    def largest(entry: Entry) -> float | None:
        return max(entry.numbers.get(f"{name}_loss_before", 0.0) for name in ("real", "fake", "generator"))

    return lasting(record, "S31", "loss", largest, "a loss of {:.1f}, where a coin's toss has 0.69", lower)


def steps_are_large(record: RunRecord) -> Finding | None:
    """S31: steps that change the weights by a large part of themselves, once the first ones are taken."""
    return _worst(
        [
            lasting(
                begun(record, SHORT_STEPS),
                "S31",
                "moves",
                ratio(f"update_norm.{network}", f"weight_norm.{network}"),
                f"each step changes the {network}'s weights by {{:.1%}}",
                f"--recipe.{network}-learning-rate {getattr(record.rates, network) / 5:g}",
            )
            for network in NETWORKS
        ]
    )


def discriminator_stands_still(record: RunRecord) -> Finding | None:
    """S36: a discriminator whose weights hardly move."""
    faster = 10 * record.rates.discriminator
    return lasting(
        record, "S36", "moves", ratio("update_norm.discriminator", "weight_norm.discriminator"),
        "a step changes the discriminator's weights by {:.1g} of themselves: it does not learn",
        f"--recipe.discriminator-learning-rate {min(faster, 1e-3) if faster > 1e-5 else 1.5e-4:g}",
    )  # fmt: skip


def discriminator_is_at_chance(record: RunRecord) -> Finding | None:
    """S36: a discriminator that tells nothing for long."""
    faster = 2 * record.rates.discriminator

    def from_chance(entry: Entry) -> float | None:
        told = accuracy(entry)
        return None if told is None else abs(told - 0.5)

    return lasting(
        record, "S36", "chance", from_chance,
        "the discriminator's accuracy lies {:.1%} from a coin's toss",
        f"--recipe.discriminator-learning-rate {min(faster, 1.0):g}", LONG_STEPS,
    )  # fmt: skip


def fakes_collapse(record: RunRecord) -> Finding | None:
    """S37: fakes that are all alike, where the reals of a batch are not."""
    slower = record.rates.generator / 2
    return lasting(
        begun(record, LONG_STEPS), "S37", "spread", ratio("spread.fakes", "spread.reals"),
        "collapse: fakes differ by {:.2g} of what real tiles differ by",
        f"--recipe.generator-learning-rate {slower:g}",
    )  # fmt: skip


def path_is_one(record: RunRecord) -> Finding | None:
    """S39: one path taken always."""
    threshold = record.config.recipe.path_threshold
    length = max(FEWEST_ENTRIES, math.ceil(LONG_STEPS / record.config.train.log_steps))
    window = record.entries[-length:]
    taken = {entry.numbers["path_a"] for entry in window}
    if not 0 < threshold < 1 or len(window) < length or len(taken) > 1:  # at 0 and 1 the config wishes it so
        return None
    path, other = ("A", threshold + 0.1) if 1.0 in taken else ("B", threshold - 0.1)
    action = f"--recipe.path-threshold {min(0.9, max(0.1, other)):g}"
    finding = graded("S39", "one-path", 1.0, f"path {path} was taken in the last {length} log steps", action)
    return finding and finding._replace(since_step=window[0].step)


def outputs_saturate(record: RunRecord) -> Finding | None:
    """G02: outputs at the ends of tanh, where real tiles have values in between."""
    fewer = ",".join(str(max(1, filters // 2)) for filters in record.config.gan.filters)
    return lasting(
        record, "G02", "saturated", difference("saturated_share.fakes", "saturated_share.reals"),
        "{:.0%} more of the fakes' values than of the reals' lie beyond ±0.99",
        f"--gan.filters {fewer}",
    )  # fmt: skip


def _layers(entry: Entry, kind: str, network: str) -> dict[str, float]:
    return {name: value for name, value in entry.numbers.items() if name.startswith(f"{kind}.{network}.")}


def _faintest(network: str, entry: Entry) -> float | None:
    """The smallest of the layers' gradient norms over the largest."""
    norms = _layers(entry, "gradient_norm", network).values()
    return min(norms) / max(norms) if norms and max(norms) > 0 else None


def _emptiest(network: str, entry: Entry) -> float | None:
    """The largest share of zeros in a layer's gradient."""
    return max(_layers(entry, "gradient_zero_share", network).values(), default=None)


def gradients_fade(record: RunRecord) -> Finding | None:
    """G03: a layer that gets next to no gradient, or one that is mostly zeros."""
    findings = []
    for network in NETWORKS:
        action = f"--gan.{network}-leak 0.2"
        findings += [
            lasting(
                record, "G03", "norm", partial(_faintest, network),
                f"a layer of the {network} gets {{:.1g}} of the largest gradient",
                action,
            ),
            lasting(
                record, "G03", "zeros", partial(_emptiest, network),
                f"{{:.0%}} of a {network} layer's gradient are exactly 0", action,
            ),
        ]  # fmt: skip
    return next((finding for finding in findings if finding), None)


TRAINING_CHECKS: Mapping[str, tuple[TrainingCheck, ...]] = {
    "S23": (statistics_drift,),
    "S25": (regularizer_is_large,),
    "S31": (losses_diverge, steps_are_large),
    "S36": (discriminator_stands_still, discriminator_is_at_chance),
    "S37": (discriminator_is_pinned, discriminator_is_subdued, fakes_collapse),
    "S39": (path_is_one,),
    "G02": (outputs_saturate,),
    "G03": (gradients_fade,),
    "G04": (discriminator_outruns, generator_outruns),
}
