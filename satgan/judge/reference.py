"""The real side of every score: computed once, kept as bytes beside the set."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from satgan.errors import StoreForbidden, TilesError
from satgan.judge.description import Description, check_tiles, describe
from satgan.judge.features import Extracted, Layer, fit_encoder
from satgan.judge.kept import seal, unseal
from satgan.judge.memory import Thumbnails, nearness, thumbnails
from satgan.judge.score import measure, published_distances
from satgan.kinds import FEWEST_JUDGED
from satgan.randomness import Purpose, generator
from satgan.tiles.tile_set import TileSet

Tiles = NDArray[np.uint8]
Number = TypeVar("Number", np.uint8, np.float32)

VERSION = 2
"""Of the scores' definitions and of the bytes; part of a cached reference's name."""

SPLITS = 3
FOLDER = "judge"
WHAT = "a judge's reference"


class Reference(NamedTuple):
    """Everything about the real side.

    Attributes:
        half: the real tiles that fakes are compared with.
        training: thumbnails `[2N, s, s, C]` of both halves, `half` first, for the search of copies; copies of other
            tiles of the set are not seen.
        encoder: the random network, scaled on `half`.
        floors: each score's value for reals in the place of the fakes, also of those that only the verb computes.
    """

    half: Description
    training: Thumbnails
    encoder: list[Layer]
    floors: dict[str, float]

    @property
    def tiles_per_side(self) -> int:
        """N: so many fakes are judged."""
        return len(self.half.tiles)


def pick_tiles(tile_set: TileSet, count: int, seed: int) -> Tiles:
    """`count` tiles of a set, a function of seed and count: a run of the packed order, which is a global shuffle.

    Only the pieces that hold them are read, one at a time.

    Args:
        tile_set: where from.
        count: how many, 1 to all.
        seed: where the run begins; it goes on at the set's beginning when it reaches the end.

    Returns:
        `[count, S, S, C] uint8`.

    Raises:
        TilesError: the set has fewer.
        CorruptData, StoreError: see `TileSet.read_piece`.
    """
    manifest = tile_set.manifest
    if not 1 <= count <= manifest.tile_count:
        found = f"{count:,} tiles are to be taken from {tile_set.store.url}, which has {manifest.tile_count:,}"
        raise TilesError(found, f"ask for 1 to {manifest.tile_count:,}")
    start = int(generator(seed, Purpose.JUDGE).integers(manifest.tile_count))
    numbers = (start + np.arange(count)) % manifest.tile_count
    pieces, within = np.divmod(numbers, manifest.piece_tiles)  # shards have whole numbers of pieces
    tiles = np.empty((count, manifest.size, manifest.size, manifest.channels), np.uint8)
    for piece in dict.fromkeys(pieces.tolist()):
        wanted = pieces == piece
        tiles[wanted] = tile_set.read_piece(piece)[within[wanted]]
    return tiles


def make_reference(reals: Tiles, held_out: Tiles | None = None) -> Reference:
    """The real side of every score, with its floors.

    Fakes are compared with the first half of the reals, N with N. The floor is the same score of N reals against N
    others, so that an estimator's bias at N tiles is in both: for tiles of a perfect generator value and floor have
    the same expectation.

    Args:
        reals: `[2N, S, S, C] uint8` in random order, at least 40; of an odd number the last is left out.
        held_out: real tiles that were not trained on, of the same shape, for the floor of `memory`; without them each
            tile of the second half is compared with all other reals.

    Raises:
        TilesError: too few tiles, or of another shape.
    """
    check_tiles(reals, "real tiles")
    count = len(reals) // 2
    if count < FEWEST_JUDGED:
        found = f"{len(reals)} real tiles: two halves of {count}"
        raise TilesError(found, f"the judge needs {2 * FEWEST_JUDGED} real tiles or more")
    encoder = fit_encoder(reals[:count])
    training = thumbnails(reals[: 2 * count])
    if held_out is None:
        memory = nearness(training[count:], training, np.arange(count, 2 * count))
    else:
        check_tiles(held_out, "held-out tiles", like=reals)
        memory = nearness(thumbnails(held_out), training)
    floors = _floors(reals[: 2 * count], encoder) | published_distances(reals[:count], reals[count : 2 * count])
    return Reference(describe(reals[:count], encoder), training, encoder, {**floors, "memory": memory})


def _floors(reals: Tiles, encoder: list[Layer]) -> dict[str, float]:
    """Each score of one half of the reals against the other, mean over random splits: one split alone is a draw."""
    found = [measure(describe(one, encoder), describe(other, encoder)) for one, other in random_halves(reals)]
    return {name: sum(values[name] for values in found) / SPLITS for name in found[0]}


def random_halves(reals: NDArray[Number]) -> Iterator[tuple[NDArray[Number], NDArray[Number]]]:
    """The rows of `[2N, …]` as two halves, three times over, each time in another order; always the same ones."""
    for split in range(SPLITS):
        order = generator(0, Purpose.JUDGE, step=split, lane=4).permutation(len(reals))
        one, other = np.split(reals[order], 2)
        yield one, other


def reference_of(
    tile_set: TileSet, tiles_per_side: int, seed: int, reals: Callable[[], Tiles] | None = None
) -> Reference:
    """The reference of 2 · `tiles_per_side` tiles of a set: made once, then kept in the set's own folder or prefix,
    under `judge/`. Where that cannot be written it is made every time.

    Args:
        tile_set: where from.
        tiles_per_side: N.
        seed: see `pick_tiles`.
        reals: gives the 2N tiles that `pick_tiles` would read, where somebody else reads them, too.

    Raises:
        TilesError: the set has fewer tiles, or they are too few.
        CorruptData: what is kept differs from its digest.
        StoreError: the set cannot be read.
    """
    key = f"{FOLDER}/{tile_set.digest[:16]}-{tiles_per_side}-{seed}-v{VERSION}.reference"
    if tile_set.store.exists(key):
        return load_reference(tile_set.store.read(key))
    reference = make_reference(reals() if reals else pick_tiles(tile_set, 2 * tiles_per_side, seed))
    with suppress(StoreForbidden):
        tile_set.store.write(key, save_reference(reference))
    return reference


def save_reference(reference: Reference) -> bytes:
    """The reference as bytes."""
    half = reference.half
    arrays: dict[str, NDArray[Any]] = {
        "tiles": half.tiles, "spectrum": half.spectrum, "histogram": half.histogram, "shallow": half.features.shallow,
        "deep": half.features.deep, "ms_ssim": np.array([half.ms_ssim]), "training": reference.training,
    }  # fmt: skip
    for number, layer in enumerate(reference.encoder):
        arrays |= {f"encoder.{number}.weights": layer.weights, f"encoder.{number}.biases": layer.biases}
    arrays |= {f"floors.{name}": np.array([value]) for name, value in reference.floors.items()}
    return seal(arrays, VERSION)


def load_reference(raw: bytes) -> Reference:
    """What `save_reference` wrote.

    Raises:
        CorruptData: the bytes differ from their digest, or another version of the scores wrote them.
    """
    arrays = unseal(raw, VERSION, WHAT)
    layers = sum(name.endswith(".weights") for name in arrays)
    floors = {name.removeprefix("floors."): float(value[0]) for name, value in arrays.items() if "floors." in name}
    training, tiles = arrays["training"], arrays["tiles"]
    half = Description(
        tiles,
        arrays["spectrum"],
        arrays["histogram"],
        Extracted(arrays["shallow"], arrays["deep"]),
        training[: len(tiles)],
        float(arrays["ms_ssim"][0]),
    )
    encoder = [Layer(arrays[f"encoder.{n}.weights"], arrays[f"encoder.{n}.biases"]) for n in range(layers)]
    return Reference(half, training, encoder, floors)
