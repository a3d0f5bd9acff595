"""The bench of exactness: both sums are the same work, and its goal is judged."""

import torch

from bench.exact import checkpoint_table, sum_table
from bench.exact_checkpoint import Held, measure_checkpoints
from bench.exact_sum import Case, Compared, cases_of, compare
from satgan.config import load_config

TINY = load_config(
    "article",
    {
        "gan": {"filters": (8, 8, 8, 8), "smoothing_layers": 0},
        "train": {"lanes": 1, "lane_batch": 4, "threads_per_lane": 1},
        "recipe": {"history_capacity": 8},
    },
)


def test_both_sums_are_timed() -> None:
    """Each process checks that both ways give the sum."""
    (one,) = compare([Case("small", 1001, 8)], rounds=2)
    assert one.case == Case("small", 1001, 8)
    assert len(one.plain_seconds) == len(one.ours_seconds) == 2
    assert min(one.plain_seconds + one.ours_seconds) > 0


def test_messages_are_those_of_the_presets() -> None:
    sizes = {(case.name, case.lanes): case.numbers for case in cases_of("article")}
    assert len(sizes) == 4
    assert sizes["article, generator", 2] > 19_154_627


def test_a_checkpoint_is_timed_and_its_memory_counted() -> None:
    threads = torch.get_num_threads()
    held = measure_checkpoints("article", TINY, torch.device("cpu"), rounds=2, steps=2)
    torch.set_num_threads(threads)
    assert len(held.step_seconds) == len(held.hold_seconds) == len(held.extra_seconds) == 2
    assert min(held.hold_seconds) > 0
    history = 8 * 3 * 64 * 64 * 4
    assert history < held.snapshot_bytes < held.file_bytes + 1e5


def test_the_goal_is_judged() -> None:
    config = TINY.model_copy(update={"train": TINY.train.model_copy(update={"checkpoint_steps": 100})})
    fast, slow = (
        Held("demo", config, (0.1,), (hold,), (extra,), 10**6, 10**6)
        for hold, extra in ((0.0048, 0.49), (0.0052, 0.51))
    )
    for one, told in ((fast, ("4.80%", "4.90%", "reached")), (slow, ("5.20%", "5.10%", "missed"))):
        cells = checkpoint_table([one]).splitlines()[2].split(" | ")
        assert (cells[3], cells[6]) == tuple(f"{share} (goal 5%: {told[2]})" for share in told[:2])
    assert "| m | 4 | 4 | 2 | 3 | 1.50× |" in sum_table([Compared(Case("m", 10**6, 8), (0.002,), (0.003,))])
