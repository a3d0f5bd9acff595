"""Where a raster lies on the ground: its transform, or that of its control points where one fits them all."""

from typing import TYPE_CHECKING, Any, NamedTuple

from satgan.tiles.records import Transform

if TYPE_CHECKING:
    import rasterio

MOST_PIXELS_OFF = 1.0
"""A picture that is warped between its ground control points has no transform: one that fits them all within a pixel is
recorded, any other would lead to wrong places without a word."""


class Georeference(NamedTuple):
    """From file pixels (column, row) to the coordinates of a reference system, rasterio's `Affine` and `CRS`."""

    transform: "rasterio.Affine"
    crs: Any


def georeference(dataset: Any) -> Georeference | None:
    """That of an open dataset; None where it says nothing, or where its control points lie on no plain grid."""
    if not dataset.transform.is_identity:
        return Georeference(dataset.transform, dataset.crs)
    points, crs = dataset.gcps
    if len(points) < 3:
        return None
    from rasterio.errors import RasterioError
    from rasterio.transform import from_gcps

    try:
        transform = from_gcps(points)
    except (RasterioError, ValueError):  # all on one line
        return None
    if transform.is_degenerate:
        return None
    off = max(max(_pixels_off(transform, point)) for point in points)
    return Georeference(transform, crs) if off <= MOST_PIXELS_OFF else None


def _pixels_off(transform: "rasterio.Affine", point: Any) -> tuple[float, float]:
    """How far from its column and row a control point comes to lie."""
    a, b, c, d, e, f = tuple(~transform)[:6]
    return abs(a * point.x + b * point.y + c - point.col), abs(d * point.x + e * point.y + f - point.row)


def on_grid(place: Georeference, steps: tuple[float, float]) -> tuple[Transform, str | None]:
    """The transform of a grid with so many file pixels to a pixel (down, right), and the system's code or its WKT."""
    down, right = steps
    a, b, c, d, e, f = tuple(place.transform)[:6]
    authority = place.crs.to_authority() if place.crs else None
    code = ":".join(authority) if authority else place.crs.to_wkt() if place.crs else None
    return (a * right, b * down, c, d * right, e * down, f), code
