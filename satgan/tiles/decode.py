"""Small image files, each a tile of its own, through Pillow; whatever Pillow gets wrong is refused by name."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.errors import TilesError
from satgan.tiles.formats import HEAD_BYTES, driver_of, exif_orientation, refuse_bomb
from satgan.tiles.raster import undecodable
from satgan.tiles.window import turned

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]

TILE_FILE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
LARGEST_TILE_PIXELS = 4096 * 4096
PNG_BIT_DEPTH_OFFSET_BYTES = 24

CHANNELS_OF_MODE = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "RGBX": 3, "CMYK": 3}
"""Pillow's modes that have 8 bits a channel, and what becomes of them: alpha is dropped, palettes are looked up."""

READ_AS = {"1": "L", "P": "RGBA", "PA": "RGBA", "CMYK": "RGB"}


class TileShape(NamedTuple):
    """What a tile's header promises."""

    height: int
    width: int
    channels: int


class DecodedTile(NamedTuple):
    """`[H, W, C] uint8`, and the share of its pixels that alpha makes wholly transparent: they are no data."""

    pixels: Pixels
    masked_share: float


def decode_tile(data: bytes, name: str) -> DecodedTile:
    """A PNG, JPEG, WebP or BMP: grey has C = 1, colour, palettes and CMYK 3; alpha is dropped, not blended in.

    Pictures that EXIF says lie on their side are turned upright.

    Raises:
        TilesError: another format, broken or truncated, not 8 bits a channel, or larger than 4096 × 4096; it names
            `name`.
    """
    with _decoding(name):
        image = _small_image(data, name)
        image.load()
        channels, orientation = CHANNELS_OF_MODE[image.mode], exif_orientation(image.info.get("exif", b""))
        if image.mode == "RGB" and "transparency" in image.info:
            image = image.convert("RGBA")
        image = image.convert(READ_AS.get(image.mode, image.mode))
        pixels = np.atleast_3d(np.asarray(image))
        alpha = pixels[..., -1] if image.mode in ("LA", "RGBA") else None
        masked_share = 0.0 if alpha is None else float(np.mean(alpha == 0))
        return DecodedTile(np.ascontiguousarray(turned(pixels[..., :channels], orientation)), masked_share)


def tile_shape(data: bytes, name: str) -> TileShape:
    """What an image's header says; `data` may be the file's beginning. Raises as `decode_tile` does."""
    with _decoding(name):
        image = _small_image(data, name)
        height, width = image.height, image.width
        if exif_orientation(image.info.get("exif", b"")) >= 5:
            height, width = width, height
        return TileShape(height, width, CHANNELS_OF_MODE[image.mode])


def _small_image(data: bytes, name: str) -> "Image":
    """The opened image, its pixels not read yet."""
    from PIL import Image

    driver = driver_of(data[:HEAD_BYTES], name)
    if driver not in PILLOW_FORMATS:
        raise TilesError(f"{name} is a raster ({driver}), no small picture", "cut it: `satgan tiles cut`")
    image = Image.open(io.BytesIO(data), formats=PILLOW_FORMATS)
    if image.width * image.height > LARGEST_TILE_PIXELS:
        refuse_bomb(name, image.height, image.width, len(image.getbands()), len(data))
        raise TilesError(
            f"{name} is {image.width} × {image.height} pixels, too large for a tile", "cut it: `satgan tiles cut`"
        )
    # Pillow opens 16-bit colour PNGs as 8-bit ones, without a word.
    deep = image.format == "PNG" and data[PNG_BIT_DEPTH_OFFSET_BYTES] == 16
    if deep or image.mode not in CHANNELS_OF_MODE:
        raise TilesError(
            f"{name} has {'16-bit' if deep else image.mode} pixels; packed tiles have 8 bits a channel, grey or RGB",
            "cut the folder, which stretches them to 8 bits: `satgan tiles cut FOLDER DEST --size …`",
        )
    return image


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns what Pillow raises on broken files into a TilesError."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError as error:
        raise undecodable(name, "its header makes no sense") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TilesError(f"{name} is too large for a tile: {error}", "cut it: `satgan tiles cut`") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, zlib.error, struct.error) as error:
        raise undecodable(name, str(error)) from error
