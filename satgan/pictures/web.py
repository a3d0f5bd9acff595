"""Pictures inside a page: as data, so that the page needs nothing beside it."""

import base64
import io

import numpy as np
from PIL import Image

from satgan.pictures.grid import Tiles

QUALITY = 90
"""Of WebP: a grid of 64 tiles takes some 100 kB instead of 400."""


def data_url(picture: Tiles) -> str:
    """`[H, W, C]` uint8 as a WebP in a data url; of other than one or three channels the first three, or the first."""
    shown = picture[:, :, :3] if picture.shape[2] >= 3 else picture[:, :, :1].repeat(3, axis=2)
    memory = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(memory, format="WEBP", quality=QUALITY)
    return _url("webp", memory.getvalue())


def png_url(raw: bytes) -> str:
    """A PNG's bytes as a data url: every pixel as it is."""
    return _url("png", raw)


def _url(kind: str, raw: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


def pixels_of(raw: bytes) -> Tiles:
    """A PNG or other image file as `[H, W, C]` uint8."""
    return np.atleast_3d(np.asarray(Image.open(io.BytesIO(raw))))
