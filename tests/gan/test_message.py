"""What lanes tell: its parts, and when they are told."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from satgan.gan import message
from satgan.gan.lane import Lane
from satgan.gan.message import Message, message_size, parts_of
from satgan.gan.networks import Discriminator, Generator
from satgan.gan.noise import draw
from satgan.gan.weights import in_order, weight_slices
from satgan.groups import GanConfig
from satgan.presets import NETWORKS
from tests.gan.conftest import MakeConfig, make_pair, reals


@pytest.mark.parametrize("least", [1, 50, 10**6, 10**9])
@pytest.mark.parametrize("preset", NETWORKS)
def test_parts_are_whole_parameters_from_the_last_to_the_first(
    monkeypatch: pytest.MonkeyPatch, preset: str, least: int
) -> None:
    monkeypatch.setattr(message, "PART_NUMBERS", least)
    with torch.device("meta"):
        networks = [kind(GanConfig(**{"preset": preset, **NETWORKS[preset]})) for kind in (Generator, Discriminator)]
    for network in networks:
        parts, numbers = parts_of(network)
        ends = [message_size(network), *(part.start for part in parts)]
        assert [part.stop for part in parts] == ends[:-1]
        assert ends[-1] == 0
        assert all(part.stop - part.start >= least for part in parts[:-1])
        end = message_size(network)
        for (_, parameter), number in reversed(list(zip(in_order(network), numbers, strict=True))):
            assert parts[number].start <= end - parameter.numel() < end <= parts[number].stop
            end -= parameter.numel()


@pytest.mark.parametrize("norm", ["batch", "virtual"])
def test_a_part_is_told_once_in_order_and_is_complete_then(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, norm: str
) -> None:
    """In each kind of update, also where two backward passes add up; and before the first layer is reached."""
    monkeypatch.setattr(message, "PART_NUMBERS", 1)
    gan = {"generator_norm": norm, "discriminator_norm": norm, "virtual_batch": 5, "dense_head": "6"}
    config = make_config(gan=gan, recipe={"history_share": 1.0})
    pair = make_pair(config)
    if norm == "virtual":
        pair.set_reference(torch.cat([reals(config, 0, 0), reals(config, 0, 1)])[:5])
    lane = pair.lanes[0]
    lane.history.tiles.uniform_(-1, 1)
    lane.begin(reals(config, 9, 0), draw(config, 9, 0))
    told: list[tuple[int, Tensor, int]] = []
    works: list[tuple[nn.Module, Message, list[Callable[[Lane], None]]]] = [
        (
            lane.discriminator,
            lane.to_discriminator,
            [Lane.learn_real, Lane.learn_fake, Lane.learn_history, Lane.learn_both],
        ),
        (lane.generator, lane.to_generator, [partial(Lane.fool, turn=turn) for turn in (0, 1)]),
    ]

    def tell(part: int, one: Message, first: slice) -> None:
        told.append((part, one.vector[one.parts[part]].clone(), int(one.gradient[first].count_nonzero())))

    lane.make_fakes()
    for network, one, sections in works:
        _, first = next(weight_slices(network))
        one.tell_parts(partial(tell, one=one, first=first))
        for section in sections:
            told.clear()
            section(lane)
            assert [part for part, _, _ in told] == list(range(len(one.parts) - 1))
            assert len(told) > 1
            assert all(torch.equal(then, one.vector[one.parts[part]]) for part, then, _ in told)
            assert all(then.count_nonzero() for _, then, _ in told)
            # The last one told may be the first layer's bias.
            assert section is Lane.learn_both or not any(first for _, _, first in told[:-1])
