"""A window of a raster as the plan wants it: bands become channels, everything becomes bytes."""

import numpy as np
from numpy.typing import NDArray

from satgan.tiles.raster import Panel, Pixels, Raster, RasterPlan


def read_panel(raster: Raster, plan: RasterPlan, row: int, column: int, height: int, width: int) -> Panel:
    """A window of the plan's grid. Raises as `Raster.read` does."""
    down, right = plan.steps
    window, shape = (row * down, column * right, height * down, width * right), (height, width)
    if plan.colour == "palette":
        pixels = _palette_pixels(raster, plan, window, shape)
        return Panel(pixels, raster.read_valid(window, shape) if plan.masked else None)
    bands = raster.read(plan.bands, window, shape)
    valid = raster.read_valid(window, shape) if plan.masked else None
    if bands.dtype.kind == "f":
        finite = np.isfinite(bands).all(axis=0)
        valid = finite if valid is None else finite & valid
    if plan.stretch is not None:
        bands = plan.stretch.apply(bands)
        if valid is not None:
            bands[:, ~valid] = 0
    if plan.level_factor > 1:
        bands = bands * np.uint8(plan.level_factor)
    if plan.colour == "cmyk":
        bands = _without_ink(bands)[list(plan.picked)]
    return Panel(bands.transpose(1, 2, 0), valid)


def _without_ink(inks: Pixels) -> Pixels:
    """Cyan, magenta, yellow, black `[4, h, w]` as red, green, blue: what the inks leave of white light."""
    light = 255 - inks.astype(np.uint32)
    return np.asarray((light[:3] * light[3] + 127) // 255, np.uint8)


def _palette_pixels(
    raster: Raster, plan: RasterPlan, window: tuple[float, float, float, float], shape: tuple[int, int]
) -> Pixels:
    """Colours of a palette's indices `[*shape, C]`; coarser ones are averaged as colours, as indices have no mean."""
    colours = np.zeros((256, 3), np.uint8)
    for index, colour in raster.dataset.colormap(1).items():
        colours[index] = colour[:3]
    colours = colours[:, list(plan.picked)]
    if plan.steps == (1.0, 1.0):
        return np.asarray(colours[raster.read((1,), window, shape)[0]], np.uint8)
    top, left = int(window[0]), int(window[1])
    bottom = min(int(np.ceil(window[0] + window[2])), raster.dataset.height)
    right = min(int(np.ceil(window[1] + window[3])), raster.dataset.width)
    whole = (bottom - top, right - left)
    exact = colours[raster.read((1,), (top, left, *whole), whole)[0]]
    return _area_average(exact, (window[0] - top, window[1] - left, window[2], window[3]), shape)


def _area_average(pixels: Pixels, window: tuple[float, float, float, float], shape: tuple[int, int]) -> Pixels:
    from PIL import Image

    row, column, height, width = window
    box = (column, row, min(column + width, pixels.shape[1]), min(row + height, pixels.shape[0]))
    planes = [
        Image.fromarray(np.ascontiguousarray(pixels[..., channel])).resize(shape[::-1], Image.Resampling.BOX, box)
        for channel in range(pixels.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (1, True), 6: (3, False), 7: (3, True), 8: (1, False)}
"""EXIF orientation: quarter turns to the left, of the mirror image or not."""


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A picture `[H, W, C]` upright, given its EXIF orientation (1 to 8)."""
    if orientation == 1:
        return pixels
    quarters, mirrored = TURNS.get(orientation, (0, False))
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, quarters)
