"""Where values lie on an axis of a chart, from 0 to 1."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

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

    def ticks(self, count: int = 4) -> list[tuple[float, str]]:
        """Places and texts of labels."""
        if self.places:
            return [(self.at(value), shown(value)) for value in self.places]
        shares = [number / count for number in range(count + 1)]
        values = [self.low * (self.high / self.low) ** share if self.log else self.low + share * (self.high - self.low)
                  for share in shares]  # fmt: skip
        return [(share, _told(value)) for share, value in zip(shares, values, strict=True)]


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


def _told(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}"
