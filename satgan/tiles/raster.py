"""One raster, opened through GDAL: what it is, and windows of it as bytes.

A `RasterPlan` says how its bands become the channels of tiles: alpha is left out (it only tells where data is), red,
green and blue come in this order where the file names them, palettes and CMYK become RGB, few-bit greys fill 0 to 255,
everything but 8 bits is stretched. A `Raster` reads windows accordingly; it is used by one thread at a time.
"""

import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.errors import StoreMissing, TilesError
from satgan.tiles.formats import driver_of, refuse_bomb
from satgan.tiles.ranged import RemoteFolder
from satgan.tiles.records import Transform
from satgan.tiles.sources import Source
from satgan.tiles.stretch import Stretch

Pixels = NDArray[np.uint8]
Valid = NDArray[np.bool_]

BLOCK_CACHE_BYTES = 64 * 2**20
LARGEST_BLOCK_BYTES = 512 * 2**20
STREAMED_DRIVERS = ("PNG", "JPEG", "WEBP", "BMP")
"""Formats that are one stream, or nothing but pixels."""

GDAL_OPTIONS = {
    "GDAL_CACHEMAX": BLOCK_CACHE_BYTES,
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # else the missing part of a truncated JPEG is grey, without a word
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".nothing",  # GDAL itself fetches nothing
}

Colour = Literal["bands", "palette", "cmyk"]


@dataclass(frozen=True)
class RasterPlan:
    """How a raster is read. Its grid has pixels of the wished resolution, or the file's own.

    Attributes:
        source: the file.
        bands: numbers of the file's bands to read, from 1.
        colour: what the bands mean.
        picked: for palettes and CMYK the channels of RGB to keep, from 0.
        height: of the grid [pixels].
        width: of the grid [pixels].
        steps: file pixels per grid pixel, down and to the right; (1, 1) or more.
        stretch: None where bytes stay bytes.
        level_factor: few-bit greys are multiplied by it.
        transform: from grid pixels to coordinates, None without georeference.
        crs: an authority's code such as EPSG:32632, else WKT; None without georeference.
        masked: whether the file says of some pixels that they are no data.
        turn: EXIF orientation, 1 to 8, by which finished tiles are turned upright.
        whole_rows: whether the file is decoded in whole rows, so that reading parts of them saves nothing.
        block_height: rows of the grid that the file keeps together; 1 after resampling.
    """

    source: Source
    bands: tuple[int, ...]
    colour: Colour
    picked: tuple[int, ...]
    height: int
    width: int
    steps: tuple[float, float]
    stretch: Stretch | None
    level_factor: int
    transform: Transform | None
    crs: str | None
    masked: bool
    turn: int
    whole_rows: bool
    block_height: int

    @property
    def channels(self) -> int:
        """Channels of its tiles."""
        return len(self.bands) if self.colour == "bands" else len(self.picked)


class Panel(NamedTuple):
    """A window of the grid: `[h, w, C] uint8`, and where it has data, `[h, w] bool` or None for everywhere."""

    pixels: Pixels
    valid: Valid | None


class Raster:
    """A file opened with GDAL; close it after use.

    Raises:
        StoreMissing: no such file.
        TilesError: no raster, a bomb, or one that GDAL cannot open.
        StoreError: what the store raises.
    """

    def __init__(self, source: Source) -> None:
        if source.path is not None and not source.path.is_file():
            raise StoreMissing(f"no such file: {source.path}", "check the spelling of the path")
        self.source = source
        self._remote = None if source.path is not None else RemoteFolder(source)
        driver = driver_of(source.head(), source.url)
        with self.errors_told("the file"), _no_coordinates_is_fine:
            self.dataset = self._open(driver)
        try:
            self._check(driver)
        except TilesError:
            self.close()
            raise

    def _open(self, driver: str) -> Any:
        import rasterio

        if self._remote is None:
            return rasterio.open(self.source.path, driver=driver)
        from rasterio.abc import FileContainer

        FileContainer.register(RemoteFolder)
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
            name = self.source.key.rpartition("/")[2]
            return rasterio.open(f"satgan/{name}", driver=driver, opener=self._remote)

    def _check(self, driver: str) -> None:
        dataset, name = self.dataset, self.source.url
        pixel_bytes = dataset.count * np.dtype(dataset.dtypes[0]).itemsize
        if driver in STREAMED_DRIVERS:
            refuse_bomb(name, dataset.height, dataset.width, pixel_bytes, self.source.size_bytes)
        height, width = dataset.block_shapes[0]
        if height * width * pixel_bytes > LARGEST_BLOCK_BYTES:
            raise TilesError(
                f"{name} has blocks of {width} × {height} pixels, {height * width * pixel_bytes / 2**20:,.0f} MB each",
                "rewrite it with smaller ones: gdal_translate -co TILED=YES",
            )

    def close(self) -> None:
        """Lets go of the file."""
        self.dataset.close()

    @contextmanager
    def errors_told(self, what: str) -> Iterator[None]:
        """GDAL's settings inside, and its errors as TilesErrors, or as the StoreErrors behind them."""
        import rasterio
        from rasterio.errors import RasterioError

        try:
            with rasterio.Env(**GDAL_OPTIONS):
                yield
            failure = self._remote.blocks.failure if self._remote else None
        except RasterioError as error:
            failure = self._remote.blocks.failure if self._remote else None
            reason = _first_cause(error)
            raise failure or undecodable(self.source.url, f"{what}: {reason}") from error
        if failure:
            raise failure

    def read(self, bands: tuple[int, ...], window: tuple[float, float, float, float], shape: tuple[int, int]) -> Any:
        """A window (row, column, height, width, in file pixels) of some bands as `[C, *shape]`, area-averaged if
        `shape` is smaller; GDAL starts from the overview that is just finer."""
        if self.dataset.driver == "PNG" and shape == self.dataset.shape:
            # GDAL decodes whole PNGs by another way, which gives broken ones out without a word
            return self._read_halves(bands, shape)
        with self.errors_told(f"rows {math.floor(window[0])} to {math.ceil(window[0] + window[2]) - 1}"):
            return self.dataset.read(list(bands), **_reading(window, shape))

    def _read_halves(self, bands: tuple[int, ...], shape: tuple[int, int]) -> Any:
        height, width = shape
        if height > 1:
            cuts, axis = [(0, 0, height // 2, width), (height // 2, 0, height - height // 2, width)], 1
        else:
            cuts, axis = [(0, 0, 1, width // 2), (0, width // 2, 1, width - width // 2)], 2
        return np.concatenate([self.read(bands, cut, cut[2:]) for cut in cuts if min(cut[2:])], axis=axis)

    def read_valid(self, window: tuple[float, float, float, float], shape: tuple[int, int]) -> Valid:
        """Where the same window has data."""
        with self.errors_told("its mask"):
            return np.asarray(self.dataset.dataset_mask(**_reading(window, shape)) > 0)


def _reading(window: tuple[float, float, float, float], shape: tuple[int, int]) -> dict[str, Any]:
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    row, column, height, width = window
    if (height, width) == shape:
        return {"window": Window(column, row, width, height)}
    return {"window": Window(column, row, width, height), "out_shape": shape, "resampling": Resampling.average}


class _NoCoordinatesIsFine:
    """Keeps rasterio's warning about pictures without coordinates quiet while any thread opens a raster."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        from rasterio.errors import NotGeoreferencedWarning

        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore", NotGeoreferencedWarning)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.__exit__(None, None, None)


_no_coordinates_is_fine = _NoCoordinatesIsFine()


def _first_cause(error: BaseException) -> str:
    """What GDAL said at first; what follows from it says less."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def undecodable(name: str, reason: str) -> TilesError:
    """The error for a file that a decoder gave up."""
    return TilesError(f"{name} cannot be decoded: {reason}", "fetch or export it again, or leave it out")
