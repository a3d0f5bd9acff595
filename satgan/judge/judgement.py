"""Fakes before the judge: arrays in, figures out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.errors import TilesError
from satgan.judge.description import check_tiles, describe
from satgan.judge.memory import nearness
from satgan.judge.reference import Reference
from satgan.judge.score import Score, about, measure, overall, published_distances, ratio, score_names
from satgan.judge.sliced import SlicedSide


class Judgement(NamedTuple):
    """What the judge found.

    Attributes:
        score: overall; lower is better, 1 is as far from the reals as reals are from each other.
        tiles: fakes that were judged, and reals they were compared with.
        scores: by name, in the order of tables.
    """

    score: float
    tiles: int
    scores: dict[str, Score]

    def as_dict(self) -> dict[str, Any]:
        """Plain floats under names, for JSON."""
        scores = {name: score._asdict() for name, score in self.scores.items()}
        return {"score": self.score, "tiles": self.tiles, "scores": scores}


def judge(fakes: NDArray[np.uint8], reference: Reference, sliced_reals: SlicedSide | None = None) -> Judgement:
    """All scores of fakes against a reference. The same arrays give the same figures.

    The convolutions of the random features run on torch's own threads (OpenMP; as many as `torch.get_num_threads()`
    says), matrix products on those of NumPy's BLAS, the rest on the calling thread. No global generator or setting is
    touched, so a judge in a thread beside training leaves its bits alone.

    Those threads spin while they wait for each other: on busy cores the same work takes about twice the CPU time. In a
    process of its own with OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 it does not.

    Args:
        fakes: `[N, S, S, C] uint8`, N = reference.tiles_per_side.
        reference: of reals of the same shape.
        sliced_reals: of `reference.half.tiles`, where it is kept for several judgements.

    Raises:
        TilesError: another number, size or channels.
    """
    reals = reference.half
    check_tiles(fakes, "fakes", like=reals.tiles)
    if len(fakes) != len(reals.tiles):
        raise TilesError(f"{len(fakes)} fakes against {len(reals.tiles)} reals", "give as many fakes as reals")
    found = describe(fakes, reference.encoder)
    values = {**measure(found, reals, sliced_reals), "memory": nearness(found.thumbnails, reference.training)}
    scores = _scores({name: values[name] for name in score_names(fakes.shape[1])}, reference)
    return Judgement(overall(scores), len(fakes), scores)


def published(fakes: NDArray[np.uint8], reference: Reference) -> dict[str, Score]:
    """What stands in the literature, for tiles that `judge` takes: see `published_distances`.

    Published rows are of 16,384 tiles a side or so; with fewer, value and floor are higher.
    """
    return _scores(published_distances(reference.half.tiles, fakes), reference)


def _scores(values: Mapping[str, float], reference: Reference) -> dict[str, Score]:
    floors, count = reference.floors, reference.tiles_per_side
    return {
        name: Score(value, floors[name], ratio(about(name).kind, value, floors[name], count))
        for name, value in values.items()
    }
