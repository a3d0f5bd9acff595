"""The cost model of a step on many workers: its laws."""

import pytest
import torch

from satgan.cluster.speed import Cluster, Link, Part, Update, efficiency, step_seconds, updates_of
from satgan.config import load_config
from satgan.gan import message
from satgan.gan.describe import step_flops
from satgan.gan.message import message_size
from satgan.gan.networks import Discriminator, Generator

FAST, SLOW = Link(1e9), Link(1e6)
MESSAGES = [Update((Part(4e3, 0.0),), 2.0), Update((Part(8e3, 0.0),), 1.0)]


def test_one_worker_tells_nothing_and_computes_all_lanes() -> None:
    step = step_seconds(6, 0.5, MESSAGES, Cluster(1, 1, FAST, SLOW))
    assert step == (3.0, 0.0, 0.0, 0.0)


def test_the_busiest_worker_decides() -> None:
    computing = [step_seconds(8, 1.0, [], Cluster(workers, 1, FAST, SLOW)).compute for workers in (1, 3, 4, 5, 8)]
    assert computing == [8, 3, 2, 2, 1]


def test_each_worker_tells_what_it_cannot_add_up_itself_and_one_sum() -> None:
    """Two workers with four lanes each tell one sum; with three each, one tells (0 + 1) and 2, the other 3 and (4 + 5).
    All of these leave each of them. Of four workers each tells three quarters of its sums, and of one whole sum."""
    for lanes, told in ((8, 1), (6, 2), (2, 1)):
        step = step_seconds(lanes, 0.0, MESSAGES, Cluster(2, 1, FAST, SLOW))
        assert step.waiting == step.messages == step.network == pytest.approx(told * 16e3 / 1e6)
    for lanes, told in ((8, 1), (12, 2), (4, 1)):
        step = step_seconds(lanes, 0.0, MESSAGES, Cluster(4, 1, FAST, SLOW))
        assert step.messages == pytest.approx((told + 1) * 16e3 * 3 / 4 / 1e6)


def test_workers_of_one_machine_share_its_network() -> None:
    apart = step_seconds(4, 0.0, MESSAGES, Cluster(4, 1, FAST, SLOW))
    paired = step_seconds(4, 0.0, MESSAGES, Cluster(4, 2, FAST, SLOW))
    assert apart.network == pytest.approx(2 * 16e3 * 3 / 4 / 1e6)
    assert paired.network == pytest.approx(2 * (2 * 16e3 * 2 / 4) / 1e6)
    assert paired.messages - paired.network == pytest.approx(2 * 16e3 / 4 / 1e9)
    together = step_seconds(4, 0.0, MESSAGES, Cluster(4, 8, FAST, SLOW))
    assert together.network == 0


def test_latency_counts_for_every_part_of_every_update() -> None:
    waiting = Link(1e30, 0.01)
    updates = [Update((Part(4e3, 0.0), Part(4e3, 0.0)), 2.0), *MESSAGES[1:]]
    step = step_seconds(4, 0.0, updates, Cluster(4, 1, waiting, waiting))
    assert step.messages == pytest.approx(2 * 2 * 0.01 * (2 * 2 + 1))


def test_what_is_under_way_while_the_lane_computes_is_not_waited_for() -> None:
    """A part of 4 ms and one of 2 ms on this link; a lane takes 10 ms."""
    cluster = Cluster(2, 1, FAST, SLOW)

    def waiting(left: float) -> float:
        return step_seconds(2, 0.01, [Update((Part(4e3, left), Part(2e3, 0.0)), 1.0)], cluster).waiting

    assert waiting(0.0) == pytest.approx(0.006)
    assert waiting(0.3) == pytest.approx(0.003)
    assert waiting(0.4) == waiting(0.9) == pytest.approx(0.002)  # the last part has nothing behind which to travel
    step = step_seconds(2, 0.01, [Update((Part(4e3, 0.9), Part(2e3, 0.0)), 1.0)], cluster)
    assert step.messages == pytest.approx(0.006)
    assert step.whole == pytest.approx(0.012)


def test_efficiency_is_one_without_messages_and_falls_with_them() -> None:
    cluster = Cluster(4, 1, FAST, SLOW)
    assert efficiency(4, 1.0, [], cluster) == 1.0
    assert efficiency(5, 1.0, [], cluster) == pytest.approx(5 / 8)
    assert efficiency(4, 0.001, MESSAGES, cluster) < efficiency(4, 0.1, MESSAGES, cluster) < 1


@pytest.mark.parametrize("preset", ["article", "dcgan", "demo"])
def test_updates_are_those_of_path_a_and_their_parts_the_messages(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(preset, {"recipe": {"history_share": 0.25, "generator_updates": 3}})
    with torch.device("meta"):
        sizes = [message_size(kind(config.gan)) for kind in (Discriminator, Generator)]
    for least in (1, 2**18, 10**9):
        monkeypatch.setattr(message, "PART_NUMBERS", least)
        updates = updates_of(config)
        assert [update.often for update in updates] == [2.25, 3.0]
        for update, size in zip(updates, sizes, strict=True):
            assert sum(part.bytes for part in update.parts) == 4 * size
            left = [part.computing_left for part in update.parts]
            assert left == sorted(left, reverse=True)
            assert left[-1] == 0.0
            assert left[0] < 0.5


def test_what_is_left_to_compute_is_what_lies_before_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a discriminator whose last layer makes a part: all of its backward pass but that layer's."""
    monkeypatch.setattr(message, "PART_NUMBERS", 1)
    config = load_config("dcgan")
    last, *_ = updates_of(config)[0].parts
    first = 2 * 3 * 64 * 4 * 4 * 32 * 32
    others = [2 * 2 * (64 * 2**n) * (64 * 2 ** (n + 1)) * 16 * 16**2 // 4**n for n in range(3)]
    assert last.bytes == 4 * 512 * 4 * 4
    assert last.computing_left == pytest.approx((first + sum(others)) / step_flops(config))
