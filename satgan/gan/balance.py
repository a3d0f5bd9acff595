"""The balance between the two networks: which path trains the discriminator (S39), and which rate to move (G04)."""

import math
from typing import Literal, NamedTuple

from satgan.config import Config
from satgan.scaling import learning_rate

Path = Literal["A", "B"]

AHEAD, BEHIND = 0.98, 0.25
"""A discriminator that calls fakes fake with a probability beyond these outruns the generator, or is outrun by it."""

AIM = 0.8
"""Probability with which the discriminator should call fakes fake: it leads (S36), and there is something to learn."""

LARGEST_FACTOR = 4.0
"""By which a rate is advised to be moved."""

FACTOR_AT_ONCE, FACTOR_IN_ALL = 2.0, 10.0
"""By which a rate moves by itself: at most so much in one move, and so far from the config's."""


class Verdict(NamedTuple):
    """How the discriminator did in a step, over all lanes, as shares of the global batch."""

    reals_called_fake: float
    fakes_called_real: float


FIRST_VERDICT = Verdict(0.5, 0.5)
"""Before the first step: at chance, so that the discriminator leads from the start (S36)."""


def choose_path(verdict: Verdict, threshold: float) -> Path:
    """A (two updates, strong) where one share reaches the threshold, else B (one update on the sum, light)."""
    return "A" if max(verdict) >= threshold else "B"


class Rates(NamedTuple):
    """Adam's learning rate of each network."""

    generator: float
    discriminator: float


def config_rates(config: Config) -> Rates:
    """Those that the config gives."""
    return Rates(config.recipe.generator_learning_rate, config.recipe.discriminator_learning_rate)


class Move(NamedTuple):
    """A learning rate to move: whose, by what factor, and what it then is."""

    network: str
    factor: float
    rate: float

    def text(self) -> str:
        """`--recipe.discriminator-learning-rate 7.5e-05`"""
        return f"--recipe.{self.network}-learning-rate {self.rate:.3g}"


class Balance(NamedTuple):
    """What the moves of a run follow from: the rates as they are, and the sum of `sureness` over the steps since the
    last decision. It is in each checkpoint."""

    rates: Rates
    sure: float = 0.0
    steps: int = 0


class Moved(NamedTuple):
    """A learning rate that has moved by itself: whose, from where to where, and how sure the discriminator had been."""

    network: str
    rate_before: float
    rate: float
    sure: float

    def why(self) -> str:
        """In a sentence."""
        ahead = "discriminator outran the generator" if self.sure >= AHEAD else "generator outran the discriminator"
        return f"the {ahead}: fakes were called fake with probability {self.sure:.3g}"

    def text(self) -> str:
        """For people: the move and why."""
        return f"{self.why()}; the {self.network}'s learning rate is {self.rate:.3g} now, {self.rate_before:.3g} before"


def sureness(fake_loss: float) -> float:
    """With which probability the discriminator calls fakes of that loss fake (geometric mean): it still tells networks
    apart where the accuracy of few tiles is 1 for all of them."""
    return math.exp(-fake_loss)


def choices(sure: float, rates: Rates, batch: int, most: float) -> tuple[Move, Move]:
    """What to move when the discriminator is so sure of fakes, and what else would do.

    The factor is the root of how far the odds are from those of AIM. The stronger network is slowed down; where its
    rate would come below half of the law's, the weaker one is sped up instead.

    Args:
        sure: see `sureness`; from 0 to 1.
        rates: as they are.
        batch: tiles of the global batch.
        most: the largest factor.
    """
    odds = max(sure, 0.001) / max(1 - sure, 0.001)
    factor = (odds / (AIM / (1 - AIM))) ** 0.5
    stronger, weaker = ("discriminator", "generator") if factor > 1 else ("generator", "discriminator")
    factor = min(most, max(factor, 1 / factor))
    slower = Move(stronger, 1 / factor, getattr(rates, stronger) / factor)
    faster = Move(weaker, factor, min(1.0, getattr(rates, weaker) * factor))
    below = slower.rate < learning_rate(f"{stronger}_learning_rate", batch) / 2
    return (faster, slower) if below else (slower, faster)


def rebalanced(
    balance: Balance, fake_loss: float, every: int, first: Rates, batch: int
) -> tuple[Balance, Moved | None]:
    """Takes a step into account; every so many steps one rate is moved where one network has outrun the other.

    Nothing but the steps' own losses decides, so it is the same for any number of workers, and after any resume.

    Args:
        balance: before the step.
        fake_loss: of the discriminator in this step, over all lanes.
        every: steps from decision to decision.
        first: the config's rates.
        batch: tiles of the global batch.
    """
    sure, steps = balance.sure + sureness(fake_loss), balance.steps + 1
    if steps < every:
        return Balance(balance.rates, sure, steps), None
    move = _bounded_move(sure / steps, balance.rates, first, batch)
    return Balance(balance.rates._replace(**{move.network: move.rate}) if move else balance.rates), move


def _bounded_move(sure: float, rates: Rates, first: Rates, batch: int) -> Moved | None:
    """The first choice that its bounds leave room for."""
    if not (sure >= AHEAD or sure <= BEHIND):
        return None
    for move in choices(sure, rates, batch, FACTOR_AT_ONCE):
        was, config = getattr(rates, move.network), getattr(first, move.network)
        # Three digits, as the doctor advises them: the last bits of exp and of roots differ from machine to machine.
        rate = min(config * FACTOR_IN_ALL, max(config / FACTOR_IN_ALL, float(f"{move.rate:.3g}")))
        if (rate := float(f"{rate:.6g}")) != was:
            return Moved(move.network, was, rate, round(sure, 4))
    return None
