"""Advice on balance (G04, S37): which network outruns the other, which rate to move, and by what factor."""

import math
from typing import NamedTuple

from satgan.doctor.finding import Finding
from satgan.doctor.records import Entry, RunRecord
from satgan.doctor.windows import LONG_STEPS, lasting, medians
from satgan.scaling import learning_rate

AIM = 0.8
"""Probability with which the discriminator should call fakes fake: it leads (S36), and there is something to learn."""

LARGEST_FACTOR = 4.0


class Advice(NamedTuple):
    """A rate to move: its option, its factor, and what it then is."""

    option: str
    factor: float
    rate: float

    def text(self) -> str:
        """`--recipe.discriminator-learning-rate 7.5e-05`"""
        return f"--recipe.{self.option.replace('_', '-')} {self.rate:.3g}"


def accuracy(entry: Entry) -> float | None:
    """Share of tiles that the discriminator called what they are, before the step's updates."""
    missed = [entry.numbers.get(name) for name in ("reals_called_fake", "fakes_called_real")]
    return None if None in missed else 1 - sum(share for share in missed if share is not None) / 2


def sureness(entry: Entry) -> float | None:
    """With which probability the discriminator calls this step's fakes fake (geometric mean): exp of less the loss. It
    still tells networks apart where the accuracy of few tiles is 1 for all of them."""
    loss = entry.numbers.get("fake_loss_before")
    return None if loss is None else math.exp(-loss)


def advice(record: RunRecord, sure: float) -> Advice:
    """What to move when the discriminator is so sure of fakes.

    The factor is the root of how far the odds are from those of AIM, LARGEST_FACTOR at most. The stronger network is
    slowed down; where its rate would come below half of the law's, the weaker one is sped up instead.

    Args:
        record: of the run.
        sure: see `sureness`; from 0 to 1.
    """
    odds = max(sure, 0.001) / max(1 - sure, 0.001)
    factor = (odds / (AIM / (1 - AIM))) ** 0.5
    stronger, weaker = ("discriminator", "generator") if factor > 1 else ("generator", "discriminator")
    factor = min(LARGEST_FACTOR, max(factor, 1 / factor))
    train = record.config.train
    rates = {name: getattr(record.config.recipe, f"{name}_learning_rate") for name in (stronger, weaker)}
    law = learning_rate(f"{stronger}_learning_rate", train.lanes * train.lane_batch)
    if rates[stronger] / factor < law / 2:
        return Advice(f"{weaker}_learning_rate", factor, min(1.0, rates[weaker] * factor))
    return Advice(f"{stronger}_learning_rate", 1 / factor, rates[stronger] / factor)


def _move(record: RunRecord) -> Advice:
    held = medians(record, sureness, LONG_STEPS)
    return advice(record, held[-1][1] if held else AIM)


def _outran(record: RunRecord, rule: str, limit: str, who: str) -> Finding | None:
    """A finding where the verdict has been beyond a limit for long, with the rate to move and its factor."""
    move = _move(record)
    found = f"{who}: fakes are called fake with probability {{:.3g}}; move the rate by a factor of {move.factor:.2g}"
    return lasting(record, rule, limit, sureness, found, move.text(), LONG_STEPS)


def discriminator_outruns(record: RunRecord) -> Finding | None:
    """G04: a discriminator that is sure of nearly all fakes."""
    return _outran(record, "G04", "ahead", "the discriminator outruns the generator")


def generator_outruns(record: RunRecord) -> Finding | None:
    """G04: a discriminator that takes most fakes for real."""
    return _outran(record, "G04", "behind", "the generator outruns the discriminator")


def discriminator_is_pinned(record: RunRecord) -> Finding | None:
    """S37: a discriminator that is always right."""
    return _outran(record, "S37", "sure", "nothing is left to learn from")


def discriminator_is_subdued(record: RunRecord) -> Finding | None:
    """S37: a discriminator that is always wrong."""
    return _outran(record, "S37", "fooled", "the discriminator is subdued")
