"""A row of `scripts/bench gpu`, and what its measurements are told."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from bench.measure import Effort
from satgan.config import Config, load_config

SMALL: dict[str, dict[str, Any]] = {
    "article": {"size": 16, "filters": (8, 8), "noise_size": 8},
    "dcgan": {"size": 16, "filters": (8, 8), "noise_size": 8},
    "digits": {"filters": (8, 8)},
}
"""Networks of a smoke test."""


class LeftOut(Exception):
    """Something cannot be measured here; the text says why."""


class Setting(NamedTuple):
    """Where is measured; `is_smoke` on small networks and short."""

    device: torch.device
    is_smoke: bool
    roof_flops_per_second: float

    def config(self, preset: str, lane_batch: int, lanes: int = 1, **train: Any) -> Config:
        """A preset with so many tiles; in a smoke test narrow, with at most 4."""
        small: dict[str, dict[str, Any]] = {}
        if self.is_smoke:
            small, lane_batch = {"gan": SMALL[preset], "recipe": {"history_capacity": 8}}, min(4, lane_batch)
            train["threads_per_lane"] = 1
        groups = {"train": {"lanes": lanes, "lane_batch": lane_batch, "workers": 0} | train}
        return load_config(preset, small, groups)

    @property
    def effort(self) -> Effort:
        """Of a group that compares steps."""
        return Effort(1, 0.001, 0) if self.is_smoke else Effort(rounds=5, round_seconds=1.0, warm_up_steps=20)

    def steps(self, count: int) -> int:
        """So many; in a smoke test three."""
        return 3 if self.is_smoke else count


class Row(NamedTuple):
    """One line of the table. `share` is the figure over its goal, or of what the row names."""

    what: str
    figure: str
    goal: str = ""
    share: str = ""
    verdict: str = ""


def judged(what: str, figure: str, goal: str, share: float, least: float = 1.0) -> Row:
    """A row with a goal: reached where `share` is at least `least`."""
    return Row(what, figure, goal, f"{share:.2f}×", "reached" if share >= least else "missed")


HEAD = (Row("what", "measured", "goal on an H200", "over goal"), Row(*("---",) * 5))


def markdown(rows: Sequence[Row]) -> str:
    """Lines of the table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
