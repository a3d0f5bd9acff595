"""Advice on balance (G04, S37): which network outruns the other, which rate to move, and by what factor."""

from satgan.doctor.finding import Finding
from satgan.doctor.records import Entry, RunRecord
from satgan.doctor.windows import LONG_STEPS, begun, lasting, medians
from satgan.gan.balance import AIM, LARGEST_FACTOR, Move, choices, sureness


def accuracy(entry: Entry) -> float | None:
    """Share of tiles that the discriminator called what they are, before the step's updates."""
    missed = [entry.numbers.get(name) for name in ("reals_called_fake", "fakes_called_real")]
    return None if None in missed else 1 - sum(share for share in missed if share is not None) / 2


def sure_of_fakes(entry: Entry) -> float | None:
    """With which probability the discriminator calls this step's fakes fake."""
    loss = entry.numbers.get("fake_loss_before")
    return None if loss is None else sureness(loss)


def advice(record: RunRecord, sure: float) -> Move:
    """What to move when the discriminator is so sure of fakes; see `choices`.

    Args:
        record: of the run.
        sure: from 0 to 1.
    """
    train = record.config.train
    return choices(sure, record.rates, train.lanes * train.lane_batch, LARGEST_FACTOR)[0]


def _move(record: RunRecord) -> Move:
    held = medians(record, sure_of_fakes, LONG_STEPS)
    return advice(record, held[-1][1] if held else AIM)


def _outran(record: RunRecord, rule: str, limit: str, who: str) -> Finding | None:
    """A finding where the verdict has been beyond a limit for long, with the rate to move and its factor."""
    move = _move(record)
    found = f"{who}: fakes are called fake with probability {{:.3g}}; move the rate by a factor of {move.factor:.2g}"
    return lasting(record, rule, limit, sure_of_fakes, found, move.text(), LONG_STEPS)


def discriminator_outruns(record: RunRecord) -> Finding | None:
    """G04: a discriminator that is sure of nearly all fakes."""
    return _outran(record, "G04", "ahead", "the discriminator outruns the generator")


def generator_outruns(record: RunRecord) -> Finding | None:
    """G04: a discriminator that takes most fakes for real."""
    return _outran(record, "G04", "behind", "the generator outruns the discriminator")


def discriminator_is_pinned(record: RunRecord) -> Finding | None:
    """S37: a discriminator that is always right, after the run's first steps."""
    return _outran(begun(record, LONG_STEPS), "S37", "sure", "nothing is left to learn from")


def discriminator_is_subdued(record: RunRecord) -> Finding | None:
    """S37: a discriminator that is always wrong, after the run's first steps."""
    return _outran(begun(record, LONG_STEPS), "S37", "fooled", "the discriminator is subdued")
