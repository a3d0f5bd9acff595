"""New tiles from a checkpoint: a file each, a sheet, one array, or a tile set."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Literal

import numpy as np

from satgan.errors import InputError, StoreMissing
from satgan.gallery.draw import BATCH, Artist, Choice, Tiles, draw_tiles, open_artist
from satgan.pictures.grid import grid_png, png
from satgan.tiles.inspect import NO_LIMITS
from satgan.tiles.npy import write_npy
from satgan.tiles.records import Place, Tile
from satgan.tiles.shards import pack
from satgan.tiles.spool import in_order
from satgan.tiles.store import Store, open_store
from satgan.train.checkpoint import COMPLETE_NAME

Form = Literal["files", "grid", "npy", "set"]
Progress = Callable[[int, int | None], None]
"""Told how many more tiles there are, and how many there will be."""

GRID_NAME, ARRAY_NAME = "grid.png", "tiles.npy"
DRAWING_NAME = ".drawing.json"
"""Lies beside files as long as some are missing, and says which they are: the same call again goes on there."""

ASIDE = (".tile-", f".{DRAWING_NAME}.")
"""Of what is unfinished there, how the names begin of what killed calls left."""

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
        out: folder or prefix for what is written; for files and a set one that holds nothing, or for files what the
            same call left that was interrupted.
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
    if channels not in PNG_CHANNELS:
        found = f"tiles of {channels} channels do not fit into PNG files"
        raise InputError(found, "take --npy or --set, which keep all of them, or --grid, which shows three")
    there = _begin(store, _drawing(artist, count), count)
    progress(len(there), count)

    def write(numbered: tuple[int, Tiles]) -> None:
        number, tile = numbered
        store.write(_file(number), png(tile))

    missing = (number for number in range(count) if _file(number) not in there)
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in in_order(pool, write, _numbered(artist, missing), 2 * WRITERS):
            progress(1, count)
    store.delete(DRAWING_NAME)
    return store.url


def _drawing(artist: Artist, count: int) -> bytes:
    """All that files follow from."""
    checkpoint = artist.checkpoint.store.read(COMPLETE_NAME).decode().strip()
    device = next(artist.network.parameters()).device.type
    return json.dumps(artist.choice._asdict() | {"checkpoint": checkpoint, "count": count, "device": device}).encode()


def _begin(store: Store, drawing: bytes, count: int) -> set[str]:
    """Notes what will be drawn; returns which of its files are there from a call that was interrupted.

    Files are drawn into a folder of their own: among others nobody could tell which are of this checkpoint.

    Raises:
        InputError: others are there.
    """
    try:
        keys = {key for key, _ in store.list()}
    except StoreMissing:  # it is made by the first write
        keys = set()
    there = {key for key in keys if not key.startswith(".")}  # as file browsers leave them
    is_begun = DRAWING_NAME in keys
    goes_on = is_begun and store.read(DRAWING_NAME) == drawing
    others = there.difference(map(_file, range(count))) if goes_on else there
    if others:
        why = f"; another drawing was interrupted there ({DRAWING_NAME})" if is_begun and not goes_on else ""
        found = f"{store.url} holds {len(others):,} file(s) already, such as {min(others)}{why}"
        raise InputError(found, "give another --out, or remove what is there; nothing was written")
    store.write(DRAWING_NAME, drawing)
    for name, _ in store.unfinished():
        if name.startswith(ASIDE):
            store.delete(name)
    return there


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
        Tile(_name(number), tile, place=Place(url, row=number)) for number, tile in _numbered(artist, range(count))
    )
    report = pack(
        tiles, out, size=gan.size, channels=gan.channels, seed=choice.seed, source=f"drawn from {url}",
        cut={"drawn": choice._asdict()}, limits=NO_LIMITS, seen=lambda seen: progress(seen, count),
    )  # fmt: skip
    return report.url


def _numbered(artist: Artist, numbers: Iterable[int]) -> Iterator[tuple[int, Tiles]]:
    """The tiles of these numbers, each with its own, drawn batch by batch."""
    left = iter(numbers)
    while some := list(islice(left, BATCH)):
        noise = np.concatenate([artist.noise(number, 1) for number in some])
        yield from zip(some, draw_tiles(artist.network, noise), strict=True)


def _name(number: int) -> str:
    return f"tile-{number:06d}"


def _file(number: int) -> str:
    return f"{_name(number)}.png"


WAYS: dict[Form, Callable[[Artist, int, str, Progress], str]] = {
    "files": _files,
    "grid": _grid,
    "npy": _array,
    "set": _set,
}
