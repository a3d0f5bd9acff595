"""From image files to pixels: windows of large rasters through rasterio, small tiles through Pillow."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.errors import StoreMissing, TilesError

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]

TILE_FILE_ENDINGS = (".png", ".jpg", ".jpeg")
RASTER_FILE_ENDINGS = (".tif", ".tiff", ".jp2", ".vrt", *TILE_FILE_ENDINGS)
LARGEST_TILE_PIXELS = 4096 * 4096
RASTER_CACHE_BYTES = 64 * 2**20
PNG_BIT_DEPTH_OFFSET_BYTES = 24

CHANNELS_OF_MODE = {"1": 1, "L": 1, "LA": 1, "P": 3, "RGB": 3, "RGBA": 3}
"""Pillow's modes that have 8 bits a channel, and what becomes of them: alpha is dropped, palettes are looked up."""


class CutTile(NamedTuple):
    """A tile and where it came from: row and column of its top left pixel, `[H, W, C] uint8`."""

    row: int
    column: int
    pixels: Pixels


class TileShape(NamedTuple):
    """What a tile's header promises."""

    height: int
    width: int
    channels: int


def raster_channels(path: Path) -> int:
    """Bands of a raster that `cut_raster` gives, alpha not among them.

    Raises:
        StoreMissing: no such file.
        TilesError: what cannot be cut: undecodable, not 8 bit, or with a palette.
    """
    with _opened(path) as raster:
        return len(_bands(raster, path))


def cut_raster(path: Path, size: int, stride: int) -> Iterator[CutTile]:
    """Tiles in rows from the top left; what is left over at the right and at the bottom is not used.

    Every row of the raster is decoded once. In memory are `size` rows of it at a time, plus a block cache of 64 MB or
    two rows of the file's own blocks, whichever is more.

    Args:
        path: any raster that GDAL reads, 8 bits a band.
        size: height and width of a tile [pixels].
        stride: from one tile to the next, down and to the right [pixels]; below `size`, tiles overlap.

    Raises:
        StoreMissing: no such file.
        TilesError: undecodable (also when that shows only on the way), not 8 bit, a palette, or smaller than a tile.
    """
    with _opened(path) as raster:
        bands = _bands(raster, path)
        if min(raster.height, raster.width) < size:
            raise TilesError(
                f"{path} is {raster.height} × {raster.width} pixels, smaller than one tile of {size} × {size}",
                "choose a smaller --size, or leave this file out",
            )
        for row, rows in _row_bands(raster, bands, size, stride, path):
            for column in range(0, raster.width - size + 1, stride):
                yield CutTile(row, column, np.ascontiguousarray(rows[:, column : column + size]))


def _row_bands(raster: Any, bands: list[int], size: int, stride: int, path: Path) -> Iterator[tuple[int, Pixels]]:
    """(first row, `[size, width, C]`) for every row of tiles; rows shared with the one before are kept, not reread."""
    kept = np.empty((0, raster.width, len(bands)), np.uint8)
    for row in range(0, raster.height - size + 1, stride):
        fresh = _read_rows(raster, bands, row + len(kept), size - len(kept), path)
        rows = np.concatenate([kept, fresh])
        yield row, rows
        kept = rows[min(stride, size) :]


def _read_rows(raster: Any, bands: list[int], row: int, count: int, path: Path) -> Pixels:
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    block_row_bytes = raster.block_shapes[0][0] * raster.width * raster.count
    try:
        with rasterio.Env(GDAL_CACHEMAX=max(RASTER_CACHE_BYTES, 2 * block_row_bytes)):
            pixels: Pixels = raster.read(bands, window=Window(0, row, raster.width, count))
    except RasterioError as error:
        raise _undecodable(str(path), f"rows {row} to {row + count - 1}: {error.__cause__ or error}") from error
    return pixels.transpose(1, 2, 0)


def _opened(path: Path) -> Any:
    """The rasterio dataset, to be closed."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    if not path.is_file():
        raise StoreMissing(f"no such file: {path}", "check the spelling of the path")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # pictures without coordinates are welcome
        try:
            return rasterio.open(path)
        except RasterioError as error:
            raise _undecodable(str(path), str(error)) from error


def _bands(raster: Any, path: Path) -> list[int]:
    """Numbers of the bands to read, counted from 1; all that are not alpha."""
    from rasterio.enums import ColorInterp

    kinds = sorted(set(raster.dtypes))
    if kinds != ["uint8"]:
        raise TilesError(
            f"{path} has {', '.join(kinds)} pixels; tiles have 8 bits (uint8)",
            f"convert it first: gdal_translate -ot Byte -scale {path.name} {path.stem}-8bit.tif",
        )
    if ColorInterp.palette in raster.colorinterp:
        raise TilesError(
            f"{path} has a colour palette: its pixels are not brightnesses",
            f"convert it first: gdal_translate -expand rgb {path.name} {path.stem}-rgb.tif",
        )
    return [band for band, meaning in enumerate(raster.colorinterp, start=1) if meaning != ColorInterp.alpha]


def read_tile(path: Path) -> Pixels:
    """A small PNG or JPEG file as `[H, W, C] uint8`; see `decode_tile`."""
    if not path.is_file():
        raise StoreMissing(f"no such file: {path}", "check the spelling of the path")
    return decode_tile(path.read_bytes(), str(path))


def decode_tile(data: bytes, name: str) -> Pixels:
    """A PNG or JPEG as `[H, W, C] uint8`: grey has C = 1, colour and palettes 3; alpha is dropped, not blended in.

    Raises:
        TilesError: not a PNG or JPEG, broken or truncated, not 8 bits a channel, or larger than 4096 × 4096; it
            names `name`.
    """
    with _decoding(name):
        image = _small_image(data, name)
        image.load()
        if image.mode in ("P", "1"):
            image = image.convert("RGBA" if image.mode == "P" else "L")
        pixels = np.asarray(image)
        return np.ascontiguousarray(np.atleast_3d(pixels)[..., : CHANNELS_OF_MODE[image.mode]])


def tile_shape(data: bytes, name: str) -> TileShape:
    """What a PNG's or JPEG's header says; `data` may be the file's beginning. Raises as `decode_tile` does."""
    with _decoding(name):
        image = _small_image(data, name)
        return TileShape(image.height, image.width, CHANNELS_OF_MODE[image.mode])


def _small_image(data: bytes, name: str) -> "Image":
    """The opened image, its pixels not read yet."""
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    if image.width * image.height > LARGEST_TILE_PIXELS:
        raise TilesError(
            f"{name} is {image.height} × {image.width} pixels, too large for a tile", "cut it: `satgan tiles cut`"
        )
    # Pillow opens 16-bit colour PNGs as 8-bit ones, without a word.
    deep = image.format == "PNG" and data[PNG_BIT_DEPTH_OFFSET_BYTES] == 16
    if deep or image.mode not in CHANNELS_OF_MODE:
        raise TilesError(
            f"{name} has {'16-bit' if deep else image.mode} pixels; tiles have 8 bits a channel, grey or RGB",
            f"convert it first: gdal_translate -of PNG -ot Byte -scale {name} tile.png",
        )
    return image


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns what Pillow raises on broken files into a TilesError."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError as error:
        raise _undecodable(name, "it is neither a PNG nor a JPEG") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TilesError(f"{name} is too large for a tile: {error}", "cut it: `satgan tiles cut`") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, zlib.error, struct.error) as error:
        raise _undecodable(name, str(error)) from error


def _undecodable(name: str, reason: str) -> TilesError:
    return TilesError(f"{name} cannot be decoded: {reason}", "fetch or export it again, or leave it out")
