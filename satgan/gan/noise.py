"""What a step draws for a lane: a pure function of (seed, step, lane), made on the CPU, the same on every device."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from satgan.config import Config
from satgan.randomness import Purpose, generator


class Draws(NamedTuple):
    """Random choices of one lane in one step. U: generator updates, B: lane batch, Z: noise size.

    noise          `[U, B, Z]` float32, standard normal; row 0 also makes the fakes of the discriminator's updates
    dihedral       `[B]` int64, 0 to 7: flip and quarter turns of each real tile
    history_turn   whether this step also trains on past fakes; the same for all lanes
    history_pick   `[B]` int64: which kept fakes; distinct
    keep           which of the B fakes enters the history
    slot           where in the history it goes
    """

    noise: Tensor
    dihedral: Tensor
    history_turn: bool
    history_pick: Tensor
    keep: int
    slot: int


def noise(seed: int, purpose: Purpose, shape: tuple[int, ...], step: int = 0, lane: int = 0) -> Tensor:
    """Standard normal float32 of the given shape."""
    return torch.from_numpy(generator(seed, purpose, step, lane).standard_normal(shape, dtype=np.float32))


def draw(config: Config, step: int, lane: int) -> Draws:
    """The draws of `lane` in `step` (from 0)."""
    seed, batch, capacity = config.train.seed, config.train.lane_batch, config.recipe.history_capacity
    kept = min(step, capacity)
    turn = kept >= batch and generator(seed, Purpose.HISTORY_TURN, step).random() < config.recipe.history_share
    picks = generator(seed, Purpose.HISTORY_PICK, step, lane)
    picked = picks.choice(kept, batch, replace=False) if turn else np.zeros(0, dtype=np.int64)
    keeping = generator(seed, Purpose.HISTORY_KEEP, step, lane)
    augmenting = config.tiles.augment == "dihedral"
    codes = generator(seed, Purpose.AUGMENTATION, step, lane).integers(0, 8 if augmenting else 1, size=batch)
    return Draws(
        noise=noise(seed, Purpose.NOISE, (config.recipe.generator_updates, batch, config.gan.noise_size), step, lane),
        dihedral=torch.from_numpy(codes),
        history_turn=turn,
        history_pick=torch.from_numpy(picked),
        keep=int(keeping.integers(batch)),
        slot=step if step < capacity else int(keeping.integers(capacity)),
    )
