"""Where values lie on an axis of a chart, from 0 to 1."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from satgan.pictures.charts import number_text, ticks
from tune.effects import order
from tune.trials import shown

FEW = 6
"""Up to so many different values each has its own place, at equal distances; so have those that are no numbers."""

LOG_FROM = 10.0
"""Largest over smallest value, from which an axis is logarithmic."""


class Scale(NamedTuple):
    """An axis: `places` of few values, else from `low` to `high`."""

    places: list[Any]
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def at(self, value: Any) -> float:
        """Place of a value, 0 to 1."""
        if self.places:
            return (self.places.index(value) + 0.5) / len(self.places)
        low, high, here = (math.log(one) if self.log else one for one in (self.low, self.high, value))
        return 0.5 if high == low else (here - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and texts of labels: of few values each one's, else round values."""
        if self.places:
            return [(self.at(value), shown(value)) for value in self.places]
        values = ticks(self.low, self.high, self.log) if self.low < self.high else [self.low]
        return [(self.at(value), number_text(value)) for value in values]


def scale_of(values: Sequence[Any]) -> Scale:
    """The axis on which all of the values lie; at least one."""
    distinct = sorted({json.dumps(value): value for value in values}.values(), key=order)
    numbers = [value for value in distinct if isinstance(value, (int, float))]
    if len(distinct) <= FEW or len(numbers) < len(distinct):
        return Scale(distinct)
    return range_scale(min(numbers), max(numbers))


def range_scale(low: float, high: float) -> Scale:
    """From one value to another."""
    return Scale([], low, high, low > 0 and high / low >= LOG_FROM)


def score_scale(scores: Sequence[float]) -> Scale:
    """A little beyond the best and the worst; logarithmic, as scores are means of ratios."""
    return Scale([], min(scores) / 1.06, max(scores) * 1.06, log=True)
