"""The film strip (S10): what a fresh noise vector gave, every few steps, so that learning can be watched."""

import io

import numpy as np
from PIL import Image

from satgan.pictures.grid import Tiles, png, sheet


def strip_png(tiles: Tiles) -> bytes:
    """Frames `[N, H, W, C]` uint8 in one row, as PNG."""
    return png(sheet(tiles, columns=len(tiles), gap_pixels=1))


def whole_film_png(strips: list[bytes]) -> bytes:
    """Strips (PNG bytes, in order) below each other, on white where one is shorter."""
    pictures = [Image.open(io.BytesIO(strip)) for strip in strips]
    mode = pictures[0].mode
    page = Image.new(mode, (max(each.width for each in pictures), sum(each.height for each in pictures)), "white")
    top = 0
    for picture in pictures:
        page.paste(picture, (0, top))
        top += picture.height
    return png(np.atleast_3d(np.asarray(page)))
