"""The Turing test: fakes and real tiles in one grid for people to tell apart, and a machine that does the same."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from satgan.errors import InputError, TilesError
from satgan.gallery.draw import open_checkpoint
from satgan.gallery.judgement import Side, open_side, refuse_other_shape
from satgan.gallery.turing_page import answers_page, quiz_page, seal
from satgan.judge.guesses import Estimate
from satgan.judge.two_sample import FEWEST_PER_SIDE, tell_apart
from satgan.randomness import Purpose, generator
from satgan.tiles.pixels import augment_dihedral
from satgan.tiles.store import Store, open_store

Tiles = NDArray[np.uint8]

FEWEST_PAIRS = 4
"""As the lady had: with fewer not even all right answers would mean something."""

MACHINE_TILES = 1024
MACHINE_PIXELS = 2**24
"""What the machine gets of each side at most: tiles, and pixels in all of them; but never too few tiles."""

QUIZ_NAME, ANSWERS_NAME = "turing.html", "answers.html"


class Turing(NamedTuple):
    """What was written, and what the machine found.

    Attributes:
        quiz: url of the page.
        answers: url of the sheet of answers, to be kept apart from it.
        page: the first digits of the page's digest; both files show them.
        machine: None where there were too few real tiles for it.
    """

    quiz: str
    answers: str
    page: str
    machine: Estimate | None


def turing(checkpoint: str, tiles: str, pairs: int, seed: int, out: str) -> Turing:
    """Writes the page `turing.html` and its answers, `answers.html`. The same arguments give the same tiles in the
    same order, and on the same machine the same bytes.

    Args:
        checkpoint: url of a checkpoint or a run; or of fakes drawn before, a tile set or a folder of images.
        tiles: real tiles: a tile set or a folder of images.
        pairs: fakes on the page, and as many real tiles.
        seed: of the noise, the choice of tiles and their order.
        out: folder or prefix.

    Raises:
        InputError: too few pairs, or `out` holds an earlier test.
        TilesError: too few tiles on a side, or sides of different shape.
        CheckpointError, CorruptData, StoreError: a side cannot be used, or `out` cannot be written.
    """
    store = open_store(out)
    _refuse_earlier(store)
    fakes, reals, name = _both_sides(checkpoint, tiles, pairs, seed)
    machine = tell_apart(fakes[pairs:], reals[pairs:]) if len(fakes) > pairs else None
    order = generator(seed, Purpose.JUDGE, lane=6).permutation(2 * pairs)
    shown = np.concatenate([fakes[:pairs], reals[:pairs]])[order]
    is_fake = [bool(number < pairs) for number in order]
    page = seal(shown, is_fake, name, _last_part(tiles), machine)
    store.write(ANSWERS_NAME, answers_page(page, shown).encode())
    store.write(QUIZ_NAME, quiz_page(page, shown).encode())  # last: who has a quiz has its answers
    place = store.url.rstrip("/")
    return Turing(f"{place}/{QUIZ_NAME}", f"{place}/{ANSWERS_NAME}", page.name, machine)


def _refuse_earlier(store: Store) -> None:
    """People may be answering an earlier test, and its answers are nowhere else."""
    there = [name for name in (QUIZ_NAME, ANSWERS_NAME) if store.exists(name)]
    if there:
        found = f"{store.url} holds {' and '.join(there)} of an earlier test already"
        raise InputError(found, "give another --out, or remove what is there; nothing was written")


def _both_sides(fakes: str, reals: str, pairs: int, seed: int) -> tuple[Tiles, Tiles, str]:
    """As many fakes as reals, those for the page first, then those for the machine; and what drew the fakes."""
    if pairs < FEWEST_PAIRS:
        raise InputError(f"--pairs {pairs}", f"ask for {FEWEST_PAIRS} pairs or more")
    fake_side, real_side = open_side(fakes, seed), open_side(reals, seed)
    refuse_other_shape(fake_side, real_side)
    spare = min(_spare(side, pairs) for side in (fake_side, real_side))
    count = pairs + (spare if spare >= FEWEST_PER_SIDE else 0)
    drawn, taken = fake_side.take(count), real_side.take(count)
    if fake_side.available is not None:
        return drawn, taken, _last_part(fakes)
    checkpoint = open_checkpoint(fakes)
    config = checkpoint.config()
    seen = _turned(taken, seed) if config.tiles.augment == "dihedral" else taken
    return drawn, seen, f"{config.train.name} after step {checkpoint.step:,}"


def _spare(side: Side, pairs: int) -> int:
    """How many tiles of a side the machine gets."""
    if side.available is not None and side.available < pairs:
        found = f"--pairs {pairs} needs {pairs} tiles of {side.url}, which has {side.available}"
        raise TilesError(found, f"ask for {side.available} at most")
    most = max(FEWEST_PER_SIDE, min(MACHINE_TILES, MACHINE_PIXELS // side.size**2))
    return most if side.available is None else min(most, side.available - pairs)


def _turned(tiles: Tiles, seed: int) -> Tiles:
    """Flipped and turned at random, as the networks saw them: shadows that all fall one way would give real tiles
    away, and the generator was never told of them."""
    codes = generator(seed, Purpose.JUDGE, lane=7).integers(0, 8, len(tiles))
    turned: Tiles = augment_dihedral(torch.from_numpy(tiles), torch.from_numpy(codes)).contiguous().numpy()
    return turned


def _last_part(url: str) -> str:
    """What a page calls a place: no more of its path, as pages are passed on."""
    return url.rstrip("/").rsplit("/", 1)[-1]
