"""Folders and prefixes of PNG, JPEG, WebP or BMP tiles: packed on demand, or once on first use."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from satgan.errors import StoreMissing, TilesError
from satgan.tiles.decode import TILE_FILE_ENDINGS, TileShape, decode_tile, tile_shape
from satgan.tiles.idx import holds_images
from satgan.tiles.inspect import DEFAULT_LIMITS, Limits, Rejection
from satgan.tiles.manifest import MANIFEST_NAME
from satgan.tiles.records import Place, Tile
from satgan.tiles.shards import PackReport, pack, packed_once
from satgan.tiles.sources import label_of
from satgan.tiles.store import FolderStore, Listing, Store, open_store
from satgan.tiles.tile_set import MAKE_ONE, TileSet, open_tile_set

Item = TypeVar("Item")
Result = TypeVar("Result")

HEADER_BYTES = 65536
"""Within so many bytes a PNG or JPEG says its size, unless it carries unusual amounts of metadata."""

CONNECTIONS = 16
FETCHED_AT_ONCE = 256


def open_or_pack(source: str, cache_folder: Path, seed: int) -> TileSet:
    """The tile set at `source`; a folder or prefix of PNG or JPEG tiles is packed into `cache_folder` on first use.

    It is packed anew when a name or file size in it changes, and once for every seed.

    Args:
        source: a tile set, or a folder or `s3://` prefix of tiles.
        cache_folder: where sets packed on first use are kept, each in a folder named by its hash.
        seed: of the shuffle when packing.

    Raises:
        StoreMissing: no such folder or bucket.
        TilesError: neither a tile set nor usable tiles there.
    """
    store = open_store(source, CONNECTIONS)
    if store.exists(MANIFEST_NAME):
        return open_tile_set(source)
    identity = json.dumps([_place(store), seed, _image_listing(store)])
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return packed_once(cache_folder / name, lambda destination: pack_folder(source, destination, seed))


class TileFolder(NamedTuple):
    """A folder or prefix of tiles, looked at but not read: its files, and the size and channels that most have."""

    store: Store
    listing: Listing
    shape: TileShape

    @property
    def name(self) -> str:
        """For the manifest."""
        return self.store.folder.resolve().name if isinstance(self.store, FolderStore) else self.store.url

    def tiles(self) -> Iterator[Tile]:
        """All tiles in order of their names, decoded by threads; what cannot be decoded says why."""
        names = [name for name, _ in self.listing]
        return _each(lambda name: _tile(self.store, name), names)


def look_at_folder(source: str) -> TileFolder:
    """What is in a folder or prefix of tiles; the most common square size and channel count are the set's.

    Raises:
        StoreMissing: no such folder or bucket.
        TilesError: no usable tiles there.
    """
    store = open_store(source, CONNECTIONS)
    listing = _image_listing(store)
    return TileFolder(store, listing, _common_shape(store, listing))


def pack_folder(
    source: str,
    destination: str,
    seed: int,
    limits: Limits = DEFAULT_LIMITS,
    seen: Callable[[int], None] = lambda count: None,
) -> PackReport:
    """Pack a folder or `s3://` prefix of small pictures, all levels of it, in the order of their names.

    The most common square size and channel count are the set's; other tiles are rejected by name. The first folder of
    a tile's path is its label in the side table. See `pack`.

    Raises:
        StoreMissing: no such folder or bucket.
        TilesError: no usable tiles there, or the destination is taken.
    """
    folder = look_at_folder(source)
    shape = folder.shape
    return pack(
        folder.tiles(), destination, size=shape.height, channels=shape.channels, seed=seed, source=folder.name, cut={},
        limits=limits, seen=seen,
    )  # fmt: skip


def _place(store: Store) -> str:
    return str(store.folder.resolve()) if isinstance(store, FolderStore) else store.url


def _image_listing(store: Store) -> Listing:
    try:
        there = store.list()
    except StoreMissing as error:
        if holds_images(store.url.rpartition("/")[2]):
            raise _is_idx(store.url, "is no tile set, but an IDX file of images") from error
        raise StoreMissing(error.found, f"check the spelling; {MAKE_ONE}") from error
    listing = [entry for entry in there if entry[0].lower().endswith(TILE_FILE_ENDINGS)]
    if not listing:
        if idx := next((name for name, _ in there if holds_images(name)), None):
            raise _is_idx(store.url, f"holds no tile set, but IDX files of images, such as {idx}")
        raise TilesError(f"no tile set in {store.url}, and no PNG, JPEG, WebP or BMP tiles either", MAKE_ONE)
    return listing


def _is_idx(url: str, what: str) -> TilesError:
    return TilesError(
        f"{url} {what}", f"pack it: `satgan tiles pack {url} DESTINATION --format idx`, then give --tiles DESTINATION"
    )


def _common_shape(store: Store, listing: Listing) -> TileShape:
    """The most common square shape, by the files' headers alone; of equally common ones the first by name."""
    shapes = Counter(shape for shape in _each(lambda entry: _shape(store, *entry), listing) if shape)
    square = [shape for shape, _ in shapes.most_common() if shape.height == shape.width]
    if square:
        return square[0]
    if shapes:
        height, width, _ = shapes.most_common(1)[0][0]
        raise TilesError(f"the tiles in {store.url} are not square: {width} × {height}", "use `satgan tiles cut`")
    first = listing[0][0]
    decode_tile(store.read(first), f"{store.url}/{first}")
    raise TilesError(f"no header of {len(listing)} images in {store.url} can be read", "export them again")


def _shape(store: Store, name: str, file_bytes: int) -> TileShape | None:
    head = bytearray(min(file_bytes, HEADER_BYTES))
    store.read_range_into(name, 0, memoryview(head))
    try:
        return tile_shape(bytes(head), name)
    except TilesError:
        return None


def _tile(store: Store, name: str) -> Tile:
    place = Place(name, label=label_of(name))
    try:
        decoded = decode_tile(store.read(name), name)
    except TilesError as error:
        return Tile(name, Rejection("undecodable", detail=error.found), 0.0, place)
    return Tile(name, decoded.pixels, decoded.masked_share, place)


def _each(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`map` by threads, in order, with a bounded number of results ahead."""
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for first in range(0, len(items), FETCHED_AT_ONCE):
            yield from threads.map(function, items[first : first + FETCHED_AT_ONCE])
