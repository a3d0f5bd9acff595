"""Times variants in turn: warm-up apart, round robin, so that a slow minute of the machine strikes all of them."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from bench.variants import Variant

MOST_STEPS = 500


class Effort(NamedTuple):
    """How thoroughly to measure.

    rounds         of which the table shows the median
    round_seconds  a variant runs at least so long in a round (or one step)
    warm_up_steps  before the clock; then a timed run, which decides how many steps a round has
    """

    rounds: int
    round_seconds: float
    warm_up_steps: int


class Measured(NamedTuple):
    """A variant's result.

    step_seconds  of a step on average, one per round
    cold          there was no time for a round after the first run, so the first run is the result
    """

    variant: Variant
    step_seconds: tuple[float, ...]
    cold: bool


class _Prepared(NamedTuple):
    variant: Variant
    first_seconds: float


def measure(
    builds: Sequence[Callable[[], Variant]], device: torch.device, effort: Effort, allowance_seconds: float
) -> list[Measured]:
    """All variants on one preset and batch.

    Args:
        builds: each makes a variant; built and warmed up one after the other.
        device: where they compute.
        effort: rounds are fewer where the allowance is short.
        allowance_seconds: for everything here; the first runs are made in any case.
    """
    end = time.monotonic() + allowance_seconds
    prepared = [_prepare(build, device, effort) for build in builds]
    steps = [min(MOST_STEPS, math.ceil(effort.round_seconds / entry.first_seconds)) for entry in prepared]
    round_seconds = sum(count * entry.first_seconds for count, entry in zip(steps, prepared, strict=True))
    rounds = min(effort.rounds, math.floor((end - time.monotonic()) / round_seconds))
    if rounds < 1:
        return [Measured(entry.variant, (entry.first_seconds,), True) for entry in prepared]
    seconds: list[list[float]] = [[] for _ in prepared]
    for _ in range(rounds):
        for entry, count, times in zip(prepared, steps, seconds, strict=True):
            times.append(step_seconds(entry.variant, count, device))
        if time.monotonic() > end:
            break  # slower than the first runs promised
    return [Measured(entry.variant, tuple(times), False) for entry, times in zip(prepared, seconds, strict=True)]


def step_seconds(variant: Variant, steps: int, device: torch.device) -> float:
    """Seconds of a step on average, over `steps` runs of each part."""
    return sum(part.share * seconds_of(part.run, steps, device) / steps for part in variant.parts)


def affordable(seconds: Mapping[str, float], allowance_seconds: float) -> list[str]:
    """Names, in the given order, while one step of each and of all before it stays within the allowance."""
    chosen: list[str] = []
    for name in seconds:
        if sum(seconds[one] for one in [*chosen, name]) > allowance_seconds:
            break
        chosen.append(name)
    return chosen


def _prepare(build: Callable[[], Variant], device: torch.device, effort: Effort) -> _Prepared:
    variant = build()
    for part in variant.parts:
        for turn in range(effort.warm_up_steps):
            part.run(turn)
    steps = max(1, effort.warm_up_steps // 4)
    first = step_seconds(variant, steps, device)
    if first * steps < effort.round_seconds:
        # A short step suffers most from being the first, and costs least to be timed again.
        first = step_seconds(variant, steps, device)
    return _Prepared(variant, first)


def seconds_of(run: Callable[[int], object], steps: int, device: torch.device) -> float:
    """Seconds of `run(0)`, `run(1)`, …, `run(steps - 1)` in all, with what they left to the device."""
    wait_for(device)
    start = time.perf_counter()
    for turn in range(steps):
        run(turn)
    wait_for(device)
    return time.perf_counter() - start


def wait_for(device: torch.device) -> None:
    """Returns when the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
