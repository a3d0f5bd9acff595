"""Tiles on a sheet. Arrays in, PNG bytes out."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Tiles = NDArray[np.uint8]


def sheet(tiles: Tiles, columns: int, gap_pixels: int = 2) -> Tiles:
    """Tiles side by side on a white ground, row by row.

    Args:
        tiles: `[N, H, W, C]` uint8; N at least 1.
        columns: tiles per row.
        gap_pixels: white space between and around them.

    Returns:
        `[rows · (H + gap) + gap, columns · (W + gap) + gap, C]` uint8.
    """
    count, height, width, channels = tiles.shape
    rows = -(-count // columns)
    step_down, step_right = height + gap_pixels, width + gap_pixels
    page = np.full((rows * step_down + gap_pixels, columns * step_right + gap_pixels, channels), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * step_down + gap_pixels, number % columns * step_right + gap_pixels
        page[top : top + height, left : left + width] = tile
    return page


def visible(picture: Tiles) -> Tiles:
    """Of an array `[H, W, C]` uint8 what can be shown: one channel is grey, `[H, W]`; three are colours, `[H, W, 3]`;
    of others the first three are shown (the first alone where there are two)."""
    return np.ascontiguousarray(picture[:, :, :3] if picture.shape[2] >= 3 else picture[:, :, 0])


def png(picture: Tiles) -> bytes:
    """An array `[H, W, C]` uint8 as PNG, as far as it is visible."""
    memory = io.BytesIO()
    Image.fromarray(visible(picture)).save(memory, format="PNG")
    return memory.getvalue()


def grid_png(tiles: Tiles, columns: int) -> bytes:
    """Tiles `[N, H, W, C]` uint8 on a sheet, as PNG."""
    return png(sheet(tiles, columns))
