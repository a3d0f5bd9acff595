"""What is the same tile again is found, what is merely the same place is not."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from satgan.tiles.duplicates import find_duplicates, prints_of
from satgan.tiles.figures import luminance_sums
from satgan.tiles.inspect import DEFAULT_LIMITS, Rejection, limits_from
from tests.tiles.sample_tiles import Pixels, read_tile, textured


def duplicates_of(tiles: Pixels, **limits: str) -> dict[int, tuple[Rejection, int]]:
    prints = prints_of(tiles, luminance_sums(np.moveaxis(tiles, 3, 0)))
    return find_duplicates(prints, lambda numbers: tiles[numbers], limits_from(limits) if limits else DEFAULT_LIMITS)


def real_tiles(shared_data: Path, folder: str, every: int = 1) -> Pixels:
    return np.stack([read_tile(path) for path in sorted((shared_data / "tiles64" / folder).iterdir())[::every]])


def saved_again(tiles: Pixels, quality: int) -> Pixels:
    """The tiles as JPEG would give them back."""
    again = []
    for tile in tiles:
        data = io.BytesIO()
        Image.fromarray(tile).save(data, "JPEG", quality=quality)
        again.append(np.asarray(Image.open(data)))
    return np.stack(again)


def test_every_exact_repetition_leads_to_the_first() -> None:
    tiles = textured(40, 16)
    numbers = np.random.Generator(np.random.Philox(3)).integers(0, 40, 100)
    found = duplicates_of(tiles[numbers])
    firsts = {int(number): int(np.flatnonzero(numbers == number)[0]) for number in numbers}
    wanted = {at: firsts[int(number)] for at, number in enumerate(numbers) if firsts[int(number)] != at}
    assert {at: first for at, (_, first) in found.items()} == wanted
    assert {rejection.reason for rejection, _ in found.values()} == {"duplicate"}


@pytest.mark.parametrize("folder", ["naip_nd_5m", "nepal_oam_0.27m", "nepal_oam_0.53m", "sentinel2_de_100m"])
def test_the_same_place_later_or_half_a_tile_on_is_no_duplicate(shared_data: Path, folder: str) -> None:
    assert duplicates_of(real_tiles(shared_data, folder)) == {}


@pytest.mark.parametrize("folder", ["naip_nd_5m", "nepal_oam_0.27m", "sentinel2_de_100m"])
def test_the_same_tile_saved_again_is_a_near_duplicate(shared_data: Path, folder: str) -> None:
    tiles = real_tiles(shared_data, folder, every=5)
    brighter: NDArray[np.uint8] = np.minimum(tiles, 251) + np.uint8(4)
    for again, least in ((brighter, 0.98), (saved_again(tiles, 95), 0.95), (saved_again(tiles, 85), 0.9)):
        found = duplicates_of(np.concatenate([tiles, again]))
        right = [at for at, (rejection, first) in found.items() if first == at - len(tiles)]
        assert len(right) == len(found)
        assert len(right) >= least * len(tiles)


def test_of_a_chain_only_what_repeats_a_kept_tile_goes() -> None:
    tile = textured(1, 16)[0] // np.uint8(2)
    steps = np.stack([tile + np.uint8(5 * step) for step in range(3)])
    found = duplicates_of(steps)
    assert {at: (rejection.reason, first) for at, (rejection, first) in found.items()} == {1: ("near-duplicate", 0)}


def test_they_are_not_looked_for_when_switched_off() -> None:
    tiles = textured(1, 16).repeat(3, axis=0)
    assert duplicates_of(tiles, duplicate="off", **{"near-duplicate": "off"}) == {}
    assert duplicates_of(tiles[:1]) == {}
