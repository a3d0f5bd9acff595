"""Tiles with their names and classes, one after the other: of a tile set, or a folder or prefix of images."""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import numpy as np

from satgan.errors import StoreMissing, TilesError
from satgan.gallery.draw import BATCH, Tiles
from satgan.tiles.images import TileFolder, look_at_folder
from satgan.tiles.manifest import MANIFEST_NAME
from satgan.tiles.records import TILES_NAME, read_names, read_places
from satgan.tiles.sources import label_of
from satgan.tiles.store import FolderStore, open_store
from satgan.tiles.tile_set import TileSet, open_tile_set

By = Literal["label", "source"]
TABLE_ENDINGS = (".parquet", ".csv")


class Collection(NamedTuple):
    """Tiles that were looked at but not read. N tiles.

    Attributes:
        url: as it was given.
        names: of the tiles, N of them.
        labels: class of each, None where it has none.
        size: height and width of the tiles in pixels.
        channels: of the tiles.
        batches: all of them in order, up to 64 at a time, `[n, S, S, C] uint8`.
    """

    url: str
    names: list[str]
    labels: list[str | None]
    size: int
    channels: int
    batches: Callable[[], Iterator[Tiles]]


def open_collection(url: str, by: By = "label", table: str | None = None) -> Collection:
    """The tiles at a url.

    Args:
        url: a tile set, or a folder or prefix of images, whose first folders are the classes.
        by: column of the set's tiles.parquet that says the class; a folder has labels only.
        table: Parquet or CSV file with the columns name and label, in place of these.

    Raises:
        StoreMissing: nothing there.
        TilesError: no tiles there, or a table without these columns.
    """
    store = open_store(url)
    if isinstance(store, FolderStore) and not store.folder.is_dir():
        raise StoreMissing(f"no such folder: {url}", "give a tile set, or a folder or s3:// prefix of images")
    found = _of_set(url, by) if store.exists(MANIFEST_NAME) else _of_folder(url, by)
    if table is None:
        return found
    labels = _table(table)
    return found._replace(labels=[labels.get(name) for name in found.names])


def checked_tiles(folder: TileFolder) -> Iterator[Tiles]:
    """The pixels of a folder's tiles, `[S, S, C] uint8` each.

    Raises:
        TilesError: one is no image, or of another shape than most.
    """
    expected = (folder.shape.height, folder.shape.width, folder.shape.channels)
    for tile in folder.tiles():
        if not isinstance(tile.pixels, np.ndarray) or tile.pixels.shape != expected:
            shape = " × ".join(map(str, expected))
            wrong = f"is not {shape} like most there" if isinstance(tile.pixels, np.ndarray) else "is no image"
            found = f"{folder.store.url}/{tile.name} {wrong}"
            raise TilesError(found, "remove it, or give what `satgan tiles pack` makes of the folder")
        yield tile.pixels


def _of_set(url: str, by: By) -> Collection:
    tile_set = open_tile_set(url)
    about, store = tile_set.manifest, tile_set.store
    if store.exists(TILES_NAME):
        names, labels = read_places(store.read(TILES_NAME), by)
    else:
        names, labels = [f"tile {number}" for number in range(about.tile_count)], [None] * about.tile_count
    return Collection(url, names, labels, about.size, about.channels, lambda: _batches_of_set(tile_set))


def _batches_of_set(tile_set: TileSet) -> Iterator[Tiles]:
    for piece in range(tile_set.manifest.piece_count):
        tiles = tile_set.read_piece(piece)
        yield from (tiles[first : first + BATCH] for first in range(0, len(tiles), BATCH))


def _of_folder(url: str, by: By) -> Collection:
    folder = look_at_folder(url)
    names = [name for name, _ in folder.listing]
    labels = [label_of(name) if by == "label" else None for name in names]
    return Collection(
        url, names, labels, folder.shape.height, folder.shape.channels, lambda: _batches_of_folder(folder)
    )


def _batches_of_folder(folder: TileFolder) -> Iterator[Tiles]:
    batch: list[Tiles] = []
    for tile in checked_tiles(folder):
        batch.append(tile)
        if len(batch) == BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def _table(url: str) -> dict[str, str]:
    above, _, name = url.rpartition("/")
    ending = PurePosixPath(name).suffix.lower()
    remedy = "give a Parquet or CSV file with the columns name and label"
    if ending not in TABLE_ENDINGS:
        raise TilesError(f"{url} is no table of labels", remedy)
    data = open_store(above or ("/" if url.startswith("/") else ".")).read(name)
    try:
        return read_names(data, is_csv=ending == ".csv")
    except (KeyError, ValueError) as error:
        raise TilesError(f"{url} cannot be read as a table of labels: {error}", remedy) from None
