"""What a file is, told by its first bytes and never by its name, before any decoder sees it."""

import struct

from satgan.errors import TilesError

HEAD_BYTES = 64
BOMB_RATIO = 200
"""Photographs and scans are packed 2 to 40 times smaller than their pixels; …"""

BOMB_BYTES = 64 * 2**20
"""… below this many decoded bytes no file can do harm."""

SIGNATURES = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\0\0\0\x0cjP  ", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"BM", "BMP"),
)
"""Signature and GDAL's driver. No others are let in: GDAL knows file formats that make it fetch things."""

IMPOSTORS = (
    (b"GIF8", "a GIF", "export it as PNG or GeoTIFF"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch the file: git lfs pull"),
    (b"<VRTDataset", "a VRT, which may lead anywhere", "give the rasters that it is made of"),
    (b"<?xml", "an XML document, perhaps a server's error message", "fetch the file again"),
    (b"<!DOCTYPE", "an HTML page, perhaps a server's error message", "fetch the file again"),
    (b"<html", "an HTML page, perhaps a server's error message", "fetch the file again"),
    (b"<Error", "a server's error message", "fetch the file again"),
    (b"%PDF", "a PDF", "export its image as GeoTIFF"),
    (b"\x89HDF", "an HDF5 file", "export the layer you need as GeoTIFF"),
    (b"CDF", "a NetCDF file", "export the layer you need as GeoTIFF"),
)
ORIENTATION_TAG, SHORT = 0x0112, 3
KNOWN = "GeoTIFF, COG, JPEG2000, PNG, JPEG, WebP and BMP can be read"


def driver_of(head: bytes, name: str) -> str:
    """GDAL's driver for a file.

    Args:
        head: its first `HEAD_BYTES` bytes, fewer if it has fewer.
        name: for the message.

    Raises:
        TilesError: nothing that can be read; it says what was found instead.
    """
    for signature, driver in SIGNATURES:
        if head.startswith(signature):
            return driver
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    raise _impostor(head, name)


def _impostor(head: bytes, name: str) -> TilesError:
    for signature, what, remedy in IMPOSTORS:
        if head.lstrip().lower().startswith(signature.lower()):
            return TilesError(f"{name} is no raster: it is {what}", remedy)
    if not head:
        return TilesError(f"{name} is empty: 0 bytes", "fetch or export it again")
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return TilesError(f"{name} is no raster: it is text, {head[:24].decode()!r}…", KNOWN)
    return TilesError(f"{name} is of an unknown format: it begins with {head[:8].hex(' ')}", KNOWN)


def refuse_bomb(name: str, height: int, width: int, pixel_bytes: int, file_bytes: int) -> None:
    """TilesError for a picture in one stream that would be decoded to far more than any photograph could.

    Args:
        name: for the message.
        height: in pixels, as the header says; likewise width.
        width: see there.
        pixel_bytes: of one pixel when decoded.
        file_bytes: the file's size.
    """
    decoded_bytes = height * width * pixel_bytes
    if decoded_bytes > BOMB_BYTES and decoded_bytes > BOMB_RATIO * file_bytes:
        raise TilesError(
            f"{name} is a decompression bomb: {width} × {height} pixels, {decoded_bytes / 2**20:,.0f} MB, "
            f"out of {file_bytes / 2**20:,.1f} MB",
            "leave it out; if it is a true picture, convert it to a tiled GeoTIFF first",
        )


def exif_orientation(exif: bytes) -> int:
    """How a picture lies, 1 (upright) to 8, by its EXIF block; 1 also where that is broken or says nothing.

    An own reader, as Pillow's warns of every flaw in tags that are of no use here.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * entry)
            if (tag, kind) == (ORIENTATION_TAG, SHORT):
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # the block ends too early
        return 1
    return 1
