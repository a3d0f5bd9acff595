"""Every file of the zoo has an expected outcome: the right pixels by a second reading, or a refusal that says why."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from satgan.errors import TilesError
from satgan.tiles.cutter import cut_raster
from satgan.tiles.decode import decode_tile
from satgan.tiles.look import CutOptions, look
from satgan.tiles.sources import find_sources
from tests.tiles.second_reader import read_tiff

Picture = NDArray[Any]
Mask = Callable[[Picture], NDArray[np.bool_]]


class Right(NamedTuple):
    """The pixels of the second reading: some of its channels, and where they are no data."""

    read: Callable[[Path], Picture]
    channels: tuple[int, ...]
    missing: Mask = lambda picture: np.zeros(picture.shape[:2], bool)
    stretched: bool = False
    tolerance: int = 0


def value(number: float) -> Mask:
    """No data where every channel has this value."""
    return lambda picture: (picture == number).all(axis=2)


def alpha(picture: Picture) -> NDArray[np.bool_]:
    """No data where the last channel is 0."""
    return np.asarray(picture[..., -1] == 0)


def pillow(mode: str) -> Callable[[Path], Picture]:
    """The picture upright, converted by Pillow."""

    def read(path: Path) -> Picture:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken EXIF
            return np.atleast_3d(np.asarray(ImageOps.exif_transpose(Image.open(path)).convert(mode)))

    return read


def sixteen_bit_png(path: Path) -> Picture:
    """Pillow's own words: the high bytes of a 16-bit PNG in colour."""
    with Image.open(path) as image:
        return np.asarray(image)


def inner_mask(path: Path) -> Picture:
    """The pixels with a last channel that is 0 where the file's second picture, its mask, is."""
    return np.concatenate([read_tiff(path), read_tiff(path, 1)], axis=2)


def coloured(path: Path) -> Picture:
    """The colours behind a TIFF's palette; a fourth channel is 0 where the index is 0."""
    with Image.open(path) as image:
        levels = np.array(image.tag_v2[320]).reshape(3, 256).T // 257  # type: ignore[attr-defined]
    indices = read_tiff(path)[..., 0]
    return np.concatenate([levels[indices], indices[..., None] > 0], axis=2).astype(np.uint8)


JPEG = 18
"""Decoders differ in how they enlarge the colour channels: so many levels at most, a sixth of that in the mean."""

RGB, RGBA, GREY = pillow("RGB"), pillow("RGBA"), pillow("L")
COLOUR, FOUR, SIX = (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4, 5)

ZOO: dict[str, Right | str] = {
    "c01_s2_3band_uint16.tif": Right(read_tiff, COLOUR, stretched=True),
    "c02_landsat_4band_uint16.tif": Right(read_tiff, FOUR, value(0), stretched=True),
    "c03_landsat7_6band_uint8.tif": Right(read_tiff, SIX),
    "c04_landsat_rgb_uint16.tif": Right(read_tiff, COLOUR, stretched=True),
    "c05_landsat8_pan_uint16_gray.tif": Right(read_tiff, (0,), value(0), stretched=True),
    "c09_rgba_uint8_alpha_nodata.tif": Right(read_tiff, COLOUR, alpha),
    "c10_rgba_uint16.tif": Right(read_tiff, (2, 1, 0), alpha, stretched=True),  # blue, green, red, alpha
    "c11_all_nodata_uint16.tif": Right(read_tiff, (2, 1, 0, 3), value(0), stretched=True),
    "c12_corrupt.tif": "cannot be decoded: rows 512 to .*: TIFFFillTile:Read error",
    "c13_ycbcr_jpeg_tiff.tif": Right(RGB, COLOUR, tolerance=JPEG),
    "c14_gray_uint8_nodata255.tif": Right(read_tiff, (0,), value(255)),
    "c15_float32_nan.tif": r"3 × 2 pixels, smaller than one tile",
    "c16_rgb_nodata0.tif": Right(read_tiff, COLOUR, value(0)),
    "c17_colormap_palette.tif": Right(coloured, COLOUR, alpha),
    "c18_internal_mask.tif": Right(inner_mask, COLOUR, alpha),
    "c19_cog_int16.tif": Right(read_tiff, (0,), value(-32768), stretched=True),
    "c20_naip_4band_rgbnir_uint8.tif": Right(read_tiff, FOUR, value(0)),
    "c21_falsecolour_4band_swir_nir_r_g.tif": Right(read_tiff, FOUR, value(0)),
    "c22_s2_half_nodata.png": Right(RGB, COLOUR),
    "c23_gps_gcps.tif": Right(read_tiff, (0,), stretched=True),
    "c24_s2_with_watermark_white_nodata_B04.tiff": Right(read_tiff, (0,)),
    "c26_oam_rgba_black_pixels_transparent.png": Right(RGBA, COLOUR, alpha),
    "m01_cmyk.jpg": Right(RGB, COLOUR, tolerance=JPEG),
    "m02_palette.png": Right(RGB, COLOUR),
    "m03_palette_trns.png": Right(RGBA, COLOUR, alpha),
    "m04_gray.png": Right(GREY, (0,)),
    "m05_1bit.png": Right(GREY, (0,)),
    "m06_gray_alpha.png": Right(pillow("LA"), (0,), alpha),
    "m07_rgba_nodata_third.png": Right(RGBA, COLOUR, alpha),
    "m08_gray16.png": Right(lambda path: np.asarray(Image.open(path))[..., None], (0,), stretched=True),
    "m09_truncated.jpg": "cannot be decoded",
    "m10_truncated.png": "cannot be decoded",
    "m11_bitflip.png": "cannot be decoded",
    "m12_empty.png": "is empty: 0 bytes",
    "m13_text_named.jpg": "it is text, 'this is not an image",
    "m14_html_error.png": "an XML document, perhaps a server's error message",
    "m15_progressive.jpg": Right(RGB, COLOUR, tolerance=JPEG),
    "m16_webp.webp": Right(RGB, COLOUR, tolerance=JPEG),
    "m17_bmp.bmp": Right(RGB, COLOUR),
    "m18_png_named_as.jpg": Right(RGB, COLOUR),
    "m19_exif_rot90.jpg": Right(RGB, COLOUR, tolerance=JPEG),
    "m20_63x64.png": Right(RGB, COLOUR),
    "m21_10x10.png": Right(RGB, COLOUR),
    "m22_1x300.png": r"1 × 300 pixels, smaller than one tile",
    "m23_250x190.png": Right(RGB, COLOUR),
    "m24_black.png": Right(RGB, COLOUR),
    "m25_white.png": Right(RGB, COLOUR),
    "m26_multipage.tif": Right(read_tiff, COLOUR),
    "m27_ycbcr.jpg": Right(RGB, COLOUR, tolerance=JPEG),
    "m28_name with space & ünï.png": Right(RGB, COLOUR),
    "m29_bomb_30000x30000.png": "is a decompression bomb: 30000 × 30000 pixels, 858 MB",
    "m30_lfs_pointer.tif": "a Git LFS pointer",
    "m31_gif.gif": "it is a GIF",
    "p_16bit.cropped.tif": Right(read_tiff, (0,), stretched=True),
    "p_broken_data_stream.png": "cannot be decoded",
    "p_decompression_bomb.gif": "it is a GIF",
    "p_exif_gps.jpg": Right(RGB, COLOUR, tolerance=JPEG),
    "p_hopper.Lab.tif": r"its colours are CIELAB",
    "p_hopper_bad_exif.jpg": "cannot be decoded: .*Corrupt JPEG data",
    "p_junk_jpeg_header.jpg": "cannot be decoded: rows 0 to 7",
    "p_mode_16bit.png": Right(sixteen_bit_png, COLOUR, alpha, stretched=True, tolerance=2),
    "p_pil_sample_cmyk.jpg": Right(RGB, COLOUR, tolerance=JPEG),
    "p_rgb_trns.png": Right(RGBA, COLOUR, alpha),
    "p_tiff_16bit_RGB.tiff": Right(read_tiff, COLOUR, stretched=True),
    "p_transparent.png": Right(RGBA, COLOUR, alpha),
    "p_truncated_image.png": "cannot be decoded",
    "p_truncated_jpeg.jpg": "cannot be decoded",
}

SIZE = 8


def test_the_table_has_every_file(shared_data: Path) -> None:
    assert len(ZOO) == 67
    assert sorted(ZOO) == sorted(path.name for path in (shared_data / "zoo").iterdir())


@pytest.mark.parametrize("name", ZOO)
def test_a_file_is_cut_rightly_or_refused_by_name(shared_data: Path, name: str) -> None:
    path, expected = shared_data / "zoo" / name, ZOO[name]
    if isinstance(expected, str):
        with pytest.raises(TilesError, match=expected) as told:
            list(cut_raster(path, SIZE, SIZE))
        assert name in told.value.found
        return
    picture = expected.read(path)
    missing = expected.missing(picture)
    wanted = picture[..., expected.channels]
    plan = look(find_sources([str(path)])[0], CutOptions(SIZE, SIZE))
    assert (plan.stretch is not None) == expected.stretched
    if plan.stretch is not None:
        low, high = np.array(plan.stretch.low), np.array(plan.stretch.high)
        check_percentiles(wanted[~missing], low, high, name)
        scale = 255 / np.where(high > low, high - low, np.inf)
        factor = 257 if wanted.dtype == np.uint8 else 1
        wanted = np.clip(np.rint((wanted.astype(float) * factor - low) * scale), 0, 255)
        wanted[missing] = 0
    tolerance = expected.tolerance + expected.stretched  # values that lie between two levels
    compare(path, wanted, missing, tolerance, max(SIZE, min(picture.shape[:2]) // 16 // SIZE * SIZE))


def check_percentiles(values: Picture, low: Picture, high: Picture, name: str) -> None:
    """The sampled ends lie where the 2nd and 98th percentiles of all valid values are, give or take one percent."""
    factor = 257.0 if values.dtype == np.uint8 else 1.0
    if len(values):
        for end, (least, most) in ((low, (0.5, 3.5)), (high, (96.5, 99.5))):
            below, above = (np.percentile(values, percent, axis=0) * factor for percent in (least, most))
            assert (below <= end + factor).all(), name
            assert (end <= above + factor).all(), name


def compare(path: Path, wanted: Picture, missing: NDArray[np.bool_], tolerance: int, size: int) -> None:
    """Every tile of the file has the wanted pixels of its place, and the share of those that are missing."""
    count = 0
    for tile in cut_raster(path, size, size):
        assert tile.place is not None
        assert isinstance(tile.pixels, np.ndarray)
        row, column = tile.place.row, tile.place.column
        if "rot90" in path.name:  # the file lies on its side: rows of the upright picture are its columns, from the end
            row, column = column, wanted.shape[1] - row - size
        window = slice(row, row + size), slice(column, column + size)
        difference = np.abs(tile.pixels.astype(float) - wanted[window])
        assert difference.max() <= tolerance, (tile.place, difference.max())
        assert difference.mean() <= tolerance / 6, (tile.place, difference.mean())
        assert tile.masked_share == pytest.approx(missing[window].mean(), abs=1e-6)
        count += 1
    assert count == (wanted.shape[0] // size) * (wanted.shape[1] // size)


PACKED = ("PNG", "JPEG", "WEBP", "BMP")
ONLY_PACKED = {"m22_1x300.png": RGB, "p_hopper_bad_exif.jpg": GREY, "p_junk_jpeg_header.jpg": RGB}
"""Pillow takes these, though no raster can be cut from them: GDAL tells of stray bytes in the two JPEGs. In the one
they lie between segments of the header and do no harm; in the other pixels are damaged, and Pillow says nothing."""


@pytest.mark.parametrize("name", ZOO)
def test_a_file_is_packed_rightly_or_refused_by_name(shared_data: Path, name: str) -> None:
    path, expected = shared_data / "zoo" / name, ZOO[name]
    read = ONLY_PACKED.get(name) or (None if isinstance(expected, str) or expected.stretched else expected.read)
    if read is None or ".tif" in name:
        with pytest.raises(TilesError) as told:
            decode_tile(path.read_bytes(), name)
        assert name in told.value.found
        return
    decoded, picture = decode_tile(path.read_bytes(), name), read(path)
    assert np.array_equal(decoded.pixels, picture[..., : decoded.pixels.shape[2]])
    if isinstance(expected, Right):
        assert decoded.masked_share == pytest.approx(expected.missing(picture).mean())


@pytest.mark.parametrize("name", ["m29_bomb_30000x30000.png", "p_decompression_bomb.gif"])
@pytest.mark.parametrize(
    "door", ["cut_raster(Path(sys.argv[1]), 64, 64)", "[decode_tile(Path(sys.argv[1]).read_bytes(), sys.argv[1])]"]
)
def test_bombs_never_allocate(shared_data: Path, name: str, door: str) -> None:
    code = (
        "import resource, sys; from pathlib import Path; import rasterio, PIL.Image\n"
        "from satgan.errors import TilesError; from satgan.tiles.cutter import cut_raster\n"
        "from satgan.tiles.decode import decode_tile\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"try: list({door})\nexcept TilesError: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", code, str(shared_data / "zoo" / name)]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown < 40 * 1024  # kB; decoded they have 858 MB and 4.1 GB
