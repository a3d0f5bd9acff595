"""Linear classifiers on features: fitted, tested, and told with a confidence interval."""

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.gallery.features import Features

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Labels = NDArray[np.str_]

TEST_SHARE = 0.25
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse strengths of the L2 penalty that are tried."""

LONGEST_FIT_STEPS = 100
NORMAL_95 = 1.959964
"""Deviations of a normal distribution that 95 % lie within."""


class Measured(NamedTuple):
    """What a linear classifier reached on one kind of features.

    Attributes:
        features: how many numbers a tile has.
        right: test tiles whose class was found.
        accuracy: share of the test tiles.
        low: lower end of the accuracy's 95 % interval (Wilson 1927).
        high: upper end.
    """

    features: int
    right: int
    accuracy: float
    low: float
    high: float


def fit(features: Features, labels: Labels) -> "Pipeline":
    """Logistic regression on standardised features, with the penalty that does best on the last quarter of each class.

    Args:
        features: `[N, d] float32`.
        labels: `[N]`, those of a class in the order of names.
    """
    held = tails(labels)
    scores = {
        penalty: _fitted(features[~held], labels[~held], penalty).score(features[held], labels[held])
        for penalty in PENALTIES
    }
    return _fitted(features, labels, max(PENALTIES, key=scores.__getitem__))


def tails(labels: Labels) -> NDArray[np.bool_]:
    """`[N]`: whether a tile is in the last quarter of those of its class."""
    found = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        found[places[len(places) - round(TEST_SHARE * len(places)) :]] = True
    return found


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): right of count."""
    share, square = right / count, NORMAL_95**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = NORMAL_95 / (1 + square / count) * (share * (1 - share) / count + square / (4 * count**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _fitted(features: Features, labels: Labels, penalty: float) -> "Pipeline":
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=LONGEST_FIT_STEPS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is a linear classifier all the same, and tested
        return pipeline.fit(features, labels)


def measured_from(features: int, is_right: NDArray[np.bool_]) -> Measured:
    """Of `[N]` whether the class was found, by so many features a tile."""
    right = int(np.count_nonzero(is_right))
    return Measured(features, right, right / len(is_right), *wilson(right, len(is_right)))
