"""Virtual batch norm (S23): against a slow reference, and what becomes of a tile does not depend on its batch."""

from itertools import product

import pytest
import torch
from torch import Tensor

from satgan.config import Config
from satgan.gan.networks import Generator
from satgan.gan.noise import noise
from satgan.gan.normalization import EPSILON, VirtualNorm
from satgan.gan.pair import Pair
from satgan.randomness import Purpose
from tests.gan.conftest import MakeConfig, make_pair, take_step

REFERENCE = 5
VIRTUAL = {"generator_norm": "virtual", "discriminator_norm": "virtual", "virtual_batch": REFERENCE}


def slow(reference: Tensor, tile: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """One map `[C, H, W]` normalised by the statistics of the reference batch and itself, channel by channel."""
    out = torch.empty_like(tile)
    for channel in range(len(tile)):
        values = torch.cat([reference[:, channel].flatten(), tile[channel].flatten()]).double()
        deviation = torch.sqrt(((values - values.mean()) ** 2).mean() + EPSILON)
        out[channel] = (tile[channel] - values.mean()) / deviation * scale[channel] + shift[channel]
    return out


@pytest.mark.parametrize("affine", [True, False])
def test_virtual_norm_is_the_papers(affine: bool) -> None:
    """Each tile by the union of the reference batch and itself; the reference batch by itself, as nn.BatchNorm2d."""
    norm = VirtualNorm(3, affine, REFERENCE)
    scale, shift = torch.tensor([1.0, 0.5, 2.0]), torch.tensor([0.0, 1.0, -1.0])
    if norm.scale is not None and norm.shift is not None:
        norm.scale.data, norm.shift.data = scale, shift
    else:
        scale, shift = torch.ones(3), torch.zeros(3)
    maps = noise(1, Purpose.SAMPLE, (REFERENCE + 4, 3, 6, 6)) * 3 + torch.arange(9.0).view(9, 1, 1, 1)
    found = norm(maps)
    for number in range(REFERENCE, len(maps)):
        expected = slow(maps[:REFERENCE], maps[number], scale, shift)
        assert torch.allclose(found[number], expected, atol=1e-5)
    plain = torch.nn.functional.batch_norm(maps[:REFERENCE], None, None, scale, shift, True)
    assert torch.allclose(found[:REFERENCE], plain, atol=1e-5)
    assert torch.equal(norm.eval()(maps), found)


def stepped(config: Config, steps: int = 3) -> Pair:
    """A pair with its reference batch, after some steps."""
    pair = make_pair(config)
    if config.gan.discriminator_norm == "virtual":
        shape = (REFERENCE, config.gan.channels, config.gan.size, config.gan.size)
        pair.set_reference(torch.tanh(noise(3, Purpose.SAMPLE, shape)))
    for step in range(steps):
        take_step(pair, step)
    return pair


def test_a_tile_does_not_depend_on_its_batch(make_config: MakeConfig) -> None:
    """Fakes from their noise, logits from their tile, in training mode too; with batch norm it is otherwise."""
    inputs = noise(1, Purpose.SAMPLE, (12, 6))
    for kind, same in (("virtual", True), ("batch", False)):
        config = make_config(gan=VIRTUAL | {"generator_norm": kind, "discriminator_norm": kind})
        lane = stepped(config).lanes[0]
        together = lane.generator(inputs).detach()
        logits = lane.discriminator(together)
        for first, count in ((0, 1), (3, 4), (11, 1)):
            part = slice(first, first + count)
            fakes, alone = lane.generator(inputs[part]), lane.discriminator(together[part])
            assert torch.allclose(fakes, together[part], atol=1e-5) is same
            assert torch.allclose(alone, logits[part], atol=1e-4) is same


def test_every_choice_of_norms_trains(make_config: MakeConfig) -> None:
    for generator_norm, discriminator_norm, affine in product(
        ("batch", "virtual"), ("batch", "virtual"), (True, False)
    ):
        gan = {"generator_norm": generator_norm, "discriminator_norm": discriminator_norm, "affine_norm": affine}
        for precision in ("float32", "bfloat16"):
            config = make_config(gan=VIRTUAL | gan, train={"precision": precision})
            pair = stepped(config)
            before = pair.generator.weights.clone()
            take_step(pair, 3)
            assert not torch.equal(pair.generator.weights, before)


def test_lanes_share_the_reference_and_checkpoints_hold_it(make_config: MakeConfig) -> None:
    pair = stepped(make_config(gan=VIRTUAL), steps=1)
    for player in (pair.generator, pair.discriminator):
        reference = player.network.state_dict()["reference"]
        assert reference.std() > 0.5
        assert len(reference) == REFERENCE
    for lane in pair.lanes:
        assert lane.generator.reference is pair.generator.network.reference
        assert lane.discriminator.reference is pair.discriminator.network.reference
    plain = make_pair(make_config())
    assert "reference" not in plain.generator.network.state_dict()
    assert "reference" not in plain.discriminator.network.state_dict()


def test_averaged_generator_normalises_by_the_reference_batch(make_config: MakeConfig) -> None:
    """With the averaged weights alone, the reference noise passed through them anew."""
    config = make_config(gan=VIRTUAL)
    pair = stepped(config)
    averaged = pair.averaged_generator()
    again = Generator(config.gan)
    again.load_state_dict(averaged.state_dict())
    inputs = noise(1, Purpose.SAMPLE, (4, 6))
    assert torch.equal(averaged(inputs), again.eval()(inputs))
    pair.average.copy_(pair.generator.weights)
    assert torch.equal(pair.averaged_generator()(inputs), pair.lanes[0].generator(inputs))
    assert not torch.equal(averaged(inputs), pair.averaged_generator()(inputs))


def test_gradients_pass_through_the_statistics() -> None:
    """Those of the reference batch and the tile's own are part of the function that is trained."""
    norm, ones, zeros = VirtualNorm(3, False, REFERENCE), torch.ones(3), torch.zeros(3)
    maps = noise(1, Purpose.SAMPLE, (REFERENCE + 2, 3, 4, 4))
    weights = noise(2, Purpose.SAMPLE, (2, 3, 4, 4))
    found, expected = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    (norm(found)[REFERENCE:] * weights).sum().backward()
    for number in range(2):
        (slow(expected[:REFERENCE], expected[REFERENCE + number], ones, zeros) * weights[number]).sum().backward()  # type: ignore[no-untyped-call]
    assert found.grad is not None
    assert expected.grad is not None
    assert found.grad[:REFERENCE].abs().max() > 1e-3
    assert torch.allclose(found.grad, expected.grad, atol=1e-5)
