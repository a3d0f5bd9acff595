"""A contact sheet: tiles in named groups, each with a caption, to be looked at. Arrays in, PNG bytes out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from satgan.pictures.grid import Tiles, png

COLUMNS = 8
GAP_PIXELS = 6
LINE_PIXELS = 14
LEAST_CELL_PIXELS = 72
LARGEST_CELL_PIXELS = 160
INK, GROUND = (30, 30, 30), (226, 226, 226)
"""Grey, so that white tiles can be seen."""


class Shown(NamedTuple):
    """A tile `[H, W, C] uint8` and a few words below it."""

    tile: Tiles
    caption: str


class Group(NamedTuple):
    """Tiles under a heading."""

    heading: str
    shown: Sequence[Shown]


def contact_sheet_png(groups: Sequence[Group]) -> bytes:
    """The groups below each other, eight tiles in a row, as PNG.

    Tiles are drawn pixel by pixel, enlarged by whole numbers when they are tiny, reduced when larger than 160 pixels.

    Args:
        groups: at least one; tiles may differ in size and channels (of other than 1 or 3 the first 3, or 1, are shown).
    """
    cell = _cell_pixels(groups)
    heights = [_group_pixels(group, cell) for group in groups]
    page = Image.new("RGB", (COLUMNS * (cell + GAP_PIXELS) + GAP_PIXELS, sum(heights) + GAP_PIXELS), GROUND)
    top = GAP_PIXELS
    for group, height in zip(groups, heights, strict=True):
        _draw_group(page, group, top, cell)
        top += height
    return png(np.asarray(page))


def _cell_pixels(groups: Sequence[Group]) -> int:
    largest = max((max(shown.tile.shape[:2]) for group in groups for shown in group.shown), default=0)
    return min(max(largest, LEAST_CELL_PIXELS), LARGEST_CELL_PIXELS)


def _group_pixels(group: Group, cell: int) -> int:
    return LINE_PIXELS + GAP_PIXELS + -(-len(group.shown) // COLUMNS) * (cell + LINE_PIXELS + GAP_PIXELS)


def _draw_group(page: Image.Image, group: Group, top: int, cell: int) -> None:
    draw, font = ImageDraw.Draw(page), ImageFont.load_default()
    draw.text((GAP_PIXELS, top), group.heading, INK, font)
    top += LINE_PIXELS + GAP_PIXELS
    for number, shown in enumerate(group.shown):
        row, column = divmod(number, COLUMNS)
        left = GAP_PIXELS + column * (cell + GAP_PIXELS)
        above = top + row * (cell + LINE_PIXELS + GAP_PIXELS)
        picture = _fitted(shown.tile, cell)
        page.paste(picture, (left, above))
        draw.text((left, above + picture.height + 1), shown.caption, INK, font)


def _fitted(tile: Tiles, cell: int) -> Image.Image:
    """The tile as RGB, no larger than a cell."""
    channels = tile.shape[2]
    shown = tile[:, :, :3] if channels >= 3 else tile[:, :, :1].repeat(3, axis=2)
    picture = Image.fromarray(np.ascontiguousarray(shown))
    longest = max(picture.size)
    if longest > cell:
        return picture.resize([max(1, side * cell // longest) for side in picture.size], Image.Resampling.BOX)
    factor = cell // longest
    return picture.resize([side * factor for side in picture.size], Image.Resampling.NEAREST)
