"""Building a tile set aside and giving it its name at the end, so that a set that can be seen is whole."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from satgan.errors import TilesError
from satgan.tiles.aside import UNFINISHED_SUFFIX, flush_to_disk
from satgan.tiles.folder import folder_errors_told
from satgan.tiles.manifest import MANIFEST_NAME
from satgan.tiles.store import FolderStore, Store


@contextmanager
def built_aside(store: Store) -> Iterator[Path]:
    """A folder to write a tile set's files to; once the block is through they appear in `store`, the manifest last.

    For a folder it lies beside the destination and is renamed, which is one step; what killed builders of the same
    destination left there is removed. For S3 it lies where temporary files do ($TMPDIR).

    Raises:
        TilesError: the destination already holds something. Nothing is overwritten.
        StoreError: of the destination, or of the disk that is built on.
    """
    refuse_taken(store)
    if isinstance(store, FolderStore):
        with _beside(store.folder.resolve()) as folder:
            yield folder
        return
    where = tempfile.gettempdir()
    with folder_errors_told("build the tile set", where), tempfile.TemporaryDirectory(prefix="satgan-") as name:
        yield Path(name)
        for path in sorted(Path(name).iterdir(), key=lambda path: (path.name == MANIFEST_NAME, path.name)):
            store.upload(path, path.name)


def refuse_taken(store: Store) -> None:
    """TilesError where something already is: a tile set, or any file in a local folder."""
    if store.exists(MANIFEST_NAME):
        raise TilesError(f"{store.url} already holds a tile set", "choose another destination; nothing is overwritten")
    if isinstance(store, FolderStore) and store.folder.exists():
        if not store.folder.is_dir():
            raise _taken(store.folder, "is a file")
        if any(store.folder.iterdir()):
            raise _taken(store.folder, "already holds files")


def _taken(folder: Path, what: str) -> TilesError:
    return TilesError(f"{folder} {what}", "choose another destination, say a new folder; nothing is overwritten")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    with folder_errors_told("build the tile set", str(target.parent)):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        folder, descriptor = _new_folder(target)
        try:
            yield folder
            _rename(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def _new_folder(target: Path) -> tuple[Path, int]:
    """A new unfinished folder and the descriptor that locks it. One that a sweep took before it was locked is given
    up for another."""
    while True:
        folder = target.with_name(f".{target.name}.{uuid4().hex[:8]}{UNFINISHED_SUFFIX}")
        folder.mkdir()
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks: then nothing is swept
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _rename(folder: Path, target: Path) -> None:
    for path in (*folder.iterdir(), folder):
        flush_to_disk(path)
    try:
        os.rename(folder, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _taken(target, "was filled by someone else in the meantime") from error
        raise
    flush_to_disk(target.parent)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder until the block ends or this process dies; the value: whether nobody else had locked it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody holds it, or the file system has no locks: then nothing is swept
        return False
    return True


def _sweep(target: Path) -> None:
    """Remove unfinished folders of this destination whose builders are dead: nobody locks them any more."""
    for path in target.parent.iterdir():
        if path.name.startswith(f".{target.name}.") and path.name.endswith(UNFINISHED_SUFFIX):
            with suppress(FileNotFoundError), _locked(path) as abandoned:
                if abandoned:
                    shutil.rmtree(path, ignore_errors=True)
