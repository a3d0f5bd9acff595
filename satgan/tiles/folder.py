"""What a store is, and the local one. `store.py` has the other and opens either."""

import errno
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path, PurePosixPath

from satgan.errors import CorruptData, SatganError, StoreForbidden, StoreFull, StoreMissing, StoreUnreachable
from satgan.tiles.aside import UNFINISHED_SUFFIX, flush_to_disk, locked, written_aside

Listing = list[tuple[str, int]]
Taker = Callable[[memoryview], object]
Check = Callable[[], None]

READ_BYTES = 2**20
"""Bytes read at a time: still in the processor's cache when they are handed to a `Taker`, and at most so many that had
arrived are lost when a connection is reset."""


def nobody(part: memoryview) -> None:
    """Takes no notice."""


def allowed() -> None:
    """No objection."""


class Store(ABC):
    """A folder or an `s3://bucket/prefix`. Keys are relative paths with `/` between their parts.

    Instances can be shared by threads and pickled. What changes something asks `open_store`'s `check`: at the last
    moment, when what is written to a folder has its bytes and only lacks its name. Every method may raise
        StoreMissing: no such folder, object or bucket;
        StoreForbidden: credentials or file permissions do not allow it;
        StoreUnreachable: no answer, or only failures, after all attempts;
        StoreFull: no space left;
        what `check` raises.
    """

    url: str

    @abstractmethod
    def list(self, prefix: str = "") -> Listing:
        """(key, bytes) of every object whose key begins with `prefix`, over all levels, sorted by key.

        A missing folder or bucket is StoreMissing; an unused prefix of a bucket is just empty.
        """

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether there is such an object; False also where the folder or bucket itself is missing."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The whole object."""

    @abstractmethod
    def read_range_into(self, key: str, offset: int, buffer: memoryview, taker: Taker = nobody) -> None:
        """Fill all of `buffer` (bytes, writable) with the object's bytes from `offset` on.

        Args:
            key: of the object.
            offset: first byte.
            buffer: for as many bytes as it has.
            taker: is given each part of `buffer` as it comes, in order, every byte once.

        Raises:
            CorruptData: the object ends before the buffer is full.
        """

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Write the object, in place of an older one; until it is whole nobody sees it under its name."""

    @abstractmethod
    def writing(self, key: str) -> AbstractContextManager[Path]:
        """A local path to write the object to, for those too large for memory (at most 5 GB): it becomes the object
        when the block is through, and nothing is left of it where that raises."""

    @abstractmethod
    def upload(self, path: Path, key: str) -> None:
        """Write a local file (at most 5 GB) as the object, seen under its name only when whole."""

    @abstractmethod
    def download(self, key: str, path: Path) -> None:
        """Write the object to a local file, seen under its name only when whole."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object; one that is not there is no error."""

    @abstractmethod
    def swap(self, key: str, expected: bytes | None, data: bytes) -> bool:
        """Write the object if it is `expected` (None: if there is none), so that of several who try at the same time
        one succeeds.

        A bucket's server that heeds no conditions may let more than one succeed; and where an answer was lost on the
        way, this may say no although it was done: who must know reads the object back.

        Returns:
            Whether it was written.
        """

    @abstractmethod
    def move(self, key: str, to: str) -> None:
        """Give the object (at most 5 GB) another key, in place of what has that one; it is never without a name."""

    @abstractmethod
    def modified(self, key: str) -> float:
        """When the object was last written, by the store's clock [seconds since 1970]."""

    @abstractmethod
    def unfinished(self) -> Listing:
        """(name, bytes) of what is being written, or was when its writer was killed; `list` does not show it."""

    @abstractmethod
    def sweep(self) -> int:
        """Remove what is unfinished, where nobody writes any more, and empty folders; returns its bytes."""

    @abstractmethod
    def child(self, name: str) -> "Store":
        """The store one level further down."""


class FolderStore(Store):
    """A local (or mounted) folder; it is made by the first write."""

    def __init__(self, folder: Path, check: Check = allowed) -> None:
        self.folder = folder
        self.url = str(folder)
        self._check = check

    def list(self, prefix: str = "") -> Listing:
        with folder_errors_told(f"list {prefix or 'what is'}", self.url):
            return sorted(item for item in self._files() if item[0].startswith(prefix))

    def _files(self) -> Iterator[tuple[str, int]]:
        for folder, _, names in os.walk(self.folder, onerror=self._walk_failed):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # removed by someone else since
                    if not name.endswith(UNFINISHED_SUFFIX):
                        yield path.relative_to(self.folder).as_posix(), path.stat().st_size

    def _walk_failed(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError) or error.filename == str(self.folder):
            raise error

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def read(self, key: str) -> bytes:
        with folder_errors_told(f"read {key}", self.url):
            return self._path(key).read_bytes()

    def read_range_into(self, key: str, offset: int, buffer: memoryview, taker: Taker = nobody) -> None:
        filled = 0
        with folder_errors_told(f"read {key}", self.url), self._path(key).open("rb", buffering=0) as file:
            file.seek(offset)
            while filled < len(buffer):
                count = file.readinto(buffer[filled : filled + READ_BYTES])
                if not count:
                    raise too_short(f"{self.url}/{key}", offset, len(buffer), os.fstat(file.fileno()).st_size)
                taker(buffer[filled : filled + count])
                filled += count

    def write(self, key: str, data: bytes) -> None:
        with self.writing(key) as aside:
            aside.write_bytes(data)

    def upload(self, path: Path, key: str) -> None:
        with self.writing(key) as aside:
            shutil.copyfile(path, aside)

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        path = self._path(key)
        with folder_errors_told(f"write {key}", self.url):
            try:
                with written_aside(path) as aside:
                    yield aside
                    self._check()
            except (OSError, SatganError):
                self._remove_empty(path)  # folders that were made for it
                raise

    def download(self, key: str, path: Path) -> None:
        with folder_errors_told(f"copy {key} to {path}", self.url), written_aside(path) as aside:
            shutil.copyfile(self._path(key), aside)

    def delete(self, key: str) -> None:
        self._check()
        with folder_errors_told(f"delete {key}", self.url):
            self._path(key).unlink(missing_ok=True)
            self._remove_empty(self._path(key))

    def _remove_empty(self, path: Path) -> None:
        """Folders that were left empty by `path`: as in a bucket, a folder is there while something is in it."""
        for folder in path.parents:
            if folder == self.folder or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()

    def swap(self, key: str, expected: bytes | None, data: bytes) -> bool:
        path = self._path(key)
        with folder_errors_told(f"write {key}", self.url), locked(path.with_name(f".{path.name}.lock")):
            found = path.read_bytes() if path.exists() else None
            if found == expected:
                self.write(key, data)
            return found == expected

    def move(self, key: str, to: str) -> None:
        path, target = self._path(key), self._path(to)
        self._check()
        with folder_errors_told(f"move {key} to {to}", self.url):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
            flush_to_disk(target.parent)
            self._remove_empty(path)

    def modified(self, key: str) -> float:
        with folder_errors_told(f"look up {key}", self.url):
            return self._path(key).stat().st_mtime

    def unfinished(self) -> Listing:
        with folder_errors_told("list unfinished files", self.url):
            found = (path for path in self.folder.rglob(f".*{UNFINISHED_SUFFIX}") if path.is_file())
            return sorted((path.relative_to(self.folder).as_posix(), path.stat().st_size) for path in found)

    def sweep(self) -> int:
        left = self.unfinished()
        self._check()
        with folder_errors_told("remove unfinished files", self.url):
            for name, _ in left:
                (self.folder / name).unlink(missing_ok=True)
            for path in sorted((path for path in self.folder.rglob("*") if path.is_dir()), reverse=True):
                if not any(path.iterdir()):
                    path.rmdir()
        return sum(size for _, size in left)

    def child(self, name: str) -> Store:
        return FolderStore(self._path(name), self._check)

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or ".." in parts:
            raise StoreForbidden(f"the key {key!r} leads out of {self.url}", "use keys below the folder")
        return self.folder.joinpath(*parts)


@contextmanager
def folder_errors_told(what: str, url: str) -> Iterator[None]:
    """Turns an OSError inside the block into the StoreError that it means; `what` completes "could not …"."""
    try:
        yield
    except OSError as error:
        raise _folder_error(f"could not {what} in {url}: {error.strerror or error}", error) from error


def _folder_error(found: str, error: OSError) -> SatganError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(found, "free some space there, or choose another folder; nothing unfinished was left behind")
    if error.errno in (errno.EEXIST, errno.EISDIR):
        return StoreForbidden(found, "something else has that name: choose another")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return StoreMissing(found, "check the spelling of the path, and that the disk is mounted")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreForbidden(found, "change the permissions (ls -ld shows them), or choose another folder")
    return StoreUnreachable(found, "check the disk or network mount behind the folder, then try again")


def too_short(url: str, offset: int, wanted_bytes: int, found_bytes: int) -> CorruptData:
    """The error for an object that ends before the range that was asked for."""
    return CorruptData(
        f"{url} is truncated: it has {found_bytes} bytes, bytes {offset} to {offset + wanted_bytes - 1} were asked for",
        "copy or pack it again from where it came",
    )
