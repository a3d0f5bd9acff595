"""What a step draws for a lane: a function of (seed, step, lane, attempt), made on the CPU, the same on all devices."""

from enum import IntEnum
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from satgan.config import Config
from satgan.gan.augment import UNIFORMS
from satgan.randomness import Purpose, generator


class Draws(NamedTuple):
    """Random choices of one lane in one step. U: generator updates, B: lane batch, Z: noise size.

    noise          `[U, B, Z]` float32, standard normal; row 0 also makes the fakes of the discriminator's updates
    dihedral       `[B]` int64, 0 to 7: flip and quarter turns of each real tile
    history_turn   whether this step also trains on past fakes; the same for all lanes
    history_pick   `[B]` int64: which kept fakes; distinct
    keep           which of the B fakes enters the history
    slot           where in the history it goes
    instance_noise `[2, B, C, S, S]` float32, already scaled: for real tiles, for fakes; empty where there is none
    uniforms       `[3 + U, B, 7]` float32 in [0, 1): what augments the batches of the discriminator, in the order of
                   Shown; empty where nothing does
    """

    noise: Tensor
    dihedral: Tensor
    history_turn: bool
    history_pick: Tensor
    keep: int
    slot: int
    instance_noise: Tensor
    uniforms: Tensor


DRAWN_TENSORS = tuple(name for name, kind in Draws.__annotations__.items() if kind is Tensor)
"""The fields of Draws that belong on the device."""


class Shown(IntEnum):
    """What the discriminator is shown in a step. The generator's further turns follow its first."""

    REAL = 0
    FAKE = 1
    HISTORY = 2
    FOOLING = 3


def noise(
    seed: int, purpose: Purpose, shape: tuple[int, ...], step: int = 0, lane: int = 0, attempt: int = 0
) -> Tensor:
    """Standard normal float32 of the given shape."""
    stream = generator(seed, purpose, step, lane, attempt=attempt)
    return torch.from_numpy(stream.standard_normal(shape, dtype=np.float32))


def draw(config: Config, step: int, lane: int, attempt: int = 0) -> Draws:
    """The draws of `lane` in `step` (from 0), after so many rollbacks."""
    seed, batch, capacity = config.train.seed, config.train.lane_batch, config.recipe.history_capacity
    kept = min(step, capacity)
    stream = partial(generator, seed, attempt=attempt)
    turn = kept >= batch and stream(Purpose.HISTORY_TURN, step).random() < config.recipe.history_share
    picks = stream(Purpose.HISTORY_PICK, step, lane)
    picked = picks.choice(kept, batch, replace=False) if turn else np.zeros(0, dtype=np.int64)
    keeping = stream(Purpose.HISTORY_KEEP, step, lane)
    augmenting = config.tiles.augment == "dihedral"
    codes = stream(Purpose.AUGMENTATION, step, lane).integers(0, 8 if augmenting else 1, size=batch)
    noise_shape = (config.recipe.generator_updates, batch, config.gan.noise_size)
    return Draws(
        noise=noise(seed, Purpose.NOISE, noise_shape, step, lane, attempt),
        dihedral=torch.from_numpy(codes),
        history_turn=turn,
        history_pick=torch.from_numpy(picked),
        keep=int(keeping.integers(batch)),
        slot=step if step < capacity else int(keeping.integers(capacity)),
        instance_noise=_instance_noise(config, step, lane, attempt),
        uniforms=_uniforms(config, step, lane, attempt),
    )


def instance_noise_deviation(config: Config, step: int) -> float:
    """Deviation of the discriminator's input noise in `step`: full at 0, nothing from `instance_noise_steps` on."""
    recipe = config.recipe
    left = 1.0 - step / recipe.instance_noise_steps if recipe.instance_noise_steps else 1.0
    return recipe.instance_noise * max(0.0, left)


def _instance_noise(config: Config, step: int, lane: int, attempt: int) -> Tensor:
    deviation = instance_noise_deviation(config, step)
    if not deviation:
        return torch.empty(0)
    shape = (2, config.train.lane_batch, config.gan.channels, config.gan.size, config.gan.size)
    return noise(config.train.seed, Purpose.INSTANCE_NOISE, shape, step, lane, attempt).mul_(deviation)


def _uniforms(config: Config, step: int, lane: int, attempt: int) -> Tensor:
    if not config.recipe.differentiable_augmentation:
        return torch.empty(0)
    stream = generator(config.train.seed, Purpose.DIFFERENTIABLE_AUGMENTATION, step, lane, attempt=attempt)
    shape = (Shown.FOOLING + config.recipe.generator_updates, config.train.lane_batch, UNIFORMS)
    return torch.from_numpy(stream.random(shape, dtype=np.float32))
