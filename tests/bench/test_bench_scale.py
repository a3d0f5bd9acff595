"""The bench of scale: both ways are measured, the model is asked for the same, goals are judged."""

import time

import pytest

from bench import scale_workers
from bench.scale import account, markdown, predicted_seconds
from bench.scale_workers import Measured, measure
from satgan.cluster.speed import Part, Update
from satgan.config import load_config
from tests.waiting import PATIENCE_SECONDS

NARROW = {"size": 16, "filters": (8, 8), "noise_size": 8}
ONE = Measured("demo", 16, [0.4] * 3, [0.2] * 3, [0.21] * 3, [Update((Part(1e6, 0.0),), 2.0)], 1e9, 0.001, 0.4, 0.4)


def test_three_ways_are_measured_in_turn() -> None:
    train = {"lanes": 2, "lane_batch": 4, "threads_per_lane": 1}
    config = load_config("dcgan", {"gan": NARROW, "train": train, "recipe": {"history_share": 0}})
    found = measure("dcgan", config, rounds=1)
    for times in (found.alone_seconds, found.apart_seconds, found.together_seconds):
        assert len(times) == 1
        assert times[0] > 0
    assert found.link_bytes_per_second > 0
    assert [update.often for update in found.updates] == [2.0, 2.0]
    assert found.updates[0].parts[0].bytes > 4 * 1000


def test_workers_that_fail_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_workers, "LIMIT_SECONDS", 10 * PATIENCE_SECONDS)
    train = {"lanes": 2, "lane_batch": 4, "threads_per_lane": 1}
    config = load_config("dcgan", {"gan": NARROW, "train": train})
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="process of the bench failed"):
        measure("dcgan", config, rounds="one")  # type: ignore[arg-type]
    assert time.monotonic() - start < PATIENCE_SECONDS


def test_the_prediction_is_a_lane_and_its_messages() -> None:
    """Two updates, one talk each, in which each tells a message."""
    assert abs(predicted_seconds(ONE) - (0.2 + 2 * 1e6 / 1e9 + 2 * 0.001)) < 1e-9


def test_goals_are_judged() -> None:
    (line,) = markdown([ONE]).splitlines()[2:]
    assert "1.90× (goal ≥ 1.8×: reached)" in line
    assert "1.03× (goal within 20%: reached)" in line
    slow = ONE._replace(together_seconds=[0.3] * 3)
    assert markdown([slow]).count("missed") == 2


def test_the_account_of_clusters_has_a_goal_each() -> None:
    lines = account().splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert sum("reached" in line or "missed" in line for line in lines) == len(lines) - 2
