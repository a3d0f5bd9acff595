"""IDX files, the format of MNIST and its kin: images with their labels, gzipped or not.

An IDX file is two zero bytes, the type of its values (8: unsigned bytes), the number of dimensions, each dimension as a
big-endian 32-bit number, and the values. `…images-idx3…` has `…labels-idx1…` beside it.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.errors import TilesError
from satgan.tiles.decode import LARGEST_TILE_PIXELS
from satgan.tiles.records import Place, Tile
from satgan.tiles.store import Store, open_store

UNSIGNED_BYTES = 8
LARGEST_FILE_BYTES = 2**31
IMAGES, LABELS = "images-idx3", "labels-idx1"
REMEDY = "give an …images-idx3… file, or a folder with some; labels lie beside as …labels-idx1…"


def holds_images(name: str) -> bool:
    """Whether a file is called as IDX files of images are."""
    return IMAGES in name or IMAGES.replace("-", ".") in name


class IdxImages(NamedTuple):
    """The images of one file: name, `[n, H, W] uint8`, and their labels, `[n] uint8`, where there are any."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None

    def tiles(self) -> Iterator[Tile]:
        """The images as tiles `[H, W, 1]` in order; their row in the side table is their number."""
        for number, image in enumerate(self.images):
            label = None if self.labels is None else str(self.labels[number])
            yield Tile(f"{self.name}_{number:05d}", image[:, :, None], 0.0, Place(self.name, number, label=label))


def read_idx(source: str) -> list[IdxImages]:
    """All IDX images behind a path: those of one file, or of all image files of a folder or prefix, by name.

    Raises:
        StoreMissing: no such file, folder or bucket.
        TilesError: no IDX images, a truncated file, labels that do not fit, images not square or unlike each other.
    """
    store, names = _image_files(source)
    found = [_read_images(store, name) for name in names]
    for item in found:
        height, width = item.images.shape[1:]
        if height != width:
            raise TilesError(f"{store.url}/{item.name} has images of {width} × {height}", "tiles are square")
        if item.images.shape[1:] != found[0].images.shape[1:]:
            raise TilesError(f"{item.name} and {found[0].name} have images of different sizes", "pack them apart")
    return found


def _image_files(source: str) -> tuple[Store, list[str]]:
    above, _, name = source.rstrip("/").rpartition("/")
    parent = open_store(above or ("/" if source.startswith("/") else "."))
    if name and above not in ("s3:", "s3:/") and parent.exists(name):
        return parent, [name]
    store = open_store(source)
    names = [name for name, _ in store.list() if holds_images(name)]
    if not names:
        raise TilesError(f"no IDX images in {store.url}", REMEDY)
    return store, names


def _read_images(store: Store, name: str) -> IdxImages:
    images = _read_array(store, name)
    if images.ndim != 3 or images.shape[1] * images.shape[2] > LARGEST_TILE_PIXELS or not images.size:
        raise TilesError(f"{store.url}/{name} holds no images: its dimensions are {images.shape}", REMEDY)
    labels_name = name.replace(IMAGES, LABELS).replace("images.idx3", "labels.idx1")
    if labels_name == name or not store.exists(labels_name):
        return IdxImages(name, images, None)
    labels = _read_array(store, labels_name)
    if labels.shape != (len(images),):
        raise TilesError(
            f"{store.url}/{labels_name} has {labels.size} labels for {len(images)} images of {name}",
            "put the labels of the same images there, or none",
        )
    return IdxImages(name, images, labels)


def _read_array(store: Store, name: str) -> NDArray[np.uint8]:
    data = _unzipped(store.read(name), f"{store.url}/{name}")
    header_bytes = 4 + 4 * data[3] if len(data) >= 4 else 4
    if len(data) < header_bytes or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTES or not 1 <= data[3] <= 3:
        raise TilesError(f"{store.url}/{name} is no IDX file of bytes: it begins with {data[:4].hex(' ')}", REMEDY)
    shape = tuple(int(length) for length in np.frombuffer(data[4:header_bytes], ">u4"))
    wanted = int(np.prod(shape, dtype=object))
    if len(data) - header_bytes != wanted:
        raise TilesError(
            f"{store.url}/{name} holds {len(data) - header_bytes} values, its header says {wanted}", "fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=header_bytes).reshape(shape)


def _unzipped(data: bytes, name: str) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(data, LARGEST_FILE_BYTES)
    except zlib.error as error:
        raise TilesError(f"{name} cannot be unzipped: {error}", "fetch it again") from error
    if inflater.unconsumed_tail or not inflater.eof:
        what = "unzips to more than 2 GB" if inflater.unconsumed_tail else "is truncated"
        raise TilesError(f"{name} {what}", "fetch it again")
    return plain
