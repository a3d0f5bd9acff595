"""The cost model of a step on many workers: its laws."""

import pytest

from satgan.cluster.speed import Cluster, Link, efficiency, message_bytes, step_seconds
from satgan.config import load_config

FAST, SLOW = Link(1e9), Link(1e6)
MESSAGES = [(4e3, 2.0), (8e3, 1.0)]


def test_one_worker_tells_nothing_and_computes_all_lanes() -> None:
    step = step_seconds(6, 0.5, MESSAGES, Cluster(1, 1, FAST, SLOW))
    assert step == (3.0, 0.0, 0.0)


def test_the_busiest_worker_decides() -> None:
    computing = [step_seconds(8, 1.0, [], Cluster(workers, 1, FAST, SLOW)).compute for workers in (1, 3, 4, 5, 8)]
    assert computing == [8, 3, 2, 2, 1]


def test_each_worker_tells_its_lanes_and_one_sum() -> None:
    """Two workers with three lanes each: half of three lanes' messages and half of one sum leave each of them."""
    step = step_seconds(6, 0.0, MESSAGES, Cluster(2, 1, FAST, SLOW))
    assert step.messages == step.network == pytest.approx((3 + 1) * 16e3 / 2 / 1e6)


def test_workers_of_one_machine_share_its_network() -> None:
    apart = step_seconds(4, 0.0, MESSAGES, Cluster(4, 1, FAST, SLOW))
    paired = step_seconds(4, 0.0, MESSAGES, Cluster(4, 2, FAST, SLOW))
    assert apart.network == pytest.approx(2 * 16e3 * 3 / 4 / 1e6)
    assert paired.network == pytest.approx(2 * (2 * 16e3 * 2 / 4) / 1e6)
    assert paired.messages - paired.network == pytest.approx(2 * 16e3 / 4 / 1e9)
    together = step_seconds(4, 0.0, MESSAGES, Cluster(4, 8, FAST, SLOW))
    assert together.network == 0


def test_latency_counts_for_every_update() -> None:
    waiting = Link(1e30, 0.01)
    step = step_seconds(4, 0.0, MESSAGES, Cluster(4, 1, waiting, waiting))
    assert step.messages == pytest.approx(2 * 2 * 0.01 * 3)


def test_efficiency_is_one_without_messages_and_falls_with_them() -> None:
    cluster = Cluster(4, 1, FAST, SLOW)
    assert efficiency(4, 1.0, [], cluster) == 1.0
    assert efficiency(5, 1.0, [], cluster) == pytest.approx(5 / 8)
    assert efficiency(4, 0.001, MESSAGES, cluster) < efficiency(4, 0.1, MESSAGES, cluster) < 1


def test_messages_are_those_of_path_a() -> None:
    config = load_config("article", {"recipe": {"history_share": 0.25, "generator_updates": 3}})
    assert message_bytes(config, 10, 7) == [(28, 2.25), (40, 3.0)]
