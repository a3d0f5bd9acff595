"""Free training (S39): two ways of training the discriminator, chosen each step by how it did in the step before."""

from typing import Literal, NamedTuple

Path = Literal["A", "B"]


class Verdict(NamedTuple):
    """How the discriminator did in a step, over all lanes, as shares of the global batch."""

    reals_called_fake: float
    fakes_called_real: float


FIRST_VERDICT = Verdict(0.5, 0.5)
"""Before the first step: at chance, so that the discriminator leads from the start (S36)."""


def choose_path(verdict: Verdict, threshold: float) -> Path:
    """A (two updates, strong) where one share reaches the threshold, else B (one update on the sum, light)."""
    return "A" if max(verdict) >= threshold else "B"
