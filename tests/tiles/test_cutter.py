"""Tiles are windows of rasters: the file's own pixels, or stretched, averaged and reordered as was asked for."""

import subprocess
import sys
import threading
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from satgan.errors import ConfigError, TilesError
from satgan.tiles import cutter
from satgan.tiles.cutter import cut_raster, cut_tiles, tiles_total
from satgan.tiles.look import CutOptions, look
from satgan.tiles.raster import Panel, Raster, RasterPlan
from satgan.tiles.records import Tile
from satgan.tiles.sources import find_sources
from satgan.tiles.stretch import parse_stretch
from satgan.tiles.window import read_panel
from tests.tiles.sample_tiles import Pixels, textured

UTM = {"crs": "EPSG:32645", "transform": rasterio.Affine(2.0, 0, 300_000, 0, -2.0, 3_000_000)}


def write_raster(path: Path, pixels: Any, driver: str = "GTiff", **profile: Any) -> Path:
    """`[H, W, C]` as a GeoTIFF, or by another of GDAL's drivers."""
    height, width, channels = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        shape = {"height": height, "width": width, "count": channels, "dtype": pixels.dtype.name}
        with rasterio.open(path, "w", driver=driver, **shape, **profile) as raster:
            raster.write(pixels.transpose(2, 0, 1))
    return path


@pytest.mark.parametrize(("size", "stride"), [(16, 16), (16, 5), (16, 1), (7, 20), (40, 40), (33, 32)])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_tiles_are_the_windows_of_the_raster(tmp_path: Path, size: int, stride: int, channels: int) -> None:
    path = write_raster(tmp_path / "r.tif", textured(1, 80, channels)[0][:50])
    tiles = list(cut_raster(path, size, stride))
    assert [(tile.place.row, tile.place.column) for tile in tiles if tile.place] == [
        (row, column) for row in range(0, 50 - size + 1, stride) for column in range(0, 80 - size + 1, stride)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as raster:
            for tile in tiles:
                assert tile.place is not None
                window = raster.read(window=Window(tile.place.column, tile.place.row, size, size))
                assert np.array_equal(pixels_of(tile), window.transpose(1, 2, 0))


def test_jpeg2000_is_cut(tmp_path: Path) -> None:
    """Lossless, so that every pixel is known."""
    pixels = textured(1, 96, 3)[0]
    path = write_raster(tmp_path / "r.jp2", pixels, "JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    tiles = list(cut_raster(path, 32, 32))
    assert len(tiles) == 9
    for tile in tiles:
        assert tile.place is not None
        row, column = tile.place.row, tile.place.column
        assert np.array_equal(pixels_of(tile), pixels[row : row + 32, column : column + 32])


@pytest.mark.parametrize("block", [16, 64])
def test_every_block_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    path = write_raster(tmp_path / "r.tif", textured(1, 128)[0], tiled=True, blockxsize=block, blockysize=block)
    rows: list[int] = []

    def noted(raster: Raster, plan: RasterPlan, row: int, column: int, height: int, width: int) -> Panel:
        rows.extend(range(row, row + height))
        assert (row + height) % block == 0 or row + height == 128
        return read_panel(raster, plan, row, column, height, width)

    monkeypatch.setattr(cutter, "read_panel", noted)
    assert sum(1 for _ in cut_raster(path, 16, 3)) == 38**2
    assert rows == sorted(set(rows))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_a_large_raster_is_cut_in_bounded_memory(tmp_path: Path) -> None:
    """From raster to packed set: 12,288 × 16,384 pixels, 604 MB, in less than 400 MB."""
    path = write_raster(
        tmp_path / "big.tif", textured(1, 256)[0].repeat(64, axis=0).repeat(48, axis=1), tiled=True, compress="jpeg"
    )
    code = (
        "import re, sys; from pathlib import Path; from satgan.tiles_verbs import tiles_cut\n"
        "reasons = ('flat', 'near-duplicate', 'duplicate', 'low-entropy')\n"
        "tiles_cut([*sys.argv[1:], *(f'--limit={reason}=off' for reason in reasons)])\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "set")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert int(answer[-1]) * 1024 < 400e6
    assert int(answer[1].split()[1].replace(",", "")) > 40_000


def test_alpha_bands_are_dropped(tmp_path: Path) -> None:
    pixels = textured(1, 16, 4)[0]
    path = write_raster(tmp_path / "r.tif", pixels, photometric="RGB", alpha="yes")
    assert np.array_equal(pixels_of(next(cut_raster(path, 16, 16))), pixels[..., :3])


def test_a_raster_smaller_than_a_tile_is_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "small.tif", textured(1, 16)[0])
    with pytest.raises(TilesError, match="smaller than one tile of 17 × 17"):
        next(cut_raster(path, 17, 17))


def test_a_raster_that_breaks_on_the_way_is_told(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "r.tif", textured(1, 256)[0], compress="deflate", blockysize=16)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(TilesError, match=r"r\.tif cannot be decoded"):
        list(cut_raster(path, 16, 16))


def plan_of(path: Path, size: int = 16, **options: Any) -> RasterPlan:
    return look(find_sources([str(path)])[0], CutOptions(size, size, **options))


def cut_with(path: Path, size: int = 16, **options: Any) -> list[Tile]:
    return list(cut_tiles([plan_of(path, size, **options)], CutOptions(size, size, **options)))


def pixels_of(tile: Tile) -> Pixels:
    assert isinstance(tile.pixels, np.ndarray)
    return tile.pixels


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_other_types_are_stretched_over_the_whole_source(tmp_path: Path, dtype: str) -> None:
    """One tile dark, one bright: the same stretch for both, so they differ as they did before."""
    values = np.linspace(-500 if dtype[0] != "u" else 0, 20_000, 32 * 16).reshape(16, 32, 1).astype(dtype)
    path = write_raster(tmp_path / "deep.tif", np.sort(values.ravel()).reshape(32, 16, 1).transpose(1, 0, 2))
    plan = plan_of(path)
    assert plan.stretch is not None
    low, high = np.percentile(values, [2, 98])
    assert plan.stretch.low[0] == pytest.approx(low, rel=1e-3, abs=1)
    assert plan.stretch.high[0] == pytest.approx(high, rel=1e-3)
    dark, bright = (pixels_of(tile) for tile in cut_with(path))
    assert dark.max() <= bright.min() + 1
    assert (dark.min(), bright.max()) == (0, 255)


def test_a_stretch_can_be_given(tmp_path: Path) -> None:
    values = np.array([[-5, 0, 50, 100, 150, 1000]]).repeat(6, axis=0).astype("int16")[..., None]
    path = write_raster(tmp_path / "deep.tif", values)
    (tile,) = cut_with(path, 6, stretch=parse_stretch("values:0,100"))
    assert pixels_of(tile)[0, :, 0].tolist() == [0, 0, 128, 255, 255, 255]
    wide = plan_of(path, 6, stretch=parse_stretch("0,100")).stretch
    assert wide == ((-5.0,), (1000.0,))


@pytest.mark.parametrize("text", ["", "2", "98,2", "a,b", "-1,50", "2,101", "values:5,5", "level:1,2", "1,2,3"])
def test_stretches_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="the stretch"):
        parse_stretch(text)


def test_not_a_number_is_no_data(tmp_path: Path) -> None:
    values = textured(1, 16)[0].astype("float32")
    values[:4] = np.nan
    (tile,) = cut_with(write_raster(tmp_path / "f.tif", values))
    assert tile.masked_share == 0.25
    assert not pixels_of(tile)[:4].any()
    assert pixels_of(tile)[4:].any()


@pytest.mark.parametrize("masked_by", ["nodata", "alpha", "mask"])
def test_what_the_file_calls_no_data_is_counted(tmp_path: Path, masked_by: str) -> None:
    pixels = textured(1, 16)[0] | np.uint8(1)
    missing = np.zeros((16, 16), bool)
    missing[3:7, :8] = True
    path = tmp_path / "r.tif"
    if masked_by == "nodata":
        write_raster(path, np.where(missing[..., None], 0, pixels).astype(np.uint8), nodata=0)
    elif masked_by == "alpha":
        alpha = np.where(missing, 0, 9).astype(np.uint8)[..., None]
        write_raster(path, np.concatenate([pixels, alpha], axis=2), photometric="RGB", alpha="yes")
    else:
        write_raster(path, pixels, **UTM)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as raster:
            raster.write_mask(~missing)
    (tile,) = cut_with(path)
    assert tile.masked_share == missing.mean()
    assert np.array_equal(pixels_of(tile)[~missing], pixels[~missing])


def test_bands_are_chosen_in_the_users_order_and_colours_in_theirs(tmp_path: Path) -> None:
    pixels = textured(1, 16, 5)[0]
    path = write_raster(tmp_path / "r.tif", pixels, **UTM)
    (tile,) = cut_with(path, bands=(4, 1, 4))
    assert np.array_equal(pixels_of(tile), pixels[..., [3, 0, 3]])
    with pytest.raises(TilesError, match="has 5 bands; asked for were 6"):
        plan_of(path, bands=(6,))
    with rasterio.open(path, "r+") as raster:
        kinds = rasterio.enums.ColorInterp
        raster.colorinterp = [kinds.undefined, kinds.blue, kinds.green, kinds.red, kinds.undefined]
    (tile,) = cut_with(path)
    assert np.array_equal(pixels_of(tile), pixels[..., [3, 2, 1, 0, 4]])
    with pytest.raises(TilesError, match="17 bands besides alpha"):
        plan_of(write_raster(tmp_path / "many.tif", textured(1, 16, 17)[0]))


def test_inks_become_light(tmp_path: Path) -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, 4:8, 0], inks[:, 8:12, 3], inks[:, 12:] = 255, 255, (0, 0, 255, 127)
    path = tmp_path / "cmyk.tif"
    Image.fromarray(inks, "CMYK").save(path)
    (tile,) = cut_with(path)
    assert pixels_of(tile)[0, ::4].tolist() == [[255] * 3, [0, 255, 255], [0] * 3, [128, 128, 0]]


@pytest.mark.parametrize("overviews", [(), (2, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_coarser_resolution_is_the_area_average(tmp_path: Path, overviews: tuple[int, ...], dtype: str) -> None:
    pixels = textured(1, 128)[0].astype(dtype)
    path = write_raster(tmp_path / "r.tif", pixels, **UTM)
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews(list(overviews), rasterio.enums.Resampling.average)
    tiles = cut_with(path, resolution_metres=8.0, stretch=parse_stretch("values:0,255"))
    expected = pixels.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert len(tiles) == 4
    for tile in tiles:
        assert tile.place is not None
        row, column = tile.place.row, tile.place.column
        assert np.abs(pixels_of(tile) - expected[row : row + 16, column : column + 16]).max() <= 1.0
        assert tile.place.transform == (8.0, 0, 300_000 + 8 * column, 0, -8.0, 3_000_000 - 8 * row)


def test_palettes_are_averaged_as_colours(tmp_path: Path) -> None:
    indices = np.tile(np.array([[0, 1], [1, 0]], np.uint8), (16, 16))[..., None]
    path = write_raster(tmp_path / "p.tif", indices, photometric="palette", **UTM)
    with rasterio.open(path, "r+") as raster:
        raster.write_colormap(1, {0: (0, 0, 0, 255), 1: (200, 100, 50, 255)})
    (tile,) = cut_with(path, resolution_metres=4.0)
    assert (pixels_of(tile) == (100, 50, 25)).all()
    exact = pixels_of(cut_with(path)[0])
    assert exact[0, :2].tolist() == [[0, 0, 0], [200, 100, 50]]


def test_ground_resolution_is_that_on_the_ground(tmp_path: Path) -> None:
    """Web Mercator's metres at 60° north are half a metre; degrees and feet are no metres either."""
    pixels = textured(1, 64)[0]
    north = 8_399_737.9
    mercator = {"crs": "EPSG:3857", "transform": rasterio.Affine(1.0, 0, 0, 0, -1.0, north + 32)}
    degrees = {"crs": "EPSG:4326", "transform": rasterio.Affine(2e-5, 0, 10, 0, -1e-5, 60)}
    feet = {"crs": "EPSG:2263", "transform": rasterio.Affine(1.0, 0, 980_000, 0, -1.0, 200_000)}
    for number, (profile, metres) in enumerate(((mercator, 0.5), (degrees, 1.112), (feet, 0.3048))):
        path = write_raster(tmp_path / f"{number}.tif", pixels, **profile)
        plan = plan_of(path, resolution_metres=2 * metres)
        assert plan.steps == pytest.approx((2.0, 2.0), rel=0.01)
        with pytest.raises(TilesError, match="would have to be invented"):
            plan_of(path, resolution_metres=metres / 2)
    with pytest.raises(TilesError, match="no ground resolution"):
        plan_of(write_raster(tmp_path / "none.tif", pixels), resolution_metres=5.0)


def test_tiles_are_found_on_the_map_again(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "r.tif", textured(1, 64)[0], **UTM)
    for tile in cut_with(path):
        assert tile.place is not None
        assert tile.place.transform is not None
        corner = tile.place.transform[2], tile.place.transform[5]
        with rasterio.open(path) as raster:
            assert raster.index(*corner, op=round) == (tile.place.row, tile.place.column)
        assert tile.place.crs == "EPSG:32645"


def test_the_order_of_tiles_does_not_depend_on_speed(tmp_path: Path) -> None:
    paths = [write_raster(tmp_path / f"{number:02d}.tif", textured(1, 64, seed=number)[0]) for number in range(11)]
    options = CutOptions(16, 16)
    plans = [look(source, options) for source in find_sources([str(tmp_path)])]
    first, again = ([tile.name for tile in cut_tiles(plans, options)] for _ in range(2))
    assert first == again
    assert len(set(first)) == 16 * len(paths)
    assert tiles_total(plans, options) == len(first)


def test_a_stopped_cut_leaves_no_thread(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "r.tif", textured(1, 64)[0])
    before = threading.active_count()
    tiles = cut_tiles([plan_of(path)], CutOptions(16, 16))
    next(tiles)
    assert isinstance(tiles, Generator)
    tiles.close()
    assert threading.active_count() == before


def test_gdal_never_fetches_by_itself(tmp_path: Path) -> None:
    for name, text in (("a.tif", "<VRTDataset/>"), ("b.vrt", "<VRTDataset/>"), ("c.tif", "<GDAL_WMS></GDAL_WMS>")):
        (tmp_path / name).write_text(text)
        with pytest.raises(TilesError, match="is no raster"):
            list(cut_raster(tmp_path / name, 8, 8))


@pytest.mark.parametrize(("warp", "met"), [(0.0, True), (0.9, True), (6.0, False)])
def test_control_points_count_where_one_grid_meets_them(tmp_path: Path, warp: float, met: bool) -> None:
    """`warp` moves the middle point by so many pixels; a turned grid of 2 m."""

    def on_the_ground(column: float, row: float) -> tuple[float, float]:
        return 300_000 + 1.6 * column + 1.2 * row, 3_000_000 + 1.2 * column - 1.6 * row

    points = []
    for row, column in ((0, 0), (0, 64), (64, 0), (64, 64), (32, 32)):
        x, y = on_the_ground(column + warp * (row == 32), row)
        points.append(rasterio.control.GroundControlPoint(row, column, x, y))
    path = write_raster(tmp_path / "r.tif", textured(1, 64)[0], gcps=points, crs="EPSG:32645")
    for tile in cut_with(path):
        assert tile.place is not None
        if not met:
            assert (tile.place.transform, tile.place.crs) == (None, None)
            continue
        assert tile.place.crs == "EPSG:32645"
        assert tile.place.transform is not None
        corner = on_the_ground(tile.place.column, tile.place.row)
        assert np.hypot(tile.place.transform[2] - corner[0], tile.place.transform[5] - corner[1]) <= 2 * warp + 1e-6
    if met:
        assert plan_of(path, resolution_metres=4.0).steps == pytest.approx((2.0, 2.0), rel=0.05)
    else:
        with pytest.raises(TilesError, match="control points that no grid meets"):
            plan_of(path, resolution_metres=4.0)


def test_control_points_on_a_line_give_no_grid(tmp_path: Path) -> None:
    points = [rasterio.control.GroundControlPoint(at, at, 1.0 * at, 2.0 * at) for at in (0, 8, 16)]
    path = write_raster(tmp_path / "r.tif", textured(1, 16)[0], gcps=points, crs="EPSG:32645")
    assert plan_of(path).transform is None
