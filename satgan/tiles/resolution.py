"""Ground resolution: how large a raster's pixels truly are, and how many make one of the size that was wished."""

import math

from satgan.errors import TilesError
from satgan.tiles.georeference import georeference
from satgan.tiles.raster import Raster

SAME_RESOLUTION = 0.01
"""A wished resolution within 1 % of a whole multiple of the file's is that: projections stretch a little everywhere."""

EQUATOR_RADIUS_METRES, ECCENTRICITY_SQUARED = 6_378_137.0, 0.00669438
"""Of the WGS 84 ellipsoid."""


def grid_steps(raster: Raster, resolution_metres: float | None) -> tuple[float, float]:
    """File pixels per pixel of the wished resolution, down and to the right."""
    if resolution_metres is None:
        return 1.0, 1.0
    down, right = (resolution_metres / metres for metres in _ground_metres(raster))
    if min(down, right) < 1 - SAME_RESOLUTION:
        raise TilesError(
            f"{raster.source.url} has pixels of {resolution_metres / min(down, right):.3g} m; asked for were "
            f"{resolution_metres:g} m, which would have to be invented",
            "choose a --resolution not finer than the raster's",
        )
    return _whole(down), _whole(right)


def _whole(step: float) -> float:
    return float(round(step)) if abs(step - round(step)) <= SAME_RESOLUTION * step and round(step) else step


def _ground_metres(raster: Raster) -> tuple[float, float]:
    """True height and width of a pixel on the ground, in the middle of the raster, whatever its projection."""
    from rasterio.warp import transform

    dataset, place = raster.dataset, georeference(raster.dataset)
    if place is None or place.crs is None:
        why = "control points that no grid meets" if dataset.gcps[0] else "no georeference"
        raise TilesError(
            f"{raster.source.url} has {why}, so no ground resolution",
            "cut it without --resolution, or give it a grid first: gdalwarp",
        )
    row, column = dataset.height / 2, dataset.width / 2
    a, b, c, d, e, f = tuple(place.transform)[:6]
    places = ((column, row), (column, row + 1), (column + 1, row))
    points = [(a * x + b * y + c, d * x + e * y + f) for x, y in places]
    with raster.errors_told("its coordinates"):
        longitudes, latitudes = transform(place.crs, "EPSG:4326", *map(list, zip(*points, strict=True)))
    sine = math.sin(math.radians(latitudes[0]))
    curvature = 1 - ECCENTRICITY_SQUARED * sine**2
    north = EQUATOR_RADIUS_METRES * (1 - ECCENTRICITY_SQUARED) / curvature**1.5
    east = EQUATOR_RADIUS_METRES / math.sqrt(curvature) * math.sqrt(1 - sine**2)
    down, right = (
        math.hypot(math.radians(latitude - latitudes[0]) * north, math.radians(longitude - longitudes[0]) * east)
        for longitude, latitude in zip(longitudes[1:], latitudes[1:], strict=True)
    )
    return down, right
