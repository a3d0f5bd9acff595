"""New tiles from a checkpoint: a file each, a sheet, one array, or a tile set."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np

from satgan.errors import InputError, StoreMissing
from satgan.gallery.draw import Artist, Choice, Tiles, open_artist
from satgan.pictures.grid import grid_png, png
from satgan.tiles.inspect import NO_LIMITS
from satgan.tiles.npy import write_npy
from satgan.tiles.records import Place, Tile
from satgan.tiles.shards import pack
from satgan.tiles.spool import in_order
from satgan.tiles.store import Store, open_store

Form = Literal["files", "grid", "npy", "set"]
Progress = Callable[[int, int | None], None]
"""Told how many more tiles there are, and how many there will be."""

GRID_NAME, ARRAY_NAME = "grid.png", "tiles.npy"
WRITERS = 16
"""Threads that write files: each waits for the disk or the bucket most of the time."""

PNG_CHANNELS = (1, 3)


def sample(
    checkpoint: str,
    count: int,
    out: str,
    form: Form,
    choice: Choice,
    progress: Progress = lambda count, total: None,
) -> str:
    """Draws `count` tiles and writes them. Memory holds a few batches of them, but for a grid.

    Args:
        checkpoint: url of a checkpoint or a run.
        count: how many; at least 1.
        out: folder or prefix for what is written; for files and a set one that holds nothing.
        form: `files` tile-000000.png, …; `grid` one sheet, grid.png; `npy` tiles.npy, `[count, S, S, C] uint8`; `set` a
            tile set, where tile `tile-000000` has its place in the packed order.
        choice: how to draw; tile number i is the same for every count and form.
        progress: told how far it is.

    Returns:
        The url of the folder, file or set. An earlier call's grid.png or tiles.npy is replaced.

    Raises:
        InputError: nothing to draw, a folder for files that holds some, or channels that PNG files do not hold.
        TilesError: the place of a set is taken.
        ConfigError, CheckpointError, CorruptData, StoreError: as `open_artist` has them, or `out` cannot be written.
    """
    if count < 1:
        raise InputError(f"--count {count}", "ask for one tile or more")
    artist = open_artist(checkpoint, choice)
    return WAYS[form](artist, count, out, progress)


def _files(artist: Artist, count: int, out: str, progress: Progress) -> str:
    store, channels = open_store(out, connections=WRITERS), artist.config.gan.channels
    _refuse_filled(store)
    if channels not in PNG_CHANNELS:
        found = f"tiles of {channels} channels do not fit into PNG files"
        raise InputError(found, "take --npy or --set, which keep all of them, or --grid, which shows three")

    def write(numbered: tuple[int, Tiles]) -> None:
        number, tile = numbered
        store.write(f"{_name(number)}.png", png(tile))

    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in in_order(pool, write, enumerate(_each(artist, count)), 2 * WRITERS):
            progress(1, count)
    return store.url


def _refuse_filled(store: Store) -> None:
    """Files are drawn into a folder of their own: among others nobody could tell which are of this checkpoint."""
    try:
        there = [one for one in store.list() if not one[0].startswith(".")]  # as file browsers leave them
    except StoreMissing:  # it is made by the first write
        return
    if there:
        found = f"{store.url} holds {len(there):,} file(s) already, such as {there[0][0]}"
        raise InputError(found, "give another --out, or remove what is there; nothing was written")


def _grid(artist: Artist, count: int, out: str, progress: Progress) -> str:
    batches = []
    for batch in artist.batches(count):
        batches.append(batch)
        progress(len(batch), count)
    store = open_store(out)
    store.write(GRID_NAME, grid_png(np.concatenate(batches), columns=max(1, round(count**0.5))))
    return f"{store.url.rstrip('/')}/{GRID_NAME}"


def _array(artist: Artist, count: int, out: str, progress: Progress) -> str:
    store, gan = open_store(out), artist.config.gan
    shape = (count, gan.size, gan.size, gan.channels)
    with store.writing(ARRAY_NAME) as path:
        write_npy(path, shape, np.uint8, artist.batches(count), lambda rows: progress(rows, count))
    return f"{store.url.rstrip('/')}/{ARRAY_NAME}"


def _set(artist: Artist, count: int, out: str, progress: Progress) -> str:
    url, gan, choice = artist.checkpoint.store.url, artist.config.gan, artist.choice
    tiles = (
        Tile(_name(number), tile, place=Place(url, row=number)) for number, tile in enumerate(_each(artist, count))
    )
    report = pack(
        tiles, out, size=gan.size, channels=gan.channels, seed=choice.seed, source=f"drawn from {url}",
        cut={"drawn": choice._asdict()}, limits=NO_LIMITS, seen=lambda seen: progress(seen, count),
    )  # fmt: skip
    return report.url


def _each(artist: Artist, count: int) -> Iterator[Tiles]:
    for batch in artist.batches(count):
        yield from batch


def _name(number: int) -> str:
    return f"tile-{number:06d}"


WAYS: dict[Form, Callable[[Artist, int, str, Progress], str]] = {
    "files": _files,
    "grid": _grid,
    "npy": _array,
    "set": _set,
}
