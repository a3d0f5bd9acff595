"""A look at a raster before any work: what it holds, how it will be read, or why not. Decide first, act later."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgan.errors import ConfigError, TilesError
from satgan.tiles.georeference import georeference, on_grid
from satgan.tiles.raster import Colour, Raster, RasterPlan
from satgan.tiles.resolution import grid_steps
from satgan.tiles.sources import Source
from satgan.tiles.stretch import (
    SAMPLE_BLOCK_PIXELS,
    SAMPLE_BLOCKS_A_SIDE,
    Stretch,
    StretchRule,
    choose_stretch,
)

MOST_CHANNELS = 16
FOREIGN_SPACES = ("CIELAB", "ICCLAB", "ITULAB")
"""What GDAL makes of these is off by some ten levels."""

SAMPLES_A_BLOCK = 8192


class TooSmall(TilesError):
    """A raster from which not even one tile can be cut.

    Args:
        found: what was found.
        remedy: what to do.
        side: the shorter of the raster's [pixels].
        size: of a tile [pixels].
    """

    def __init__(self, found: str, remedy: str, side: int, size: int) -> None:
        super().__init__(found, remedy)
        self.side, self.size = side, size


@dataclass(frozen=True)
class CutOptions:
    """What a user wishes of a cut.

    Attributes:
        size: tile height and width [pixels].
        stride: from tile to tile [pixels].
        resolution_metres: ground size of a pixel; None: the file's.
        bands: of the file, from 1, in this order; none: all but alpha.
        stretch: None: the 2nd to 98th percentile for all but 8 bits, which stay as they are.
    """

    size: int = 64
    stride: int = 64
    resolution_metres: float | None = None
    bands: tuple[int, ...] = ()
    stretch: StretchRule | None = None

    def __post_init__(self) -> None:
        if min(self.size, self.stride) < 1:
            raise ConfigError(f"cannot cut with size {self.size} and stride {self.stride}", "give 1 or more")
        if self.resolution_metres is not None and not 0 < self.resolution_metres < math.inf:
            raise ConfigError(f"the resolution {self.resolution_metres} m is none", "give metres, say 0.5")
        if any(band < 1 for band in self.bands):
            raise ConfigError(f"bands {self.bands}: they are counted from 1", "give numbers from 1, say 4,3,2")


def look(source: Source, options: CutOptions) -> RasterPlan:
    """How a raster will be cut; for a stretch by percentiles some of its blocks are read.

    Raises:
        StoreError: it cannot be reached.
        TooSmall: smaller than a tile.
        TilesError: undecodable, no usable bands, no ground resolution where one is wished.
    """
    raster = Raster(source)
    try:
        with raster.errors_told("its header"):  # GDAL reads on as it is asked, and warns where rasterio does not listen
            return _plan(raster, options)
    finally:
        raster.close()


def _plan(raster: Raster, options: CutOptions) -> RasterPlan:
    dataset = raster.dataset
    colour = _colour(dataset, raster.source.url)
    bands, picked = _bands(raster, colour, options.bands)
    steps = grid_steps(raster, options.resolution_metres)
    height, width = (int(length / step + 1e-6) for length, step in zip(dataset.shape, steps, strict=True))
    if min(height, width) < options.size:
        at = f" at {options.resolution_metres} m" if steps != (1.0, 1.0) else ""
        raise TooSmall(
            f"{raster.source.url} is {width} × {height} pixels{at}, smaller than one tile of "
            f"{options.size} × {options.size}",
            "choose a smaller --size, or leave this file out",
            min(height, width),
            options.size,
        )
    masked = any("all_valid" not in [flag.name for flag in flags] for flags in dataset.mask_flag_enums)
    turn = int(dataset.tags().get("EXIF_Orientation", 1)) if dataset.driver == "JPEG" else 1
    place = georeference(dataset) if turn == 1 else None
    transform, crs = on_grid(place, steps) if place else (None, None)
    return RasterPlan(
        source=raster.source,
        bands=bands,
        colour=colour,
        picked=picked,
        height=height,
        width=width,
        steps=steps,
        stretch=_stretch(raster, bands, colour, masked, options.stretch),
        level_factor=_level_factor(dataset, colour),
        transform=transform,
        crs=crs,
        masked=masked,
        turn=turn if 1 <= turn <= 8 else 1,
        whole_rows=dataset.block_shapes[0][1] >= dataset.width,
        block_height=dataset.block_shapes[0][0] if steps == (1.0, 1.0) else 1,
    )


def _colour(dataset: Any, name: str) -> Colour:
    space = dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "")
    if space in FOREIGN_SPACES:
        raise TilesError(f"{name} cannot be cut: its colours are {space}", "convert it to RGB first")
    meanings = [meaning.name for meaning in dataset.colorinterp]
    if meanings[0] == "palette" and dataset.count == 1:
        return "palette"
    return "cmyk" if meanings[:4] == ["cyan", "magenta", "yellow", "black"] else "bands"


def _bands(raster: Raster, colour: Colour, wished: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Bands to read, from 1, and for palettes and CMYK the channels of RGB to keep, from 0."""
    dataset = raster.dataset
    count = dataset.count if colour == "bands" else 3
    if any(band > count for band in wished):
        raise TilesError(
            f"{raster.source.url} has {count} bands; asked for were {', '.join(map(str, wished))}",
            f"choose --bands from 1 to {count}",
        )
    if colour == "palette":
        return (1,), tuple(band - 1 for band in wished) or (0, 1, 2)
    if colour == "cmyk":
        return (1, 2, 3, 4), tuple(band - 1 for band in wished) or (0, 1, 2)
    bands = wished or _colour_bands(dataset)
    kinds = sorted({dataset.dtypes[band - 1] for band in bands})
    if not 1 <= len(bands) <= MOST_CHANNELS:
        raise TilesError(
            f"{raster.source.url} has {len(bands)} bands besides alpha; tiles have 1 to {MOST_CHANNELS}",
            "choose some: --bands 4,3,2",
        )
    if any(np.dtype(kind).kind == "c" for kind in kinds) or len(kinds) > 1:
        raise TilesError(f"{raster.source.url} has {', '.join(kinds)} pixels", "export its magnitudes as a GeoTIFF")
    return bands, ()


def _colour_bands(dataset: Any) -> tuple[int, ...]:
    """All bands but alpha, red, green and blue first where the file names all three."""
    meanings = {band: meaning.name for band, meaning in enumerate(dataset.colorinterp, start=1)}
    order = ("red", "green", "blue")
    kept = [band for band, meaning in meanings.items() if meaning != "alpha"]
    if all(list(meanings.values()).count(name) == 1 for name in order):
        kept.sort(key=lambda band: order.index(meanings[band]) if meanings[band] in order else len(order))
    return tuple(kept)


def _level_factor(dataset: Any, colour: Colour) -> int:
    """By what greys of 1, 2 or 4 bits are multiplied to fill 0 to 255."""
    bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
    return 255 // (2**bits - 1) if colour == "bands" and bits in (1, 2, 4) else 1


def _stretch(
    raster: Raster, bands: tuple[int, ...], colour: Colour, masked: bool, rule: StretchRule | None
) -> Stretch | None:
    kind = raster.dataset.dtypes[bands[0] - 1]
    if colour != "bands":
        if kind != "uint8":
            raise TilesError(f"{raster.source.url} has a {colour} of {kind}", "expand it: gdal_translate -expand rgb")
        return None
    if rule is None and kind == "uint8":
        return None
    rule = rule or StretchRule()
    samples = [np.empty(0)] * len(bands) if rule.kind == "values" else _sample(raster, bands, masked)
    return choose_stretch(rule, samples)


def _sample(raster: Raster, bands: tuple[int, ...], masked: bool) -> list[NDArray[Any]]:
    """Valid values of each band from blocks spread evenly over the file, read in the file's order."""
    height, width = raster.dataset.shape
    block_height, block_width = raster.dataset.block_shapes[0]
    columns = _spread(-(-width // block_width), SAMPLE_BLOCKS_A_SIDE)
    rows = _spread(-(-height // block_height), SAMPLE_BLOCKS_A_SIDE**2 // len(columns))
    found = []
    for row in rows:
        for column in columns:
            top, left = row * block_height, column * block_width
            shape = (
                min(block_height, SAMPLE_BLOCK_PIXELS, height - top),
                min(block_width, max(SAMPLE_BLOCK_PIXELS, SAMPLES_A_BLOCK // block_height), width - left),
            )
            found.append(_values(raster, bands, masked, (top, left, *shape), shape))
    return [np.concatenate([values[band] for values in found]) for band in range(len(bands))]


def _values(
    raster: Raster,
    bands: tuple[int, ...],
    masked: bool,
    window: tuple[float, float, float, float],
    shape: tuple[int, int],
) -> list[NDArray[Any]]:
    pixels = raster.read(bands, window, shape)
    valid = raster.read_valid(window, shape) if masked else np.ones(shape, bool)
    kept = [band[valid & np.isfinite(band)] for band in pixels]
    return [values[:: max(1, len(values) // SAMPLES_A_BLOCK)] for values in kept]


def _spread(count: int, wished: int) -> list[int]:
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, wished))})
