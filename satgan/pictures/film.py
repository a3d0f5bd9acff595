"""The film strip (S10): what a fresh noise vector gave, every few steps, so that learning can be watched."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from satgan.pictures.grid import Tiles, png, sheet

STRIP_GAP_PIXELS = 1
CAPTION_PIXELS, BAR_PIXELS = 18, 3
INK, GROUND = 60, 255


def strip_png(tiles: Tiles) -> bytes:
    """Frames `[N, H, W, C]` uint8 in one row, as PNG."""
    return png(sheet(tiles, columns=len(tiles), gap_pixels=STRIP_GAP_PIXELS))


def frames_of(strip: bytes) -> Tiles:
    """The frames of a strip that `strip_png` made of square tiles, `[N, S, S, C]` uint8, C 1 or 3."""
    row = np.atleast_3d(np.asarray(Image.open(io.BytesIO(strip))))
    size = row.shape[0] - 2 * STRIP_GAP_PIXELS
    step = size + STRIP_GAP_PIXELS
    starts = range(STRIP_GAP_PIXELS, row.shape[1] - size, step)
    inside = slice(STRIP_GAP_PIXELS, STRIP_GAP_PIXELS + size)
    return np.stack([row[inside, left : left + size] for left in starts])


def captioned(picture: Tiles, text: str, share: float) -> Tiles:
    """A picture `[H, W, C]` uint8 with a line of text below it, and a bar that is as full as `share` says."""
    _, width, channels = picture.shape
    below = Image.new("L", (width, CAPTION_PIXELS), GROUND)
    draw = ImageDraw.Draw(below)
    draw.rectangle((0, 0, round(share * (width - 1)), BAR_PIXELS - 1), fill=INK)
    draw.text((2, BAR_PIXELS + 2), text, fill=INK, font=ImageFont.load_default())
    return np.concatenate([picture, np.repeat(np.asarray(below)[:, :, None], channels, axis=2)])


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
