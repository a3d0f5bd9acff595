"""A second reader of TIFF files, written from the specification alone, to check the first one's pixels against.

It knows no compression, Deflate and LZW, predictor 2, strips and tiles, chunky and planar samples; nothing else.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {1: "B", 2: "c", 3: "H", 4: "I", 5: "Q", 12: "d", 16: "Q"}
WIDTH, HEIGHT, BITS, COMPRESSION, OFFSETS, SAMPLES, ROWS_PER_STRIP = 256, 257, 258, 259, 273, 277, 278
PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, COUNTS, FORMAT = (
    284, 317, 322, 323, 324, 325, 279, 339,
)  # fmt: skip


def read_tiff(path: Path, number: int = 0) -> NDArray[Any]:
    """An image of a TIFF, the first or a later one, as `[H, W, C]` of its own type; single bits as 0 and 1."""
    data = path.read_bytes()
    order = "<" if data[:2] == b"II" else ">"
    tags = _tags(data, order, number)
    height, width, samples = tags[HEIGHT][0], tags[WIDTH][0], tags.get(SAMPLES, (1,))[0]
    kind = {1: "u", 2: "i", 3: "f"}[tags.get(FORMAT, (1,))[0]]
    bits = tags.get(BITS, (1,))[0]
    dtype = np.dtype(f"{order}{kind}{max(bits, 8) // 8}")
    tiled = TILE_OFFSETS in tags
    block = (tags[TILE_HEIGHT][0], tags[TILE_WIDTH][0]) if tiled else (tags.get(ROWS_PER_STRIP, (height,))[0], width)
    planar = tags.get(PLANAR, (1,))[0] == 2
    rows, columns = -(-height // block[0]), -(-width // block[1])
    picture = np.zeros((rows * block[0], columns * block[1], samples), dtype.newbyteorder("="))
    places = zip(tags[TILE_OFFSETS if tiled else OFFSETS], tags[TILE_COUNTS if tiled else COUNTS], strict=True)
    for place, (offset, count) in enumerate(places):
        plane, at = divmod(place, rows * columns) if planar else (0, place)
        row, column = divmod(at, columns)
        raw = _plain(data[offset : offset + count], tags.get(COMPRESSION, (1,))[0])
        if bits == 1:
            raw = np.unpackbits(np.frombuffer(raw, np.uint8)).tobytes()
        values = np.frombuffer(raw, dtype)[: len(raw) // dtype.itemsize]
        values = values.reshape(-1, block[1], 1 if planar else samples)
        if tags.get(PREDICTOR, (1,))[0] == 2:
            values = np.cumsum(values, axis=1, dtype=dtype.newbyteorder("="))
        channels = slice(plane, plane + 1) if planar else slice(None)
        top, left = row * block[0], column * block[1]
        picture[top : top + len(values), left : left + block[1], channels] = values
    return picture[:height, :width]


def _tags(data: bytes, order: str, number: int) -> dict[int, tuple[Any, ...]]:
    assert struct.unpack_from(f"{order}H", data, 2) == (42,), "only classic TIFF"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    for _ in range(number):
        (count,) = struct.unpack_from(f"{order}H", data, start)
        (start,) = struct.unpack_from(f"{order}I", data, start + 2 + 12 * count)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    tags = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", data, entry)
        if kind in KINDS:
            form = f"{order}{length}{KINDS[kind]}"
            inside = struct.calcsize(form) <= 4
            place = entry + 8 if inside else struct.unpack_from(f"{order}I", data, entry + 8)[0]
            tags[tag] = struct.unpack_from(form, data, place)
    return tags


def _plain(packed: bytes, compression: int) -> bytes:
    if compression in (8, 32946):
        return zlib.decompress(packed)
    if compression == 5:
        return _lzw(packed)
    assert compression == 1, compression
    return packed


def _lzw(packed: bytes) -> bytes:
    clear, end = 256, 257
    bits, have, at, size = 0, 0, 0, 9
    table: list[bytes] = []
    plain: list[bytes] = []
    last = b""
    while True:
        while have < size:
            bits, have, at = (bits << 8) | packed[at], have + 8, at + 1
        code = (bits >> (have - size)) & ((1 << size) - 1)
        have -= size
        bits &= (1 << have) - 1
        if code == end:
            return b"".join(plain)
        if code == clear:
            table, size, last = [bytes([value]) for value in range(256)] + [b"", b""], 9, b""
            continue
        word = table[code] if code < len(table) else last + last[:1]
        plain.append(word)
        if last:
            table.append(last + word[:1])
        last = word
        size = 9 + sum(len(table) >= edge for edge in (511, 1023, 2047))
