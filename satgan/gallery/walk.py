"""Walks between noise vectors: how one tile becomes another, as a moving picture or a strip.

Noise in many dimensions lies near a sphere, so the way from one vector to another is an arc: a straight line would lead
through short vectors, whose tiles are of a kind that training never saw (White, arXiv 1609.04468).
"""

from collections.abc import Callable
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from satgan.errors import ConfigError, InputError
from satgan.gallery.draw import BATCH, Artist, Choice, Noise, Tiles, draw_tiles, open_artist
from satgan.pictures.animation import ANIMATIONS, animation, refuse_animation
from satgan.pictures.grid import png, sheet
from satgan.tiles.store import Store, open_store

Progress = Callable[[int, int | None], None]

SMALLEST_SINE = 1e-4
"""Between vectors that point nearly the same or the opposite way there is no arc to tell, and a line will do."""

STRIP_ENDING = ".png"


def slerp(first: Noise, second: Noise, share: NDArray[np.float32]) -> Noise:
    """Spherical interpolation (Shoemake 1985).

    Args:
        first: `[…, Z]`.
        second: `[…, Z]`.
        share: `[…]` in [0, 1]: 0 gives `first`, 1 `second`. Broadcast with the others.

    Returns:
        `[…, Z]`, of a length between those of the two.
    """
    share = share[..., None]
    lengths = np.linalg.norm(first, axis=-1, keepdims=True) * np.linalg.norm(second, axis=-1, keepdims=True)
    cosine = np.clip((first * second).sum(axis=-1, keepdims=True) / np.maximum(lengths, 1e-12), -1, 1)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    is_line = sine < SMALLEST_SINE
    sine = np.where(is_line, 1, sine)
    before = np.where(is_line, 1 - share, np.sin((1 - share) * angle) / sine)
    after = np.where(is_line, share, np.sin(share * angle) / sine)
    mixed: Noise = (before * first + after * second).astype(np.float32)
    return mixed


def walk_noise(stops: Noise, frames: int) -> Noise:
    """Ways round: from each stop to the next, and from the last to the first.

    Args:
        stops: `[W, K, Z]`: K stops of each of W walks.
        frames: from one stop to the next.

    Returns:
        `[W, K · frames, Z]`; frame k · frames is stop k.
    """
    share = (np.arange(frames) / frames).astype(np.float32)
    ways = slerp(stops[:, :, None], np.roll(stops, -1, axis=1)[:, :, None], share)
    return ways.reshape(len(stops), -1, stops.shape[2])


def walk(
    checkpoint: str,
    out: str,
    choice: Choice,
    *,
    stops: int,
    frames: int,
    walks: int,
    progress: Progress = lambda count, total: None,
) -> str:
    """Draws walks side by side as a moving picture that comes back to where it began, or as a strip each.

    Args:
        checkpoint: url of a checkpoint or a run.
        out: file or object to write: .webp, .gif or .mp4, or .png for strips below each other.
        choice: how to draw.
        stops: noise vectors that a walk visits; stop s of walk w is tile number w · stops + s of `sample`.
        frames: from one stop to the next; a second has 20.
        walks: how many.
        progress: told how far it is.

    Returns:
        The url written.

    Raises:
        ConfigError: another ending, or MP4 without ffmpeg.
        InputError: fewer than two stops, one frame or one walk.
        CheckpointError, CorruptData, StoreError: as `open_artist` has them, or `out` cannot be written.
    """
    store, name, ending = picture_place(out, (*ANIMATIONS, STRIP_ENDING))
    refuse_animation(ending)
    if stops < 2 or frames < 1 or walks < 1:
        found = f"--stops {stops}, --frames {frames}, --walks {walks}"
        raise InputError(found, "a walk has two stops or more, and a frame between them")
    artist = open_artist(checkpoint, choice)
    visited = artist.noise(0, walks * stops).reshape(walks, stops, -1)
    tiles = draw_all(artist, walk_noise(visited, frames), progress)
    if ending == STRIP_ENDING:
        data = png(sheet(tiles.reshape(-1, *tiles.shape[2:]), columns=tiles.shape[1]))
    else:
        columns = max(1, round(walks**0.5))
        data = animation([sheet(tiles[:, frame], columns) for frame in range(tiles.shape[1])], ending)
    store.write(name, data)
    return out


def picture_place(out: str, endings: tuple[str, ...]) -> tuple[Store, str, str]:
    """The store above a file that is to be written, its name there, and the name's ending in small letters.

    Raises:
        ConfigError: another ending than those.
    """
    above, _, name = out.rpartition("/")
    ending = PurePosixPath(name).suffix.lower()
    if ending not in endings or above in ("s3:", "s3:/"):
        raise ConfigError(f"--out {out} is no name of a file for this", f"give one that ends in {', '.join(endings)}")
    return open_store(above or ("/" if out.startswith("/") else ".")), name, ending


def draw_all(artist: Artist, noise: Noise, progress: Progress) -> Tiles:
    """All tiles `[A, B, S, S, C]` of noise `[A, B, Z]`."""
    flat, parts = noise.reshape(-1, noise.shape[2]), []
    for first in range(0, len(flat), BATCH):
        parts.append(draw_tiles(artist.network, flat[first : first + BATCH]))
        progress(len(parts[-1]), len(flat))
    tiles = np.concatenate(parts)
    return tiles.reshape(*noise.shape[:2], *tiles.shape[1:])
