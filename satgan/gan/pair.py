"""The pair of networks with their four Adams (S32), their running statistics and the averaged generator.

Whoever holds which lanes, the pair's numbers are the same: lanes' messages are summed in one order by `combine`,
which the caller passes in (gan/ knows no ranks), and every worker applies the same sums.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from satgan.config import Config
from satgan.gan.balance import FIRST_VERDICT, Balance, Moved, Verdict, config_rates, rebalanced
from satgan.gan.graphs import Graphs, Recorder
from satgan.gan.lane import EVALUATED, Lane
from satgan.gan.message import Combine
from satgan.gan.networks import Discriminator, Generator, initialise, share_reference
from satgan.gan.noise import noise
from satgan.gan.normalization import (
    batch_statistics,
    set_running_statistics,
    statistics_size,
)
from satgan.gan.observe import TILE_FIGURES, Observation
from satgan.gan.player import Player
from satgan.gan.weights import bind_weights
from satgan.randomness import Purpose

EachLane = Callable[[Callable[[Lane], None], Sequence[Lane]], None]
"""Runs a function once per lane of this worker, one after the other or at the same time."""

RECALIBRATION_BATCHES = 16


class Pair:
    """Generator and discriminator, as every worker holds them, with this worker's lanes.

    Args:
        config: complete; `train.precision` decided.
        my_lanes: numbers of the lanes that this worker computes, ascending.
        device: where.
        combine: see `Combine`.
        each_lane: see `EachLane`.
        recorder: records sections of the step (graphs.py); none: they are computed directly.
    """

    def __init__(
        self, config: Config, my_lanes: Sequence[int], device: torch.device, combine: Combine, each_lane: EachLane,
        recorder: Recorder | None = None,
    ) -> None:  # fmt: skip
        recipe = config.recipe
        self.config, self.device, self._combine, self._each_lane = config, device, combine, each_lane
        self.dtype = torch.bfloat16 if config.train.precision == "bfloat16" else torch.float32
        betas = (recipe.beta1, recipe.beta2)
        self.generator = Player(
            self._new(Generator, 0), ("generator",), recipe.generator_learning_rate, betas, recipe.generator_l2
        )
        self.discriminator = Player(
            self._new(Discriminator, 1), ("real", "fake", "both"), recipe.discriminator_learning_rate, betas,
            recipe.discriminator_l2,
        )  # fmt: skip
        self.average = self.generator.weights.clone()
        self.verdict = FIRST_VERDICT
        self.balance = Balance(config_rates(config)) if recipe.auto_balance else None
        self.graphs = Graphs(recorder) if recorder else None
        self._fooling = [partial(Lane.fool, turn=turn) for turn in range(recipe.generator_updates)]
        self.lanes = [self._lane(number) for number in my_lanes]
        self._sum_generator = combine.of([lane.to_generator for lane in self.lanes])
        self._sum_discriminator = combine.of([lane.to_discriminator for lane in self.lanes])

    def set_reference(self, tiles: Tensor) -> None:
        """Gives the discriminator's virtual batch norm its reference batch of real tiles `[R, C, S, S]` (S23)."""
        reference = self.discriminator.network.reference
        assert reference is not None
        reference.copy_(tiles)

    def each(self, work: Callable[[Lane], None]) -> None:
        """Runs `work` on every lane of this worker."""
        self._each_lane(work, self.lanes)

    def make_fakes(self) -> None:
        """Every lane makes its fakes of the step. Before the first step, and wherever inputs have other shapes, the
        lanes' work is recorded, where there is a recorder."""
        if self.graphs:
            learning = [Lane.learn_real, Lane.learn_fake, Lane.learn_both]
            if self.config.recipe.history_share:
                learning.append(Lane.learn_history)
            sections: list[Callable[[Lane], None]] = [Lane.make_fakes, *learning, *self._fooling]
            inputs = tuple(lane.held.made_anew for lane in self.lanes if lane.held)
            self.graphs.record(inputs, {work: partial(self.each, work) for work in sections})
        self._compute(Lane.make_fakes)

    def update_discriminator(self, adam: str, work: Callable[[Lane], None]) -> Tensor:
        """Lanes compute, their messages are summed, one Adam moves the discriminator; figures `[F]`."""
        self._compute(work)
        return self._update(self.discriminator, adam, self._sum_discriminator(), moves_running=adam != "fake")

    def update_generator(self, turn: int) -> Tensor:
        """The same for the generator; its running statistics follow the last turn's; figures `[F]`."""
        self._compute(self._fooling[turn])
        is_last = turn == self.config.recipe.generator_updates - 1
        return self._update(self.generator, "generator", self._sum_generator(), moves_running=is_last)

    @torch.no_grad()
    def move_average(self) -> None:
        """The averaged generator forgets half of itself every `average_half_life_tiles` real tiles."""
        tiles = self.config.train.lanes * self.config.train.lane_batch
        forget = 1.0 - 0.5 ** (tiles / self.config.recipe.average_half_life_tiles)
        self.average.lerp_(self.generator.weights, forget)

    def why_not_recorded(self) -> str:
        """Why sections that should be recorded are computed directly from this step on; told once, else empty."""
        return self.graphs.news() if self.graphs else ""

    def observe(self) -> None:
        """The step that is to come is watched; `observed` tells."""
        for player in (self.generator, self.discriminator):
            player.observation = Observation(player.network, player.weights, player.running)

    @torch.no_grad()
    def observed(self) -> dict[str, float]:
        """What happened in the step that was watched, by the names of `observe.py`."""
        found: dict[str, float] = {}
        for name, player in (("generator", self.generator), ("discriminator", self.discriminator)):
            assert player.observation is not None
            found |= player.observation.figures(name)
            player.observation = None
        rates = self.balance.rates._asdict() if self.balance else {}
        return found | {f"learning_rate.{name}": rate for name, rate in rates.items()}

    def evaluate(self) -> dict[str, float]:
        """Losses after the updates, by name (S15), with the regularizers and their shares as they stand (S25), and
        what the step's tiles look like."""
        figures: list[Tensor] = [torch.empty(0)] * len(self.lanes)

        def work(lane: Lane) -> None:
            figures[self.lanes.index(lane)] = lane.evaluate()

        self.each(work)
        mean = dict(zip(EVALUATED, (self._combine.now(figures) / self.config.train.lanes).tolist(), strict=True))
        after = {f"{name}_after": mean[name] for name in ("real_loss", "fake_loss", "generator_loss")}
        totals = {
            "discriminator": (self.discriminator, after["real_loss_after"] + after["fake_loss_after"]),
            "generator": (self.generator, after["generator_loss_after"]),
        }
        for name, (player, loss) in totals.items():
            after[f"{name}_regularizer_after"] = regularizer = player.regularizer()
            after[f"{name}_regularizer_share_after"] = regularizer / (loss + regularizer) if regularizer else 0.0
        return after | {name: mean[name] for name in TILE_FIGURES}

    @torch.no_grad()
    def averaged_generator(self, average: Tensor | None = None) -> Generator:
        """A copy with the averaged weights and running statistics of its own, in evaluation mode.

        The statistics are the mean of those of fixed noise batches passed through it, so they follow from the
        averaged weights alone.

        Args:
            average: averaged weights `[P]`, as they were at some step; none: as they are now.
        """
        network = Generator(self.config.gan).to(self.device)
        if network.reference is not None and self.generator.network.reference is not None:
            network.reference.copy_(self.generator.network.reference)
        bind_weights(network, (self.average if average is None else average).clone())
        train = self.config.train
        total = torch.zeros(statistics_size(network), device=self.device)
        if not len(total):  # virtual batch norm has its statistics with it
            return network.eval()
        for number in range(RECALIBRATION_BATCHES):
            shape = (train.lane_batch, self.config.gan.noise_size)
            network(noise(train.seed, Purpose.RECALIBRATION, shape, step=number).to(self.device))
            total += batch_statistics(network)
        set_running_statistics(network, total / RECALIBRATION_BATCHES)
        return network.eval()

    def set_verdict(self, figures: dict[str, float]) -> None:
        """Remembers how the discriminator did in this step, from counts per lane, for the choice of the next path."""
        batch = self.config.train.lane_batch
        self.verdict = Verdict(figures["reals_called_fake"] / batch, figures["fakes_called_real"] / batch)

    def set_balance(self, balance: Balance) -> None:
        """Where the moving rates stand (G04)."""
        self.balance = balance
        self.generator.set_learning_rate(balance.rates.generator)
        self.discriminator.set_learning_rate(balance.rates.discriminator)

    def rebalance(self, fake_loss: float) -> Moved | None:
        """Takes a step's loss on fakes into account where `recipe.auto_balance` says so; the move that follows, if
        one does, holds from the next step on."""
        if self.balance is None:
            return None
        train = self.config.train
        self.balance, moved = rebalanced(
            self.balance,
            fake_loss,
            self.config.recipe.auto_balance,
            config_rates(self.config),
            train.lanes * train.lane_batch,
        )
        if moved:
            self.set_balance(self.balance)
        return moved

    def _compute(self, work: Callable[[Lane], None]) -> None:
        """`each`, replayed where it is recorded."""
        if self.graphs:
            self.graphs.run(work, partial(self.each, work))
        else:
            self.each(work)

    def _update(self, player: Player, adam: str, total: Tensor, moves_running: bool) -> Tensor:
        """Moves a network by the sum of the lanes' messages; figures `[F]`, until the next update."""

        def work(total: Tensor) -> Tensor:
            figures = player.update(adam, total, self.config.train.lanes)
            if moves_running:
                player.move_running(total)
            return figures

        if self.graphs and player.observation is None:  # what is looked at now and then is not worth recording
            return self.graphs.update((adam, moves_running), player, total, work)
        return work(total)

    def _new(self, kind: type[Generator] | type[Discriminator], number: int) -> Generator | Discriminator:
        network = kind(self.config.gan).to(self.device)
        initialise(network, self.config.train.seed, number)
        if isinstance(network, Generator) and network.reference is not None:
            shape = tuple(network.reference.shape)
            network.reference.copy_(noise(self.config.train.seed, Purpose.REFERENCE_NOISE, shape))
        return network

    def _lane(self, number: int) -> Lane:
        generator = Generator(self.config.gan).to(self.device)
        discriminator = Discriminator(self.config.gan).to(self.device)
        bind_weights(generator, self.generator.weights)
        bind_weights(discriminator, self.discriminator.weights)
        share_reference(generator, self.generator.network)
        share_reference(discriminator, self.discriminator.network)
        return Lane(
            self.config, number, generator, discriminator, self.device, self.dtype, recorded=self.graphs is not None
        )
