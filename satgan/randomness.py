"""Randomness as a function of (seed, purpose, step, lane, attempt): no generator has a state that must be saved.

NumPy's Philox is counter-based: its key comes from seed, purpose and attempt, its counter from step and lane. The
lowest counter word is left to the draws themselves (Philox advances that word), so no two streams overlap: 2**64
blocks lie between neighbours. Rule S06: one seed from which every random number follows.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What random numbers are for. The values are part of the format: never renumber, only append."""

    WEIGHTS = 1
    NOISE = 2
    AUGMENTATION = 3
    HISTORY_TURN = 4
    HISTORY_PICK = 5
    HISTORY_KEEP = 6
    PACKING = 7
    PIECE_ORDER = 8
    WINDOW_ORDER = 9
    FILM = 10
    GRID = 11
    RECALIBRATION = 12
    SAMPLE = 13
    REFERENCE_NOISE = 14
    REFERENCE_TILES = 15
    INSTANCE_NOISE = 16
    DIFFERENTIABLE_AUGMENTATION = 17
    JUDGE = 18
    JUDGE_NOISE = 19
    SWEEP = 20
    SWEEP_CHANCE = 21


ATTEMPT_BIT = 32
"""The upper half of the key's second word is the attempt, the lower half the purpose."""


def generator(
    seed: int, purpose: Purpose, step: int = 0, lane: int = 0, part: int = 0, attempt: int = 0
) -> np.random.Generator:
    """The random stream that belongs to (seed, purpose, step, lane, part, attempt).

    Args:
        seed: the run's seed, 0 to 2**64 - 1.
        purpose: what the numbers are for.
        step: training step, epoch or running number; not negative.
        lane: lane number; not negative.
        part: a further index where one is needed (say the window of an epoch); not negative.
        attempt: how often the run was rolled back before this step, 0 to 2**32 - 1.
    """
    key = np.array([seed, int(purpose) + (attempt << ATTEMPT_BIT)], dtype=np.uint64)
    counter = np.array([0, step, lane, part], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
