"""The step: against a reference written without any of our machinery, and rule by rule."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from satgan.config import Config
from satgan.gan.balance import Verdict, choose_path
from satgan.gan.networks import Discriminator, Generator, initialise
from satgan.gan.noise import draw
from satgan.gan.normalization import batch_statistics
from satgan.gan.pair import Pair
from satgan.gan.weights import bind_weights, gather_weights
from tests.gan.conftest import MakeConfig, make_pair, reals, take_step


class Reference:
    """The recipe as one would write it in plain PyTorch: autograd through the whole loss, L2 included, no vectors."""

    def __init__(self, config: Config) -> None:
        self.config, recipe = config, config.recipe
        self.generator, self.discriminator = Generator(config.gan), Discriminator(config.gan)
        initialise(self.generator, config.train.seed, 0)
        initialise(self.discriminator, config.train.seed, 1)
        betas = (recipe.beta1, recipe.beta2)
        self.adams = {
            name: torch.optim.Adam(self.discriminator.parameters(), recipe.discriminator_learning_rate, betas=betas)
            for name in ("real", "fake", "both")
        }
        self.adam = torch.optim.Adam(self.generator.parameters(), recipe.generator_learning_rate, betas=betas)
        self.history: list[list[Tensor]] = [[] for _ in range(config.train.lanes)]
        self.shares = [0.5, 0.5]

    def l2(self, network: nn.Module, constant: float) -> Tensor:
        return torch.stack([constant / 2 * p.square().sum() for p in network.parameters() if p.dim() > 1]).sum()

    def minimise(self, adam: torch.optim.Adam, network: nn.Module, losses: list[Tensor], constant: float) -> None:
        adam.zero_grad()
        loss = torch.stack(losses).mean() + self.l2(network, constant)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()

    def bce(self, logits: Tensor, label: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

    def step(self, step: int) -> None:
        recipe, lanes = self.config.recipe, range(self.config.train.lanes)
        draws = [draw(self.config, step, lane) for lane in lanes]
        real = [reals(self.config, step, lane) for lane in lanes]
        fake = [self.generator(each.noise[0]).detach() for each in draws]
        judge, l2 = self.discriminator, recipe.discriminator_l2
        path_a = max(self.shares) >= recipe.path_threshold
        real_logits = [judge(tiles) for tiles in real]
        if path_a:
            self.minimise(self.adams["real"], judge, [self.bce(logits, 1) for logits in real_logits], l2)
            fake_logits = [judge(tiles) for tiles in fake]
            self.minimise(self.adams["fake"], judge, [self.bce(logits, 0) for logits in fake_logits], l2)
        else:
            fake_logits = [judge(tiles) for tiles in fake]
            both = [self.bce(r, 1) + self.bce(f, 0) for r, f in zip(real_logits, fake_logits, strict=True)]
            self.minimise(self.adams["both"], judge, both, l2)
        counts = len(lanes) * self.config.train.lane_batch
        self.shares = [
            sum(int((logits < 0).sum()) for logits in real_logits) / counts,
            sum(int((logits > 0).sum()) for logits in fake_logits) / counts,
        ]
        if draws[0].history_turn:
            past = [torch.stack(self.history[lane])[draws[lane].history_pick] for lane in lanes]
            self.minimise(self.adams["fake"], judge, [self.bce(judge(tiles), 0) for tiles in past], l2)
        for turn in range(recipe.generator_updates):
            losses = [self.bce(judge(self.generator(each.noise[turn])), 1) for each in draws]
            self.minimise(self.adam, self.generator, losses, recipe.generator_l2)
        for lane in lanes:
            kept = fake[lane][draws[lane].keep]
            if draws[lane].slot == len(self.history[lane]):
                self.history[lane].append(kept)
            else:
                self.history[lane][draws[lane].slot] = kept


@pytest.mark.parametrize("updates", [1, 2, 3])
def test_step_equals_a_plain_reference(make_config: MakeConfig, updates: int) -> None:
    """Both paths, the history before and after it is full, and every Adam have been through."""
    recipe = {
        "history_share": 0.6, "generator_updates": updates, "generator_l2": 1e-2, "discriminator_l2": 1e-2,
        "generator_learning_rate": 5e-4, "discriminator_learning_rate": 1e-2, "path_threshold": 0.7,
    }  # fmt: skip
    # No biases: before a batch norm their gradient is rounding noise, which Adam blows up to its rate.
    config = make_config(recipe=recipe, gan={"biases": False})
    ours, reference = make_pair(config), Reference(config)
    paths = set()
    for step in range(16):
        paths.add(take_step(ours, step)["path_a"])
        reference.step(step)
        assert list(ours.verdict) == reference.shares
    assert paths == {0.0, 1.0}
    for player, network in ((ours.generator, reference.generator), (ours.discriminator, reference.discriminator)):
        assert torch.allclose(player.weights, gather_weights(network), atol=3e-6, rtol=0)


@contextmanager
def watched(pair: Pair) -> Iterator[list[Tensor]]:
    """Every batch that a discriminator gets within the block."""
    seen: list[Tensor] = []
    hooks = [
        lane.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
        for lane in pair.lanes
    ]
    yield seen
    for hook in hooks:
        hook.remove()


def test_real_and_fake_never_share_a_batch(make_config: MakeConfig) -> None:
    """S38: each batch of the discriminator is all real tiles of the step, or holds none of them."""
    config = make_config(recipe={"history_share": 1.0})
    pair = make_pair(config)
    for step in range(8):
        real = torch.cat([reals(config, step, lane) for lane in range(config.train.lanes)])
        with watched(pair) as batches:
            take_step(pair, step)
        kinds = []
        for batch in batches:
            known = [bool((real == tile).flatten(1).all(1).any()) for tile in batch]
            assert all(known) or not any(known)
            kinds.append(all(known))
        assert sum(kinds) == config.train.lanes
        assert len(kinds) == config.train.lanes * (2 + config.recipe.generator_updates + (step >= 4))


def test_four_adams_share_no_state(make_config: MakeConfig) -> None:
    pair = make_pair(make_config(recipe={"history_share": 0.0}))
    seen: list[dict[str, int]] = []
    for verdict in (Verdict(0.5, 0.0), Verdict(0.0, 0.0), Verdict(0.0, 0.0)):
        pair.verdict = verdict
        take_step(pair, len(seen))
        adams = {**pair.generator.adams, **pair.discriminator.adams}
        seen.append({n: int(a.moments["step"]) for n, a in adams.items() if a.moments})
    assert seen == [
        {"generator": 2, "real": 1, "fake": 1},
        {"generator": 4, "real": 1, "fake": 1, "both": 1},
        {"generator": 6, "real": 1, "fake": 1, "both": 2},
    ]
    moments = [adam.moments["exp_avg"].data_ptr() for adam in adams.values() if adam.moments]
    assert len(set(moments)) == 4


@pytest.mark.parametrize(
    ("verdict", "path"),
    [((0.5, 0.0), "A"), ((0.0, 0.5), "A"), ((0.49, 0.49), "B"), ((1.0, 1.0), "A"), ((0.0, 0.0), "B")],
)
def test_path_follows_the_verdict(verdict: tuple[float, float], path: str) -> None:
    assert choose_path(Verdict(*verdict), 0.5) == path


def test_discriminator_is_frozen_while_the_generator_learns(make_config: MakeConfig) -> None:
    pair = make_pair(make_config())
    take_step(pair, 0)
    before = pair.discriminator.weights.clone()
    for lane in pair.lanes:
        lane.begin(reals(pair.config, 1, lane.number), draw(pair.config, 1, lane.number))
        lane.to_discriminator.vector.zero_()
    pair.make_fakes()
    pair.update_generator(0)
    assert torch.equal(pair.discriminator.weights, before)
    assert all(lane.to_discriminator.gradient.count_nonzero() == 0 for lane in pair.lanes)
    assert all(p.requires_grad for lane in pair.lanes for p in lane.discriminator.parameters())


def test_a_kept_fake_gets_the_logit_it_got(make_config: MakeConfig) -> None:
    """S35: the history holds the range and the bits that the discriminator saw."""
    for precision in ("float32", "bfloat16"):
        config = make_config(train={"precision": precision})
        pair = make_pair(config)
        with watched(pair) as batches:
            take_step(pair, 0)
        lane, draws = pair.lanes[0], draw(config, 0, 0)
        kept = lane.history.pick(torch.tensor([draws.slot]))[0]
        assert any(torch.equal(kept, batch[draws.keep]) for batch in batches)


def test_history_turns_are_the_share_that_was_asked_for(make_config: MakeConfig) -> None:
    config = make_config()
    turns = [draw(config, step, lane=0).history_turn for step in range(2_000)]
    assert turns == [draw(config, step, lane=1).history_turn for step in range(2_000)]
    assert not any(turns[: config.train.lane_batch])
    assert abs(sum(turns) / len(turns) - 0.3) < 0.04
    slots = {draw(config, step, 0).slot for step in range(12, 400)}
    assert slots == set(range(config.recipe.history_capacity))


def test_running_statistics_are_the_mean_over_lanes(make_config: MakeConfig) -> None:
    config = make_config()
    pair = make_pair(config)
    lanes = config.train.lanes
    expected = []
    for lane in range(lanes):
        network = Discriminator(config.gan)
        initialise(network, config.train.seed, 1)
        network(reals(config, 0, lane))
        expected.append(batch_statistics(network))
    before = pair.discriminator.running.clone()
    take_step(pair, 0)
    assert torch.allclose(pair.discriminator.running, 0.9 * before + 0.1 * sum(expected) / lanes, atol=1e-6)


def test_average_forgets_half_in_a_half_life(make_config: MakeConfig) -> None:
    config = make_config(recipe={"average_half_life_tiles": 80})
    pair = make_pair(config)
    pair.average.fill_(1.0)
    pair.generator.weights.zero_()
    for _ in range(10):  # 10 steps of 2 lanes of 4 tiles
        pair.move_average()
    assert torch.allclose(pair.average, torch.tensor(0.5), atol=1e-5)


def test_averaged_generator_has_statistics_of_its_own(make_config: MakeConfig) -> None:
    """Drawn one by one or all at once its tiles are those that its own statistics give, and alike each time."""
    pair = make_pair(make_config())
    for step in range(3):
        take_step(pair, step)
    first, again = pair.averaged_generator(), pair.averaged_generator()
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert dict(first.named_buffers())["projection_norm.running_mean"].abs().sum() > 0
    assert not torch.equal(gather_weights(first), pair.generator.weights)


def test_losses_after_the_update_are_those_of_the_new_weights(make_config: MakeConfig) -> None:
    config = make_config(train={"lanes": 1})
    pair = make_pair(config)
    take_step(pair, 0)
    after = pair.evaluate()
    network = Discriminator(config.gan)
    bind_weights(network, pair.discriminator.weights)
    expected = F.softplus(-network(reals(config, 0, 0))).mean().detach()
    assert after["real_loss_after"] == pytest.approx(float(expected), rel=1e-5)
    squares = sum(float(p.detach().square().sum()) for p in network.parameters() if p.dim() > 1)
    assert after["discriminator_regularizer_after"] == pytest.approx(1e-4 / 2 * squares, rel=1e-4)


def test_nothing_of_a_step_stays_behind(make_config: MakeConfig) -> None:
    """S14: no graph outlives its step."""
    pair = make_pair(make_config())
    take_step(pair, 0)
    assert all(lane.fakes.grad_fn is None for lane in pair.lanes)


def test_a_loss_that_is_no_number_is_told(make_config: MakeConfig) -> None:
    pair = make_pair(make_config())
    pair.discriminator.weights.fill_(math.nan)
    assert math.isnan(take_step(pair, 0)["real_loss_before"])


def test_two_pairs_of_one_config_stay_bit_equal(make_config: MakeConfig) -> None:
    for settings in ({"precision": "float32"}, {"precision": "bfloat16"}):
        first, second = (make_pair(make_config(train=settings)) for _ in range(2))
        told: list[Any] = [[take_step(pair, step) for step in range(6)] for pair in (first, second)]
        assert told[0] == told[1]
        assert torch.equal(first.generator.weights, second.generator.weights)
        assert torch.equal(first.discriminator.weights, second.discriminator.weights)
