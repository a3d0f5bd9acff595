"""The classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017): a machine that learns to tell fakes from reals.

A classifier learns on one half of the tiles and answers for the other. If both come from one distribution it is right
half the time; how seldom guessing is right so often is the test's p-value. The classifier is a logistic regression on
the judge's random convolution features: convex, so it has one solution and needs no seed.
"""

import numpy as np
from numpy.typing import NDArray

from satgan.judge.features import FEWEST_TO_FIT, Layer, extract, fit_encoder
from satgan.judge.guesses import Estimate, answered

Tiles = NDArray[np.uint8]
Numbers = NDArray[np.float64]

FEWEST_PER_SIDE = 2 * FEWEST_TO_FIT
PENALTY = 1.0
"""Of half the squared weights, beside the sum of the losses, features having deviation 1."""

MOST_STEPS = 50
SMALL_STEP = 1e-8


def tell_apart(fakes: Tiles, reals: Tiles) -> Estimate:
    """How often a classifier that learned on the first halves is right about the second halves.

    Args:
        fakes: `[N, S, S, C] uint8` in random order, N at least 64.
        reals: the same of the same shape.
    """
    assert fakes.shape == reals.shape, (fakes.shape, reals.shape)
    half = len(fakes) // 2
    assert half >= FEWEST_TO_FIT, len(fakes)
    encoder = fit_encoder(reals[:half])
    seen, unseen = (np.concatenate([_features(side[part], encoder) for side in (fakes, reals)]) for part in (
        slice(None, half), slice(half, 2 * half),
    ))  # fmt: skip
    is_fake = np.repeat([1.0, 0.0], half)
    mean, deviation = seen.mean(axis=0), np.maximum(seen.std(axis=0), 1e-6)
    weights = _logistic_regression((seen - mean) / deviation, is_fake)
    called_fake = _with_ones((unseen - mean) / deviation) @ weights > 0
    return answered(int((called_fake == is_fake).sum()), 2 * half)


def _features(tiles: Tiles, encoder: list[Layer]) -> Numbers:
    return np.concatenate(extract(tiles, encoder), axis=1)


def _with_ones(features: Numbers) -> Numbers:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def _logistic_regression(features: Numbers, labels: Numbers) -> Numbers:
    """Weights `[d + 1]`, the last one of the constant, by Newton's method."""
    inputs = _with_ones(features)
    penalty = np.full(inputs.shape[1], PENALTY)
    penalty[-1] = 1e-6  # the constant is free, but for a trace that keeps the matrix regular
    weights = np.zeros(inputs.shape[1])
    for _ in range(MOST_STEPS):
        shares = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (shares - labels) + penalty * weights
        curvature = (inputs * (shares * (1 - shares))[:, None]).T @ inputs + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        weights -= step
        if np.abs(step).max() < SMALL_STEP:
            break
    return weights
