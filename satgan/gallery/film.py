"""The training of a run as a time lapse, made of its film strips."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from satgan.errors import InputError
from satgan.gallery.draw import Tiles
from satgan.gallery.walk import picture_place
from satgan.pictures.animation import ANIMATIONS, FRAMES_PER_SECOND, animation, refuse_animation
from satgan.pictures.film import captioned, frames_of
from satgan.pictures.grid import sheet
from satgan.tiles.store import Store, open_store

STRIPS = "film/strip-"
COLUMNS = 4
SHOWN = COLUMNS**2
"""Tiles in the picture: the newest takes the place of the oldest, so that the eye can follow."""


class Shot(NamedTuple):
    """What a fresh noise vector gave after so many steps, `[S, S, C] uint8`."""

    step: int
    tile: Tiles


def film(run: str, out: str, seconds: float) -> str:
    """Writes the time lapse of a run.

    Args:
        run: url of a run.
        out: .webp, .gif or .mp4 file or object to write.
        seconds: how long it may last; of more frames than fit some are left out.

    Returns:
        The url written.

    Raises:
        ConfigError: another ending, or MP4 without ffmpeg.
        InputError: no time, or a run without film strips.
        StoreError: the run cannot be read, or `out` not written.
    """
    store, name, ending = picture_place(out, ANIMATIONS)
    refuse_animation(ending)
    if seconds <= 0:
        raise InputError(f"--seconds {seconds:g}", "a film lasts longer than that")
    shots = shots_of(open_store(run))
    wanted = min(len(shots), max(1, round(seconds * FRAMES_PER_SECOND)))
    chosen = [shots[number] for number in np.linspace(0, len(shots) - 1, wanted).round().astype(int)]
    store.write(name, animation(list(pictures_of(chosen)), ending))
    return out


def shots_of(run: Store) -> list[Shot]:
    """Every frame of a run's strips, in order; within a strip the steps are told as if evenly spaced, as they are
    unless the run was resumed there.

    Raises:
        InputError: there are none.
    """
    named = ((key, re.fullmatch(rf"{STRIPS}(\d+)\.png", key)) for key, _ in run.list(STRIPS))
    strips = [(int(match[1]), key) for key, match in named if match]
    if not strips:
        found = f"{run.url} has no film strips ({STRIPS}….png)"
        raise InputError(found, "give the folder or s3:// prefix of a run that has saved a checkpoint")
    shots: list[Shot] = []
    before = 0
    for step, key in sorted(strips):
        tiles = frames_of(run.read(key))
        steps = np.linspace(before, step, len(tiles) + 1)[1:].round().astype(int)
        shots += [Shot(int(at), tile) for at, tile in zip(steps, tiles, strict=True)]
        before = step
    return shots


def pictures_of(shots: list[Shot]) -> Iterator[Tiles]:
    """The film's pictures `[H, W, C] uint8`: one for each shot, which is in it with those before it."""
    tiles = np.full((SHOWN, *shots[0].tile.shape), 255, np.uint8)
    last = shots[-1].step
    for number, shot in enumerate(shots):
        tiles[number % SHOWN] = shot.tile
        yield captioned(sheet(tiles, COLUMNS), f"step {shot.step:,} of {last:,}", shot.step / last)
