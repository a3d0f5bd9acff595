"""What is measured: the plain loop, our step doing the same work, and our step with the whole recipe.

Tiles and noise lie ready on the device, outside the timed regions, for all variants alike.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from bench.plain import PlainLoop
from satgan.config import Config
from satgan.gan.lane import Lane
from satgan.gan.noise import Draws, draw
from satgan.gan.pair import Pair
from satgan.gan.step import train_step
from satgan.train.device import LaneRunner, decide, fast_precision, recorder_on, usable_cores
from satgan.train.sums import LaneSums

BATCHES = 4
"""Different batches that a variant takes in turn."""


class Batch(NamedTuple):
    """What one step takes: real tiles `[B, C, S, S] float32` in [-1, 1], and our step's draws.

    plain_tiles  contiguous, for the plain loop
    tiles        the same numbers, channels_last, for ours
    """

    plain_tiles: Tensor
    tiles: Tensor
    draws: Draws


class Part(NamedTuple):
    """Work that occurs `share` times per step on average; `run(turn)` does it once, `turn` counts from 0."""

    share: float
    run: Callable[[int], object]


class Variant(NamedTuple):
    """One row of the table: a way to train, ready to run.

    label   what the table calls it
    config  what it computes: its FLOPs follow from it
    parts   of one step
    """

    label: str
    config: Config
    parts: tuple[Part, ...]


class OurStep:
    """Our pair, all its lanes on this worker, taking the batches in turn.

    Args:
        config: decided.
        batches: see `make_batches`.
        device: where.
        recorded: whether a GPU replays the step's sections, as in a run.
    """

    def __init__(
        self, config: Config, batches: Sequence[Batch], device: torch.device, recorded: bool = True
    ) -> None:  # fmt: skip
        lanes, threads = config.train.lanes, config.train.threads_per_lane or usable_cores()
        self._runner = LaneRunner(lanes, threads, device, workers_here=1)
        self.pair = Pair(
            config, range(lanes), device, LaneSums(lanes, device, threads), self._runner,
            recorder_on(device) if recorded else None,
        )  # fmt: skip
        self._batches = batches
        random = torch.Generator(device).manual_seed(config.train.seed)  # two of a config have the same past
        for lane in self.pair.lanes:
            lane.history.tiles.uniform_(-1, 1, generator=random)

    def step(self, turn: int) -> dict[str, float]:
        """A whole step but for the history's update; its losses."""
        self._begin(turn)
        return train_step(self.pair)

    def learn_history(self, turn: int) -> None:
        """The history's update alone, which happens in a share of the steps."""
        self._begin(turn)
        self.pair.update_discriminator("fake", Lane.learn_history)

    def close(self) -> None:
        """Ends the lanes' threads."""
        self._runner.close()

    def _begin(self, turn: int) -> None:
        for lane in self.pair.lanes:
            batch = self._batches[(turn + lane.number) % len(self._batches)]
            lane.begin(batch.tiles, batch.draws)


def make_batches(config: Config, device: torch.device, count: int = BATCHES) -> list[Batch]:
    """Random tiles, the draws of the first steps (history's turn apart), on the device."""
    random = torch.Generator().manual_seed(config.train.seed)
    gan, batch, capacity = config.gan, config.train.lane_batch, config.recipe.history_capacity
    batches = []
    for step in range(count):
        tiles = torch.rand((batch, gan.channels, gan.size, gan.size), generator=random) * 2 - 1
        draws = draw(config, step, lane=0)
        draws = draws._replace(
            noise=draws.noise.to(device),
            history_turn=False,
            history_pick=torch.randperm(capacity, generator=random)[:batch].to(device),
        )
        tiles = tiles.to(device)
        batches.append(Batch(tiles, tiles.contiguous(memory_format=torch.channels_last), draws))
    return batches


def same_work(config: Config, precision: str) -> Config:
    """The config in which our step does what the plain loop does: path B, no history, one G update, no L2."""
    bare = {
        "history_share": 0.0, "generator_updates": 1, "generator_l2": 0.0, "discriminator_l2": 0.0,
        "path_threshold": math.inf,  # above every share, also that of a batch misjudged as a whole
    }  # fmt: skip
    recipe = config.recipe.model_copy(update=bare)
    train = config.train.model_copy(update={"precision": precision})
    return decide(config.model_copy(update={"recipe": recipe, "train": train}))


def plain(config: Config, batches: Sequence[Batch], device: torch.device) -> Variant:
    """The reference."""
    loop = PlainLoop(config, device)

    def step(turn: int) -> object:
        batch = batches[turn % len(batches)]
        return loop.step(batch.plain_tiles, batch.draws.noise[0])

    # As pytorch/examples sets it; ours computes under the settings of a run, which are reproducible.
    return Variant("plain loop, float32", same_work(config, "float32"), (Part(1.0, _with_any_algorithm(step)),))


def same(
    config: Config, batches: Sequence[Batch], device: torch.device, precision: str, recorded: bool = True,
    deterministic: bool = True,
) -> Variant:  # fmt: skip
    """Our step doing the same work; `deterministic` as the option of a run."""
    config = same_work(config, precision)
    ours = OurStep(config, batches, device, recorded)
    step = ours.step if deterministic else _with_any_algorithm(ours.step)
    return Variant(f"ours, same work, {precision}", config, (Part(1.0, step),))


def _with_any_algorithm(step: Callable[[int], object]) -> Callable[[int], object]:
    """On a GPU cuDNN tries its algorithms and takes the fastest, as in a run with `train.deterministic` no."""

    def fastest(turn: int) -> object:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False):
            return step(turn)

    return fastest


def whole_recipe(config: Config, batches: Sequence[Batch], device: torch.device, recorded: bool = True) -> Variant:
    """Our step with the recipe's defaults, on path A: the same FLOPs as B, one more Adam, so the dearer one."""
    recipe = config.recipe.model_copy(update={"path_threshold": 0.0})
    config = decide(config.model_copy(update={"recipe": recipe}))
    ours = OurStep(config, batches, device, recorded)
    past = (Part(recipe.history_share, ours.learn_history),) if recipe.history_share else ()
    parts = (Part(1.0, ours.step), *past)
    return Variant(f"ours, whole recipe, {config.train.precision}", config, parts)


Build = Callable[[Config, Sequence[Batch], torch.device], Variant]

VARIANTS: dict[str, Build] = {
    "plain": plain,
    "fast": lambda config, batches, device: same(config, batches, device, fast_precision()),
    "recipe": whole_recipe,
    "same": partial(same, precision="float32"),
}
"""By importance: where time is short, the last are left out first."""
