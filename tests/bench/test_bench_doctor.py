"""The bench of the doctor's cost: all parts are timed, and its goal is judged."""

import torch

from bench.doctor import Cost, measure_cost, table
from satgan.config import load_config

TINY = load_config(
    "article",
    {
        "gan": {"filters": (8, 8, 8, 8), "smoothing_layers": 0},
        "train": {"lanes": 1, "lane_batch": 4, "threads_per_lane": 1},
        "recipe": {"history_capacity": 8},
    },
)


def test_every_part_is_timed() -> None:
    threads = torch.get_num_threads()
    cost = measure_cost("article", TINY, torch.device("cpu"), rounds=2, steps=2)
    torch.set_num_threads(threads)
    assert min(cost[2:]) > 0


def test_the_goal_is_judged() -> None:
    """A log step every 20, a checkpoint every 500 steps."""
    assert "0.99% (goal 1%: reached)" in table([Cost("demo", TINY, 0.1, 0.01, 0.008, 0.045)])
    assert "1.01% (goal 1%: missed)" in table([Cost("demo", TINY, 0.1, 0.01, 0.008, 0.055)])
