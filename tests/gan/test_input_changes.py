"""What the discriminator is shown: differentiable augmentation, instance noise, smoothed labels; leaky generators."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from satgan.config import load_config
from satgan.gan.augment import CHANGES, UNIFORMS, augment
from satgan.gan.lane import Lane
from satgan.gan.losses import called_real_loss
from satgan.gan.networks import Discriminator, Generator, initialise
from satgan.gan.noise import Shown, draw, instance_noise_deviation, noise
from satgan.presets import PRESETS
from satgan.randomness import Purpose, generator
from tests.gan.conftest import MakeConfig, make_pair, reals, take_step

EVERYTHING: dict[str, Any] = {
    "real_target": 0.9, "instance_noise": 0.2, "differentiable_augmentation": "color,translation,cutout",
    "history_share": 1.0,
}  # fmt: skip


def uniforms(seed: int, count: int) -> Tensor:
    """`[count, 7]` in [0, 1)."""
    return torch.from_numpy(generator(seed, Purpose.SAMPLE).random((count, UNIFORMS), dtype=np.float32))


def plain(tile: np.ndarray, numbers: list[float], changes: tuple[str, ...]) -> np.ndarray:
    """The published DiffAugment, written for one tile `[C, S, S]` with loops."""
    size = tile.shape[1]
    if "color" in changes:
        tile = tile + (numbers[0] - 0.5)
        tile = (tile - tile.mean(0)) * (2 * numbers[1]) + tile.mean(0)
        tile = (tile - tile.mean()) * (numbers[2] + 0.5) + tile.mean()
    if "translation" in changes:
        most = int(size / 8 + 0.5)
        down, right = (int(np.float32(number) * (2 * most + 1)) - most for number in numbers[3:5])
        moved = np.zeros_like(tile)
        for row in range(size):
            for column in range(size):
                if 0 <= row - down < size and 0 <= column - right < size:
                    moved[:, row, column] = tile[:, row - down, column - right]
        tile = moved
    if "cutout" in changes:
        width = int(size / 2 + 0.5)
        top, left = (int(np.float32(number) * (size + 1 - width % 2)) - width // 2 for number in numbers[5:7])
        tile = tile.copy()
        tile[:, max(0, top) : max(0, top + width), max(0, left) : max(0, left + width)] = 0
    return tile


@pytest.mark.parametrize(
    "changes", [("color",), ("translation",), ("cutout",), ("cutout", "color", "translation"), ()], ids=str
)
@pytest.mark.parametrize("shape", [(3, 16), (1, 14), (4, 7)], ids=str)
def test_augmentation_is_the_papers(changes: tuple[str, ...], shape: tuple[int, int]) -> None:
    channels, size = shape
    tiles = noise(1, Purpose.SAMPLE, (40, channels, size, size))
    numbers = uniforms(2, 40)
    found = augment(tiles, changes, numbers).numpy()
    for tile, row, changed in zip(tiles.double().numpy(), numbers.tolist(), found, strict=True):
        assert np.allclose(plain(tile, row, changes), changed, atol=1e-5)


def test_gradients_reach_what_is_shown_and_nothing_else() -> None:
    """The gradient of a translated, cut tile's sum is 1 where a pixel is still seen, else 0."""
    tiles = noise(1, Purpose.SAMPLE, (30, 2, 16, 16)).requires_grad_()
    shown = augment(tiles, ("translation", "cutout"), uniforms(5, 30))
    shown.sum().backward()  # type: ignore[no-untyped-call]
    assert tiles.grad is not None
    assert set(tiles.grad.flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(tiles.grad.sum((1, 2, 3)), (shown != 0).float().sum((1, 2, 3)))
    color = noise(1, Purpose.SAMPLE, (2, 3, 4, 4)).double().requires_grad_()
    numbers = uniforms(6, 2)
    brightness = [float(g) for g in torch.autograd.grad(augment(color, ["color"], numbers).sum(), color)[0][:, 0, 0, 0]]
    assert brightness == pytest.approx([1.0, 1.0], abs=1e-5)


def test_losses_with_a_smoothed_target_are_cross_entropy() -> None:
    """And the least of it is where the logit says the target."""
    logits = noise(1, Purpose.SAMPLE, (50,)) * 4
    for target in (1.0, 0.9, 0.7):
        expected = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
        assert called_real_loss(logits, target) == pytest.approx(float(expected), rel=1e-5)


def test_everything_that_is_shown_is_changed_alike(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reals, fakes, past fakes and the generator's fakes: each batch by its own numbers, then by its noise."""
    config = make_config(recipe=EVERYTHING, train={"lanes": 1})
    pair, seen = make_pair(config), list[tuple[int, Tensor, Tensor]]()
    judge = Lane._judge

    def noted(lane: Lane, tiles: Tensor, shown: int) -> Tensor:
        inner: list[Tensor] = []
        hook = lane.discriminator.register_forward_pre_hook(lambda _, inputs: inner.append(inputs[0].detach()))
        logits = judge(lane, tiles, shown)
        hook.remove()
        seen.append((shown, tiles.detach(), inner[0]))
        return logits

    monkeypatch.setattr(Lane, "_judge", noted)
    for step in range(5):
        seen.clear()
        take_step(pair, step)
        draws = draw(config, step, 0)
        changes = config.recipe.differentiable_augmentation
        for shown, tiles, judged in seen:
            added = draws.instance_noise[0 if shown == Shown.REAL else 1]
            assert torch.equal(augment(tiles, changes, draws.uniforms[shown]) + added, judged)
    kinds = [shown for shown, _, _ in seen]
    assert sorted(kinds) == [Shown.REAL, Shown.FAKE, Shown.HISTORY, Shown.FOOLING, Shown.FOOLING + 1]
    assert torch.equal(seen[kinds.index(Shown.REAL)][1], reals(config, 4, 0))


def test_what_is_off_is_not_drawn(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[Purpose] = set()

    def noted(seed: int, purpose: Purpose, step: int, lane: int, attempt: int) -> np.random.Generator:
        drawn.add(purpose)
        return generator(seed, purpose, step, lane, attempt=attempt)

    monkeypatch.setattr("satgan.gan.noise.generator", noted)
    draws = draw(make_config(), 3, 1)
    extra = {Purpose.INSTANCE_NOISE, Purpose.DIFFERENTIABLE_AUGMENTATION}
    assert not drawn & extra
    assert len(draws.instance_noise) == len(draws.uniforms) == 0
    draw(make_config(recipe=EVERYTHING), 3, 1)
    assert drawn >= extra


def test_draws_of_other_kinds_do_not_change_with_the_options(make_config: MakeConfig) -> None:
    """An option turned on changes nothing but itself."""
    plainly, changed = draw(make_config(), 9, 1), draw(make_config(recipe=EVERYTHING | {"history_share": 0.3}), 9, 1)
    for name in ("noise", "dihedral", "history_pick"):
        assert torch.equal(getattr(plainly, name), getattr(changed, name))
    assert (plainly.keep, plainly.slot, plainly.history_turn) == (changed.keep, changed.slot, changed.history_turn)


def test_instance_noise_fades_linearly(make_config: MakeConfig) -> None:
    fading = make_config(recipe={"instance_noise": 0.5, "instance_noise_steps": 10})
    assert [instance_noise_deviation(fading, step) for step in (0, 5, 10, 11)] == pytest.approx([0.5, 0.25, 0.0, 0.0])
    drawn = draw(fading, 5, 0).instance_noise
    assert float(drawn.std()) == pytest.approx(0.25, rel=0.05)
    assert not torch.equal(drawn[0], drawn[1])
    assert len(draw(fading, 10, 0).instance_noise) == 0
    steady = make_config(recipe={"instance_noise": 0.5})
    assert instance_noise_deviation(steady, 10**6) == 0.5


def test_regularizer_shares_are_of_the_networks_total_loss(make_config: MakeConfig) -> None:
    """S25: and both grow with the constant."""
    shares = []
    for constant in (1e-4, 1e-2):
        pair = make_pair(make_config(recipe={"generator_l2": constant, "discriminator_l2": constant}))
        take_step(pair, 0)
        after = pair.evaluate()
        losses = {"generator": ("generator_loss",), "discriminator": ("real_loss", "fake_loss")}
        for network, names in losses.items():
            regularizer = after[f"{network}_regularizer_after"]
            total = regularizer + sum(after[f"{name}_after"] for name in names)
            assert after[f"{network}_regularizer_share_after"] == pytest.approx(regularizer / total)
        shares.append([after[f"{network}_regularizer_share_after"] for network in losses])
    assert all(0 < small < large < 1 for small, large in zip(*shares, strict=True))


def _leaky(numbers: Tensor, leak: float) -> Tensor:
    return torch.where(numbers > 0, numbers, leak * numbers)


def test_leaks_are_the_slopes_below_zero(make_config: MakeConfig) -> None:
    """S22: against the same weights put together by hand; every preset's discriminator has DCGAN's."""
    assert [load_config(preset).gan.discriminator_leak for preset in PRESETS] == [0.2] * len(PRESETS)
    for leak in (0.0, 0.2, 1.0):
        network = Generator(make_config(gan={"generator_leak": leak}).gan)
        initialise(network, 1, 0)
        inputs = noise(1, Purpose.SAMPLE, (5, 6))
        maps = network.projection(inputs).view(5, 4, 4, 8).permute(0, 3, 1, 2)
        for norm, convolution in zip((network.projection_norm, *network.norms), network.convolutions, strict=True):
            maps = norm(maps)
            maps = convolution(_leaky(maps, leak))
        assert torch.allclose(network(inputs), torch.tanh(maps), atol=1e-6)
        judge = Discriminator(make_config(gan={"discriminator_leak": leak, "dense_head": "5,3"}).gan)
        initialise(judge, 1, 1)
        maps = _leaky(judge.convolutions[0](network(inputs)), leak)
        for norm, convolution in zip(judge.norms, judge.convolutions[1:], strict=True):
            maps = _leaky(norm(convolution(maps)), leak)
        features = maps.permute(0, 2, 3, 1).flatten(1)
        for dense in judge.head[:-1]:
            features = _leaky(dense(features), leak)
        assert torch.allclose(judge(network(inputs)), judge.head[-1](features)[:, 0], atol=1e-6)


def test_changes_have_their_own_columns() -> None:
    columns = [column for first, last, _ in CHANGES.values() for column in range(first, last)]
    assert columns == list(range(UNIFORMS))
