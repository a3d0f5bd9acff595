"""What a run has cost: the price of its machines times the time that it had them, all attempts together.

The time counts from the moment when workers first begin, through their restarts, to the end; not what the machines took
to start, nor what they stand idle before and after. What an attempt paid after its last journal line that came to the
store is lost with it where its driver was killed.
"""

import time
from collections.abc import Callable

from satgan.errors import InputError
from satgan.groups import TrainConfig
from satgan.tiles.store import Store
from satgan.train.journal import JOURNAL_NAME, dollars_in

SECONDS_PER_HOUR = 3600

Bill = Callable[[float, float], float]
"""Told when workers begin: USD per second from now on, and USD that the journal has; returns USD paid until now."""


def as_told(dollars_per_second: float, told: float) -> float:
    """The bill of a process that begins once: what the journal has."""
    return told


class Meter:
    """Counts the cost while workers run.

    Args:
        train: the prices and the budget.
        workers: how many there are.
        bill: see `Bill`.
        told: what the journal has.
    """

    def __init__(self, train: TrainConfig, workers: int, bill: Bill, told: float) -> None:
        self._budget = train.budget
        self._per_second = (train.head_price + max(1, workers) * train.worker_price) / SECONDS_PER_HOUR
        self._paid, self._begun = bill(self._per_second, told) if self._per_second else 0.0, time.monotonic()

    @property
    def dollars(self) -> float | None:
        """USD until now; None where no price is known."""
        return self._paid + (time.monotonic() - self._begun) * self._per_second if self._per_second else None

    def is_spent(self) -> bool:
        """Whether the budget is."""
        dollars = self.dollars
        return self._budget is not None and dollars is not None and dollars >= self._budget

    def about(self) -> dict[str, float]:
        """For the journal."""
        dollars = self.dollars
        return {} if dollars is None else {"dollars": round(dollars, 6)}


def check_budget(run: Store, train: TrainConfig) -> None:
    """Refuses a run that has spent its budget before.

    Raises:
        InputError: it has.
        StoreError: its journal cannot be read.
    """
    if train.budget is None or not run.exists(JOURNAL_NAME):
        return
    paid = dollars_in(run.read(JOURNAL_NAME))
    if paid >= train.budget:
        found = f"{run.url} has cost {paid:.2f} USD, its budget is {train.budget:g} USD"
        raise InputError(found, "a larger --budget goes on from the newest checkpoint")
