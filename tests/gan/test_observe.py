"""What a step shows of itself: true figures, and no number of the training depends on whether it shows them."""

import math

import pytest
import torch

from satgan.gan.networks import Generator
from satgan.gan.normalization import running_statistics
from satgan.gan.observe import TILE_FIGURES, Observation, tile_figures
from satgan.gan.pair import Pair
from satgan.gan.weights import weight_slices
from tests.gan.conftest import MakeConfig, make_pair, take_step


def figures(reals: torch.Tensor, fakes: torch.Tensor) -> dict[str, float]:
    return dict(zip(TILE_FIGURES, tile_figures(reals, fakes).tolist(), strict=True))


def watched(pair: Pair, step: int) -> dict[str, float]:
    pair.observe()
    take_step(pair, step)
    return pair.observed()


def projection_of(pair: Pair) -> torch.Tensor:
    assert isinstance(pair.generator.network, Generator)
    return pair.generator.network.projection.weight


@pytest.mark.parametrize("norm", ["batch", "virtual"])
def test_watching_changes_no_number(make_config: MakeConfig, norm: str) -> None:
    config = make_config(gan={"generator_norm": norm, "virtual_batch": 4})
    seen, unseen = make_pair(config), make_pair(config)
    for step in range(5):
        seen.observe()
        assert take_step(seen, step) == take_step(unseen, step)
        seen.evaluate()
        seen.observed()
    for one, other in ((seen.generator, unseen.generator), (seen.discriminator, unseen.discriminator)):
        assert torch.equal(one.weights, other.weights)
        assert torch.equal(one.running, other.running)


def test_gradients_are_those_of_the_loss_and_updates_those_of_the_weights(make_config: MakeConfig) -> None:
    """With a regularizer so strong that its gradient would show."""
    pair = make_pair(make_config(recipe={"generator_l2": 100.0, "generator_updates": 1}))
    before = pair.generator.weights.clone()
    found = watched(pair, 0)
    change = torch.linalg.vector_norm(pair.generator.weights - before).item()
    assert found["update_norm.generator"] == pytest.approx(change)
    assert found["weight_norm.generator"] == pytest.approx(torch.linalg.vector_norm(before).item())
    # Adam's first moment has the first gradient with the regularizer's in it: of a layer's weights that is the rest.
    place = dict(weight_slices(pair.generator.network))["projection"]
    used = pair.generator.adams["generator"].moments["exp_avg"] / (1 - pair.config.recipe.beta1)
    own = used[place] - 100.0 * before[place]
    assert found["gradient_norm.generator.projection"] == pytest.approx(torch.linalg.vector_norm(own).item(), rel=1e-3)
    assert 0 < found["norm_drift.generator"] < 10


def test_every_layer_is_told_of_and_biases_are_not(make_config: MakeConfig) -> None:
    pair = make_pair(make_config(gan={"biases": True, "dense_head": "5"}))
    found = watched(pair, 0)
    for name, player in (("generator", pair.generator), ("discriminator", pair.discriminator)):
        layers = {key.removesuffix(".weight") for key, value in player.network.named_parameters() if value.dim() > 1}
        assert {key.split(".", 2)[2] for key in found if key.startswith(f"gradient_norm.{name}.")} == layers
    assert all(math.isfinite(value) for value in found.values())


def test_zeros_are_counted(make_config: MakeConfig) -> None:
    pair = make_pair(make_config())
    player = pair.generator
    observation = Observation(player.network, player.weights, player.running)
    gradient = torch.ones_like(player.weights)
    place = dict(weight_slices(pair.generator.network))["projection"]
    gradient[place.start : place.start + (place.stop - place.start) // 4] = 0
    observation.note(gradient, running_statistics(player.network))
    found = observation.figures("generator")
    assert found["gradient_zero_share.generator.projection"] == pytest.approx(0.25)
    assert found["gradient_zero_share.generator.convolutions.0"] == 0
    assert found["norm_drift.generator"] == 0
    assert found["update_norm.generator"] == 0


@pytest.mark.parametrize("size", [16, 28, 14])
def test_a_checkerboard_is_all_energy_at_the_strides_and_a_slope_is_none(size: int) -> None:
    rows = torch.arange(size, dtype=torch.float32)
    board = ((rows[:, None] + rows[None]) % 2 * 2 - 1).expand(4, 3, size, size)
    slope = (rows / size).expand(4, 3, size, size)
    found = figures(slope, board * 0.5)
    assert found["stride_energy.fakes"] == pytest.approx(1.0)
    assert found["stride_energy.reals"] < 0.1


def test_stripes_of_two_strides_are_energy_at_the_strides_too() -> None:
    stripes = (torch.arange(16) % 4 < 2).float().expand(4, 3, 16, 16)
    assert figures(stripes, stripes)["stride_energy.fakes"] == pytest.approx(1.0)


def test_collapse_copies_and_saturation_show() -> None:
    torch.manual_seed(0)
    reals = torch.rand(8, 3, 16, 16) * 1.8 - 0.9
    collapsed = reals[:1].expand(8, 3, 16, 16)
    assert figures(reals, collapsed)["spread.fakes"] == pytest.approx(0, abs=1e-3)
    copied = figures(reals, reals.flip(0))
    assert copied["nearest_real.fakes"] == pytest.approx(0, abs=1e-3)
    assert copied["spread.fakes"] == pytest.approx(copied["spread.reals"])
    assert copied["spread.reals"] > 0.1
    assert figures(reals, reals.sign())["saturated_share.fakes"] == 1
    assert figures(reals, reals.sign())["saturated_share.reals"] == 0
