"""Sums of messages whose parts go while the lanes compute: what arrives is what the lanes had at their end."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from satgan.gan import message
from satgan.gan.lane import Lane
from satgan.gan.noise import draw
from satgan.gan.pair import Pair
from satgan.train import sums
from satgan.train.device import recorder_on, training_device
from satgan.train.sums import LaneSums
from tests.gan.conftest import MakeConfig, make_config, one_by_one, reals
from tests.gan.test_graphs import state, trained

__all__ = ["make_config"]  # the fixture of tests/gan

CPU = torch.device("cpu")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As a worker among others, each on a machine of its own, that has all lanes, with several parts each; the parts
    that were added."""
    added: list[int] = []
    add: Callable[[Any, int], None] = sums._EarlySum._add

    def noting(self: Any, part: int) -> None:
        added.append(part)
        add(self, part)

    monkeypatch.setattr(sums._EarlySum, "_add", noting)
    monkeypatch.setattr(message, "PART_NUMBERS", 20)
    monkeypatch.setattr(sums, "world_size", lambda: 2)
    return added


def test_early_sums_are_the_sums(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, told: list[int]) -> None:
    config = make_config(train={"lanes": 4}, recipe={"history_share": 0.5})
    early, same = trained(config, None)
    assert max(told) > 1
    monkeypatch.setattr(sums, "world_size", lambda: 1)
    whole, figures = trained(config, None)
    assert same == figures
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(state(early), state(whole), strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("recorded", [False, True])
def test_early_sums_are_the_sums_on_a_gpu(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, told: list[int], recorded: bool
) -> None:
    """Computed directly, and replayed."""
    config, device = make_config(train={"lanes": 4}, recipe={"history_share": 0.5}), training_device(deterministic=True)
    early, same = trained(config, recorder_on(device) if recorded else None, device)
    assert max(told) > 1
    assert early.why_not_recorded() == ""
    monkeypatch.setattr(sums, "world_size", lambda: 1)
    whole, figures = trained(config, None, device)
    assert same == figures
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(state(early), state(whole), strict=True))


def test_a_lane_that_begins_anew_is_not_taken_for_two(make_config: MakeConfig, told: list[int]) -> None:
    """As where its work could not be recorded, and is computed after all."""
    config = make_config()
    combine = LaneSums(2, CPU, threads=1)
    pair = Pair(config, range(2), CPU, combine, one_by_one)
    for lane in pair.lanes:
        lane.begin(reals(config, 0, lane.number), draw(config, 0, lane.number))
    pair.lanes[0].learn_real()
    pair.lanes[0].learn_real()
    assert combine._talker is not None
    combine._talker.submit(int).result()  # what was asked for by now is done
    assert not told
    pair.update_discriminator("real", Lane.learn_real)
    expected = pair.lanes[0].to_discriminator.gradient + pair.lanes[1].to_discriminator.gradient
    moment = pair.discriminator.adams["real"].moments["exp_avg"] / (1 - config.recipe.beta1)
    regularizer = config.recipe.discriminator_l2 * pair.discriminator.weights
    assert torch.allclose(moment, expected / 2 + regularizer, atol=1e-4)
    assert sorted(told) == list(range(len(pair.lanes[0].to_discriminator.parts)))
    combine.close()


def test_what_is_closed_is_let_go(make_config: MakeConfig, told: list[int]) -> None:
    """Or a run that is rolled back would have two pairs in memory."""
    combine = LaneSums(2, CPU, threads=1)
    pair = Pair(make_config(), range(2), CPU, combine, one_by_one)
    gone: list[Callable[[], object]] = [weakref.ref(pair.generator.network), weakref.ref(pair.lanes[0].discriminator)]
    combine.close()
    del pair, combine
    gc.collect()
    assert all(found() is None for found in gone)
