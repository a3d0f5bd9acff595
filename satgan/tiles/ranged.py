"""Objects on S3 as files for GDAL: read by ranges, never downloaded whole, credentials only through the store."""

import io
from collections import OrderedDict
from pathlib import Path

from satgan.errors import SatganError
from satgan.tiles.sources import Source

BLOCK_BYTES = 256 * 1024
LONGEST_RANGE_BLOCKS = 16
KEPT_BLOCKS = 128
"""32 MB of an object on S3 are kept. Reads that go on where the last ended fetch up to 4 MB at once."""


class RangedFile(io.RawIOBase):
    """An object as a file that GDAL can read: blocks are fetched by ranges when they are needed, some are kept.

    GDAL takes no exceptions: what the store raises is kept in `failure`, and the read comes back empty.
    """

    def __init__(self, source: Source, blocks: "BlockCache") -> None:
        super().__init__()
        self._source, self._blocks, self._at = source, blocks, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Where the next read shall begin, from the start, from here or from the end."""
        self._at = offset + (0, self._at, self._source.size_bytes)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end."""
        left = max(0, self._source.size_bytes - self._at)
        data = self._blocks.read(self._at, left if size < 0 else min(size, left))
        self._at += len(data)
        return data


class BlockCache:
    """The blocks of one object that are in memory, for all files opened on it; used by one thread at a time."""

    def __init__(self, source: Source) -> None:
        self.failure: SatganError | None = None
        self._source = source
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._next_block = -1
        self._range_blocks = 1

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the object; none after a failure."""
        if not size or self.failure:
            return b""
        first, last = offset // BLOCK_BYTES, (offset + size - 1) // BLOCK_BYTES
        try:
            parts = [self._block(block, last) for block in range(first, last + 1)]
        except SatganError as error:
            self.failure = error
            return b""
        start = offset - first * BLOCK_BYTES
        return b"".join(parts)[start : start + size]

    def _block(self, block: int, last_wanted: int) -> bytes:
        if block not in self._kept:
            self._fetch(block, last_wanted)
        self._kept.move_to_end(block)
        return self._kept[block]

    def _fetch(self, block: int, last_wanted: int) -> None:
        self._range_blocks = min(2 * self._range_blocks, LONGEST_RANGE_BLOCKS) if block == self._next_block else 1
        wanted = min(max(last_wanted - block + 1, self._range_blocks), LONGEST_RANGE_BLOCKS)
        offset = block * BLOCK_BYTES
        data = bytearray(min(wanted * BLOCK_BYTES, self._source.size_bytes - offset))
        self._source.store.read_range_into(self._source.key, offset, memoryview(data))
        for number, start in enumerate(range(0, len(data), BLOCK_BYTES)):
            self._kept[block + number] = bytes(data[start : start + BLOCK_BYTES])
        self._next_block = block + -(-len(data) // BLOCK_BYTES)
        while len(self._kept) > KEPT_BLOCKS:
            self._kept.popitem(last=False)


class RemoteFolder:
    """What rasterio asks of a place of files (its FileContainer): here there is one file, opened as often as wished."""

    def __init__(self, source: Source) -> None:
        self.source, self.blocks = source, BlockCache(source)

    def open(self, path: str, mode: str = "rb", **_: object) -> RangedFile:
        """The file."""
        return RangedFile(self.source, self.blocks)

    def isfile(self, path: str) -> bool:
        """Whether `path` is the file; there are no side files."""
        return Path(path).name == Path(self.source.key).name

    def isdir(self, path: str) -> bool:
        """No folder can be seen."""
        return False

    def ls(self, path: str) -> list[str]:
        """Nothing is listed."""
        return []

    def mtime(self, path: str) -> int:
        """Not known."""
        return 0

    def rm(self, path: str) -> None:
        """Nothing is removed."""

    def size(self, path: str) -> int:
        """The file's bytes."""
        return self.source.size_bytes
