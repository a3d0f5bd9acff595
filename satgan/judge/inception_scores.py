"""FID and KID by Inception weights that the user has. They stand beside our own scores and never enter them.

Both are named with extractor and hash, as figures of other weights are other scores. The FID of few tiles is larger
than that of many, so it compares with its floor and with FIDs of as many tiles, not with published ones of 50,000.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.errors import StoreForbidden
from satgan.judge.features import frechet_distance
from satgan.judge.inception import Layer, inception_features
from satgan.judge.kept import seal, unseal
from satgan.judge.reference import FOLDER, SPLITS, random_halves
from satgan.randomness import Purpose, generator
from satgan.tiles.tile_set import TileSet

Tiles = NDArray[np.uint8]
Features = NDArray[np.float32]
Numbers = NDArray[np.float64]

SUBSETS, SUBSET_TILES = 100, 1000
"""Of KID, as in torch-fidelity and in most published figures; fewer tiles than a subset's are refused."""

CHANNELS = (1, 3)
"""Grey tiles are shown to the network as three equal channels; others are refused."""

TILES_AT_ONCE = 16
ROWS_AT_ONCE = 1024

VERSION = 1
"""Of the features, the floors and their bytes; part of a kept side's name."""

Tell = Callable[[int, int], None]
"""Called with the number of tiles that were just looked at, and of all that will be."""


class Extractor(NamedTuple):
    """Inception weights as they were read.

    Attributes:
        name: what they are called.
        sha256: of their file, in hex.
        layers: the network.
    """

    name: str
    sha256: str
    layers: Mapping[str, Layer]

    @property
    def title(self) -> str:
        """`pt_inception-2015-12-05, sha256 6726825d…`"""
        return f"{self.name}, sha256 {self.sha256[:8]}…"


class InceptionReference(NamedTuple):
    """The real side.

    Attributes:
        features: `[N, 2048] float32` of the reals that fakes are compared with.
        floors: each score of one half of 2N reals against the other, mean over random halves.
    """

    features: Features
    floors: dict[str, float]


class InceptionScore(NamedTuple):
    """A score of fakes, its value for reals (the floor), and how many times worse that is. KID has no ratio: it is
    unbiased, so that its floor is about 0 and may be below."""

    value: float
    floor: float
    ratio: float | None


class InceptionJudgement(NamedTuple):
    """What Inception features say of N fakes and N reals; `scores` are `fid` and `kid`."""

    extractor: Extractor
    tiles: int
    scores: dict[str, InceptionScore]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers under names, for JSON."""
        scores = {name: score._asdict() for name, score in self.scores.items()}
        return {
            "extractor": self.extractor.name, "sha256": self.extractor.sha256, "tiles": self.tiles, "scores": scores
        }  # fmt: skip


def judge_inception(
    fakes: Tiles, reference: InceptionReference, extractor: Extractor, tell: Tell
) -> InceptionJudgement:
    """FID and KID of fakes `[N, S, S, C] uint8`, C 1 or 3, against as many reals.

    Args:
        fakes: N as the reference's, 1,000 or more.
        reference: by the same extractor.
        extractor: the network.
        tell: hears how far it is.
    """
    values = _measure(reference.features, extract_inception(fakes, extractor, tell))
    fid, kid = (InceptionScore(values[name], reference.floors[name], None) for name in ("fid", "kid"))
    ratio = fid.value / fid.floor if fid.floor else None
    return InceptionJudgement(extractor, len(fakes), {"fid": fid._replace(ratio=ratio), "kid": kid})


def about_inception(tiles: int) -> str:
    """What a reader of FID and KID of so many tiles per side should know."""
    return (
        "Not part of the overall score. FID grows as tiles become fewer: compare it with the floor and with others of "
        f"{tiles:,} tiles. KID does not; for reals it is about 0."
    )


def make_inception_reference(reals: Tiles, extractor: Extractor, tell: Tell) -> InceptionReference:
    """The real side of `[2N, S, S, C] uint8` in random order; fakes are compared with the first half."""
    features = extract_inception(reals, extractor, tell)
    found = [_measure(one, other) for one, other in random_halves(features)]
    floors = {name: sum(values[name] for values in found) / SPLITS for name in found[0]}
    return InceptionReference(features[: len(reals) // 2], floors)


def inception_reference_of(
    tile_set: TileSet, tiles_per_side: int, seed: int, reals: Callable[[], Tiles], extractor: Extractor, tell: Tell
) -> InceptionReference:
    """The real side of tiles of a set, the same as our own scores take: made once, then kept in the set's folder or
    prefix under `judge/`. Where that cannot be written it is made every time.

    Args:
        tile_set: where they are from.
        tiles_per_side: N.
        seed: by which they are picked.
        reals: gives what `pick_tiles` does, `[2N, S, S, C] uint8`.
        extractor: the network.
        tell: hears how far it is.

    Raises:
        CorruptData: what is kept differs from its digest.
        StoreError: it cannot be read or written.
    """
    about = f"{tile_set.digest[:16]}-{tiles_per_side}-{seed}"
    key = f"{FOLDER}/{about}-inception-{extractor.sha256[:16]}-v{VERSION}.reference"
    if tile_set.store.exists(key):
        kept = unseal(tile_set.store.read(key), VERSION, f"an Inception reference, {tile_set.store.url}/{key},")
        return InceptionReference(kept.pop("features"), {name: float(value[0]) for name, value in kept.items()})
    reference = make_inception_reference(reals(), extractor, tell)
    floors = {name: np.array([value]) for name, value in reference.floors.items()}
    with suppress(StoreForbidden):
        tile_set.store.write(key, seal({"features": reference.features, **floors}, VERSION))
    return reference


def extract_inception(tiles: Tiles, extractor: Extractor, tell: Tell) -> Features:
    """Features `[N, 2048] float32` of tiles `[N, S, S, C] uint8`, C 1 or 3; `tell` hears of each batch."""
    parts = []
    for first in range(0, len(tiles), TILES_AT_ONCE):
        batch = tiles[first : first + TILES_AT_ONCE]
        shape = (*batch.shape[:3], max(CHANNELS))
        parts.append(inception_features(np.array(np.broadcast_to(batch, shape)), extractor.layers))
        tell(len(batch), len(tiles))
    return np.concatenate(parts)


def _measure(reals: Features, fakes: Features) -> dict[str, float]:
    one, other = reals.astype(np.float64), fakes.astype(np.float64)
    return {"fid": frechet_distance(one, other), "kid": kernel_distance(one, other)}


def kernel_distance(first: Numbers, second: Numbers) -> float:
    """KID (Bińkowski et al., ICLR 2018): the squared maximum mean discrepancy under the kernel (x·y / d + 1)³,
    unbiased, mean over 100 subsets of 1,000 of each side. The subsets are the same for every pair of sides.

    A subset's sum over its pairs is cᵀ K c with c its marks of 0 and 1, so that each kernel is computed once for all
    subsets, 1,024 rows at a time.

    Args:
        first: `[N, d] float64`, N at least 1,000.
        second: `[M, d] float64`, M at least 1,000.
    """
    one, other = _subsets(len(first), 0), _subsets(len(second), 1)
    pairs = SUBSET_TILES * (SUBSET_TILES - 1)
    within = _sums(first, first, one, one) - _own(first, one) + _sums(second, second, other, other)
    values = (within - _own(second, other)) / pairs - 2 * _sums(first, second, one, other) / SUBSET_TILES**2
    return float(values.mean())


def _subsets(count: int, side: int) -> Numbers:
    """Marks `[count, SUBSETS]` of those that are in each subset."""
    marks = np.zeros((count, SUBSETS))
    for subset in range(SUBSETS):
        chance = generator(0, Purpose.JUDGE, step=subset, lane=6, part=side)
        marks[chance.choice(count, SUBSET_TILES, replace=False), subset] = 1
    return marks


def _kernel(products: Numbers, width: int) -> Numbers:
    return (products / width + 1) ** 3


def _sums(first: Numbers, second: Numbers, one: Numbers, other: Numbers) -> Numbers:
    """Of each subset, the sum of the kernel over pairs of one of the first and one of the second: `[SUBSETS]`."""
    total = np.zeros(SUBSETS)
    for start in range(0, len(first), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        total += ((_kernel(first[rows] @ second.T, first.shape[1]) @ other) * one[rows]).sum(axis=0)
    return total


def _own(features: Numbers, marks: Numbers) -> Numbers:
    """Of each subset, the sum of the kernel of its members with themselves: `[SUBSETS]`."""
    return _kernel(np.sum(features**2, axis=1), features.shape[1]) @ marks
