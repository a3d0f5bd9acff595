"""The networks: counts, mirror, ends, first weights."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from satgan.config import load_config
from satgan.gan.describe import describe, discriminator_layers, generator_layers
from satgan.gan.networks import Discriminator, Generator, initialise, ladder
from satgan.gan.normalization import BatchNorm
from satgan.gan.weights import parameter_count
from satgan.presets import PRESETS

PUBLISHED = {"article": (19_154_627, 19_616_609), "dcgan": (3_576_704, 2_765_568)}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_published_parameter_counts(preset: str) -> None:
    config = load_config(preset).gan
    assert (parameter_count(Generator(config)), parameter_count(Discriminator(config))) == PUBLISHED[preset]


@pytest.mark.parametrize("preset", PRESETS)
def test_shapes_and_layout(preset: str) -> None:
    config = load_config(preset).gan
    tiles = Generator(config)(torch.randn(3, config.noise_size))
    assert tiles.shape == (3, config.channels, config.size, config.size)
    assert Discriminator(config)(tiles).shape == (3,)
    if config.channels > 1:
        assert tiles.is_contiguous(memory_format=torch.channels_last)


def _pass_through(generator: Generator, discriminator: Discriminator, noise_size: int) -> dict[nn.Module, Any]:
    """What goes into each module and what comes out of it, as noise becomes tiles and logits."""
    passed: dict[nn.Module, Any] = {}

    def noted(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        passed[module] = inputs[0], output

    for module in (*generator.modules(), *discriminator.modules()):
        module.register_forward_hook(noted)
    discriminator(generator(torch.randn(2, noise_size)))
    return passed


@pytest.mark.parametrize("preset", PRESETS)
def test_tiles_are_the_tanh_of_the_last_convolution(preset: str) -> None:
    """S17: of what it made, with nothing between and nothing after."""
    config = load_config(preset).gan
    generator = Generator(config)
    passed = _pass_through(generator, Discriminator(config), config.noise_size)
    assert torch.equal(passed[generator][1], torch.tanh(passed[generator.convolutions[-1]][1]))


@pytest.mark.parametrize("preset", PRESETS)
def test_only_convolutions_change_the_resolution(preset: str) -> None:
    """S21: what one makes goes into the next at the same size, so that nothing pools or upsamples between them."""
    config = load_config(preset).gan
    generator, discriminator = Generator(config), Discriminator(config)
    passed = _pass_through(generator, discriminator, config.noise_size)
    up = [(rung.small, rung.large) for rung in ladder(config)]
    down = [sizes[::-1] for sizes in up[::-1]]
    for network, kind, expected in ((generator, nn.ConvTranspose2d, up), (discriminator, nn.Conv2d, down)):
        assert {type(convolution) for convolution in network.convolutions} == {kind}
        assert [tuple(maps.shape[2] for maps in passed[c]) for c in network.convolutions] == expected
        assert [c.stride for c in network.convolutions] == [(max(sizes) // min(sizes),) * 2 for sizes in expected]


@pytest.mark.parametrize("preset", PRESETS)
def test_norms_stand_before_relus_and_none_of_the_discriminators_shuts_a_gradient_off(preset: str) -> None:
    """G03: a norm is given what a convolution made, and what it makes passes a ReLU into the next convolution."""
    config = load_config(preset).gan
    generator, discriminator = Generator(config), Discriminator(config)
    passed = _pass_through(generator, discriminator, config.noise_size)
    for network, layers in ((generator, generator.convolutions), (discriminator, discriminator.convolutions[1:])):
        for norm, layer in zip(network.norms, layers, strict=False):
            assert torch.equal(passed[norm][0], passed[layer][1])
        for norm, layer in zip(network.norms, layers[1:], strict=False):
            assert torch.equal(passed[layer][0], F.leaky_relu(passed[norm][1], network.leak))
    maps = [passed[layer][1] for layer in (discriminator.convolutions[0], *discriminator.norms, *discriminator.head)]
    for gradient in torch.autograd.grad(passed[discriminator][1].sum(), maps):
        assert (gradient != 0).float().mean() > 0.999


@pytest.mark.parametrize("preset", PRESETS)
def test_discriminator_mirrors_generator(preset: str) -> None:
    config = load_config(preset).gan
    generator, discriminator = Generator(config), Discriminator(config)
    up = [(c.in_channels, c.out_channels, c.kernel_size, c.stride) for c in generator.convolutions]
    down = [(c.out_channels, c.in_channels, c.kernel_size, c.stride) for c in discriminator.convolutions]
    assert up == down[::-1]


@pytest.mark.parametrize("preset", PRESETS)
def test_no_norm_at_the_two_ends(preset: str) -> None:
    """S26: what a norm sees is never the generator's last map nor the discriminator's first."""
    config = load_config(preset).gan
    generator, discriminator = Generator(config), Discriminator(config)
    normed: list[torch.Size] = []
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, BatchNorm):
            module.register_forward_hook(lambda _, inputs, output: normed.append(inputs[0].shape))
    discriminator(generator(torch.randn(2, config.noise_size)))
    last, first = generator.convolutions[-1], discriminator.convolutions[0]
    assert len(generator.norms) == len(discriminator.norms) == len(ladder(config)) - 1
    assert all(shape[1] != config.channels for shape in normed)
    assert last.out_channels == first.in_channels == config.channels
    assert len(normed) == 2 * len(ladder(config)) - 1


@pytest.mark.parametrize("preset", PRESETS)
def test_first_weights_are_glorot_and_biases_zero(preset: str) -> None:
    config = load_config(preset).gan
    for number, network in enumerate((Generator(config), Discriminator(config))):
        initialise(network, seed=7, number=number)
        for name, parameter in network.named_parameters():
            if parameter.dim() < 2:
                expected = 1.0 if name.endswith("scale") else 0.0
                assert torch.equal(parameter, torch.full_like(parameter, expected)), name
                continue
            area = parameter[0, 0].numel()
            bound = (6 / (area * (parameter.shape[0] + parameter.shape[1]))) ** 0.5
            assert parameter.abs().max() <= bound, name
            if parameter.numel() > 500:
                assert abs(parameter.std().item() / (bound / 3**0.5) - 1) < 0.15, name


def test_first_weights_follow_from_the_seed() -> None:
    config = load_config("demo").gan
    first, again, other = (Generator(config) for _ in range(3))
    for network, seed in ((first, 1), (again, 1), (other, 2)):
        initialise(network, seed, 0)
    assert torch.equal(first.projection.weight, again.projection.weight)
    assert not torch.equal(first.projection.weight, other.projection.weight)


@pytest.mark.parametrize("preset", PRESETS)
def test_described_flops_are_those_that_torch_counts(preset: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = load_config(preset).gan
    generator, discriminator = Generator(config), Discriminator(config)
    for network, inputs, layers in (
        (generator, torch.zeros(1, config.noise_size), generator_layers(config)),
        (discriminator, torch.zeros(1, config.channels, config.size, config.size), discriminator_layers(config)),
    ):
        with FlopCounterMode(display=False) as counter:
            network.eval()(inputs)
        assert counter.get_total_flops() == sum(layer.flops for layer in layers)


@pytest.mark.parametrize("preset", PRESETS)
def test_describe_counts_what_is_built(preset: str) -> None:
    described = describe(load_config(preset))
    for name in ("generator", "discriminator"):
        assert described[name]["parameters"] == sum(layer["parameters"] for layer in described[name]["layers"])


def test_smoothing_layers_keep_the_size_with_any_kernel() -> None:
    for kernel in range(3, 12):
        config = load_config(
            "demo", {"gan": {"size": 16, "filters": "8,6", "smoothing_layers": 2, "kernel_size": kernel}}
        ).gan
        assert [rung.stride for rung in ladder(config)] == [2, 2, 1, 1]
        tiles = Generator(config)(torch.randn(2, config.noise_size))
        assert tiles.shape[2:] == (16, 16)
        assert Discriminator(config)(tiles).shape == (2,)


def test_batch_norm_is_torchs() -> None:
    """Outputs as nn.BatchNorm2d's; statistics are handed out, not accumulated."""
    ours, torchs = BatchNorm(3, affine=True), nn.BatchNorm2d(3, momentum=1.0)
    maps = torch.randn(5, 3, 4, 4)
    assert torch.equal(ours(maps), torchs(maps))
    assert torch.equal(ours.batch_mean, torchs.running_mean)  # type: ignore[arg-type]
    assert torch.equal(ours.batch_variance, torchs.running_var)  # type: ignore[arg-type]
    assert torch.equal(ours.running_mean, torch.zeros(3))
    ours.running_mean.copy_(ours.batch_mean)
    ours.running_variance.copy_(ours.batch_variance)
    assert torch.equal(ours.eval()(maps), torchs.eval()(maps))
