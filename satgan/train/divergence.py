"""Numbers that are infinite or not numbers: found before a checkpoint holds them; the run stops or is rolled back.

A step's figures are on the host anyway and are looked at in every step. A gradient that is not finite makes the next
step's figures so, or stays within Adam: hence weights and moments are looked at before each checkpoint. All of it is
the same on every worker, so all of them decide alike without another message.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from satgan.config import Config
from satgan.errors import Diverged
from satgan.gan.pair import Pair
from satgan.train.checkpoint import FOLDER, complete_steps, name_of
from satgan.train.run_folder import RunFolder


class NotFinite(Exception):
    """Ends an attempt at a run; `found` names what is not finite, with its value, after `step` steps."""

    def __init__(self, step: int, found: str) -> None:
        super().__init__(step, found)
        self.step, self.found = step, found


class Rollback(NamedTuple):
    """Why an attempt begins: which one it is (from 1), and where and how the one before diverged."""

    attempt: int
    diverged_step: int
    found: str

    def text(self) -> str:
        """For the user."""
        found = f"training diverged in step {self.diverged_step}: {self.found}"
        return f"{found}; rollback {self.attempt}: on from the last checkpoint, with other noise"


def wrong_numbers(numbers: Mapping[str, float]) -> str:
    """Names and values of the numbers that are not finite; empty where all are."""
    return ", ".join(f"{name} = {value}" for name, value in numbers.items() if not math.isfinite(value))


def wrong_tensors(pair: Pair) -> str:
    """Names of what a checkpoint would hold that is not finite, with how many of its numbers; empty where all are."""
    wrong = {name: int((~torch.isfinite(vector)).sum()) for name, vector in _vectors(pair) if not _finite(vector)}
    return ", ".join(f"{name}: {count} number(s) not finite" for name, count in wrong.items())


def roll_back(config: Config, attempt: int, error: NotFinite) -> Rollback:
    """The attempt that follows one that diverged; it resumes from the last checkpoint, or begins anew without one.

    Args:
        config: the run's.
        attempt: the one that ended.
        error: what ended it.

    Raises:
        Diverged: `train.on_nan` is stop, or there were as many rollbacks as `train.rollbacks` allows.
    """
    train = config.train
    if train.on_nan == "rollback" and attempt < train.rollbacks:
        return Rollback(attempt + 1, error.step, error.found)
    folder = RunFolder(train.store, train.name)
    try:
        steps = complete_steps(folder.store)
        last = f"{folder.place(FOLDER)}/{name_of(steps[-1])}" if steps else "none"
    finally:
        folder.close()
    tried = f" after {attempt} rollback(s)" if attempt else ""
    again = f"--train.rollbacks {2 * attempt}" if attempt else "--train.on-nan rollback"
    raise Diverged(
        f"training diverged{tried} in step {error.step}: {error.found}; the last good checkpoint: {last}",
        f"the same command with {again} goes on from there with other noise; or change the recipe in a new run, with "
        "lower --recipe.discriminator-learning-rate and --recipe.generator-learning-rate, that goes on from there "
        "(--fork NAME) or begins anew (--name NAME)",
    )


def _vectors(pair: Pair) -> Iterator[tuple[str, Tensor]]:
    for name, player in (("generator", pair.generator), ("discriminator", pair.discriminator)):
        yield f"{name} weights", player.weights
        yield f"{name} running statistics", player.running
        for adam, optimizer in player.adams.items():
            moments = optimizer.moments.items()
            yield from ((f"{name} Adam {adam} {part}", value) for part, value in moments if part != "step")
    yield "averaged generator", pair.average


def _finite(vector: Tensor) -> bool:
    # A sum is infinite or NaN where a part is, and takes no memory; it may also overflow, which the count then tells.
    return bool(torch.isfinite(vector.sum())) or bool(torch.isfinite(vector).all())
