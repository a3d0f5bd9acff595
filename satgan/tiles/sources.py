"""The rasters that a cut was given: files, folders of them, objects and prefixes on S3, one like the other."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from satgan.errors import StoreMissing, TilesError
from satgan.tiles.formats import HEAD_BYTES
from satgan.tiles.store import FolderStore, Listing, Store, open_store

RASTER_FILE_ENDINGS = (".tif", ".tiff", ".jp2", ".j2k", ".png", ".jpg", ".jpeg", ".webp", ".bmp")


class Source(NamedTuple):
    """A raster file: its name in side tables, where it lies, its size, and the label of its class folder if any."""

    name: str
    store: Store
    key: str
    size_bytes: int
    label: str | None = None

    @property
    def url(self) -> str:
        """Where it lies, for messages."""
        return f"{self.store.url}/{self.key}"

    @property
    def path(self) -> Path | None:
        """Its path if it is a local file."""
        return self.store.folder / self.key if isinstance(self.store, FolderStore) else None

    def head(self) -> bytes:
        """Its first bytes."""
        head = bytearray(min(self.size_bytes, HEAD_BYTES))
        if head:
            self.store.read_range_into(self.key, 0, memoryview(head))
        return bytes(head)


def find_sources(given: Sequence[str], connections: int = 16) -> list[Source]:
    """All rasters that the words of a command line lead to, in that order, those of a folder by name.

    Args:
        given: files, folders (all levels of them), `s3://` objects or prefixes.
        connections: how many threads will read them at the same time.

    Raises:
        StoreMissing: no such file, folder, object or bucket.
        TilesError: no rasters in one of them.
    """
    found = [source for word in given for source in _behind(word, connections)]
    names = Counter(source.name for source in found)
    return [source if names[source.name] == 1 else source._replace(name=source.url) for source in found]


def _behind(word: str, connections: int) -> list[Source]:
    above, key = _parent(word)
    single = open_store(above, connections)
    if isinstance(single, FolderStore):
        listing = [(key, (single.folder / key).stat().st_size)] if single.exists(key) else []
    else:
        listing = [entry for entry in single.list(key) if entry[0] == key] if key else []
    if listing:
        return [Source(key, single, key, listing[0][1])]
    store = open_store(word, connections)
    return [
        Source(key, store, key, size_bytes, label_of(key)) for key, size_bytes in _rasters(store) if size_bytes >= 0
    ]


def _parent(word: str) -> tuple[str, str]:
    """The store above a file or object, and its key there; no key for a bucket itself."""
    if word.startswith("s3://"):
        above, _, key = word.rstrip("/").rpartition("/")
        return (word, "") if above in ("s3:", "s3:/") else (above, key)
    path = Path(word).expanduser()
    return str(path.parent), path.name or "."


def _rasters(store: Store) -> Listing:
    try:
        listing = store.list()
    except StoreMissing as error:
        raise StoreMissing(error.found, "check the spelling: a raster, a folder of rasters, or s3://…") from error
    found = [entry for entry in listing if entry[0].lower().endswith(RASTER_FILE_ENDINGS)]
    if not found and not isinstance(store, FolderStore) and not listing:
        raise StoreMissing(f"no such object or prefix: {store.url}", "check the spelling and AWS_ENDPOINT_URL")
    if not found:
        endings = ", ".join(RASTER_FILE_ENDINGS)
        raise TilesError(f"no rasters in {store.url}", f"give files, or a folder or prefix with {endings} files")
    return found


def label_of(key: str) -> str | None:
    """The class of a file in a tree of class folders: the first folder of its key."""
    folder, slash, _ = key.partition("/")
    return folder if slash else None
