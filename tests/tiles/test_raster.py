"""Windows of rasters are the file's own pixels; whatever cannot be read is refused with its name."""

import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from satgan.errors import SatganError, StoreMissing, TilesError
from satgan.tiles import raster as raster_module
from satgan.tiles.raster import cut_raster, decode_tile, raster_channels, read_tile, tile_shape
from tests.tiles.sample_tiles import Pixels, textured


def write_raster(path: Path, pixels: Any, **profile: Any) -> Path:
    """`[H, W, C]` as a GeoTIFF."""
    height, width, channels = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        shape = {"height": height, "width": width, "count": channels, "dtype": pixels.dtype.name}
        with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as raster:
            raster.write(pixels.transpose(2, 0, 1))
    return path


@pytest.mark.parametrize(("size", "stride"), [(16, 16), (16, 5), (16, 1), (7, 20), (40, 40), (33, 32)])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_tiles_are_the_windows_of_the_raster(tmp_path: Path, size: int, stride: int, channels: int) -> None:
    path = write_raster(tmp_path / "r.tif", textured(1, 80, channels)[0][:50])
    tiles = list(cut_raster(path, size, stride))
    assert [(tile.row, tile.column) for tile in tiles] == [
        (row, column) for row in range(0, 50 - size + 1, stride) for column in range(0, 80 - size + 1, stride)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as raster:
            for tile in tiles:
                window = raster.read(window=Window(tile.column, tile.row, size, size))
                assert np.array_equal(tile.pixels, window.transpose(1, 2, 0))
                assert tile.pixels.flags.c_contiguous


def test_every_row_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_raster(tmp_path / "r.tif", textured(1, 50)[0])
    decoded: list[int] = []
    read_rows = raster_module._read_rows

    def noted(raster: Any, bands: list[int], row: int, count: int, path: Path) -> Pixels:
        decoded.extend(range(row, row + count))
        return read_rows(raster, bands, row, count, path)

    monkeypatch.setattr(raster_module, "_read_rows", noted)
    assert sum(1 for _ in cut_raster(path, 16, 3)) == 12**2
    assert decoded == list(range(49))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_raster(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "big.tif", np.zeros((9_000, 8_000, 3), np.uint8), tiled=True, compress="jpeg")
    code = (
        "import re, sys; from pathlib import Path; from satgan.tiles.raster import cut_raster, raster_channels\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "raster_channels(Path(sys.argv[1]))\n"
        "before = peak()\n"
        "assert sum(1 for _ in cut_raster(Path(sys.argv[1]), 64, 64)) == 140 * 125\n"
        "print(peak() - before)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(answer.stdout) * 1024 < 120 * 2**20  # the raster has 206 MiB


def test_alpha_bands_are_dropped(tmp_path: Path) -> None:
    pixels = textured(1, 16, 4)[0]
    path = write_raster(tmp_path / "r.tif", pixels, photometric="RGB", alpha="yes")
    assert raster_channels(path) == 3
    assert np.array_equal(next(cut_raster(path, 16, 16)).pixels, pixels[..., :3])


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_types_are_refused_with_the_way_out(tmp_path: Path, dtype: str) -> None:
    path = write_raster(tmp_path / "deep.tif", np.zeros((16, 16, 1), dtype))
    for refused in (lambda: next(cut_raster(path, 16, 16)), lambda: raster_channels(path)):
        with pytest.raises(TilesError, match=dtype) as told:
            refused()
        assert str(path) in told.value.found
        assert "gdal_translate -ot Byte -scale" in told.value.remedy


def test_palettes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    Image.fromarray(textured(1, 16)[0]).quantize(16).save(path)
    with pytest.raises(TilesError, match="palette"):
        next(cut_raster(path, 16, 16))


def test_a_raster_smaller_than_a_tile_is_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "small.tif", textured(1, 16)[0])
    with pytest.raises(TilesError, match="smaller than one tile of 17 × 17"):
        next(cut_raster(path, 17, 17))


def test_a_raster_that_breaks_on_the_way_is_told(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "r.tif", textured(1, 256)[0], compress="deflate", blockysize=16)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(TilesError, match=r"r\.tif cannot be decoded"):
        list(cut_raster(path, 16, 16))


def test_missing_files_are_told(tmp_path: Path) -> None:
    for refused in (lambda: next(cut_raster(tmp_path / "none", 8, 8)), lambda: read_tile(tmp_path / "none")):
        with pytest.raises(StoreMissing, match="none"):
            refused()


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 1), ("1", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)])
def test_modes_become_channels(tmp_path: Path, mode: str, channels: int) -> None:
    colour = Image.fromarray(textured(1, 16)[0] & np.uint8(0xF0))
    image = colour.quantize(256) if mode == "P" else colour.convert(mode)
    image.save(tmp_path / "t.png")
    tile = read_tile(tmp_path / "t.png")
    assert tile.shape == tile_shape((tmp_path / "t.png").read_bytes(), "t") == (16, 16, channels)
    assert tile.dtype == np.uint8
    expected = np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(16, 16, channels)
    assert np.array_equal(tile, expected)


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    pixels = textured(1, 16, 4)[0]
    pixels[..., 3] = 0
    Image.fromarray(pixels).save(tmp_path / "t.png")
    assert np.array_equal(read_tile(tmp_path / "t.png"), pixels[..., :3])


def test_sixteen_bit_tiles_are_refused(tmp_path: Path, shared_data: Path) -> None:
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(tmp_path / "deep.png")
    for path in (tmp_path / "deep.png", shared_data / "zoo" / "p_mode_16bit.png"):
        with pytest.raises(TilesError, match="16-bit"):
            read_tile(path)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_truncated_and_foreign_files_are_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"tile.{ending}"
    Image.fromarray(textured(1, 64)[0]).save(path)
    data = path.read_bytes()
    for broken in (data[: len(data) // 2], data[:20], b"", b"<html>not here</html>"):
        path.write_bytes(broken)
        with pytest.raises(TilesError, match=rf"tile\.{ending} cannot be decoded"):
            read_tile(path)


@pytest.mark.parametrize("kind", ["png", "jpeg", "palette"])
def test_damaged_headers_are_read_or_refused(kind: str) -> None:
    data = io.BytesIO()
    image = Image.fromarray(textured(1, 16)[0])
    (image.quantize(16) if kind == "palette" else image).save(data, "jpeg" if kind == "jpeg" else "png")
    random = np.random.Generator(np.random.Philox(1))
    for _ in range(1500):
        damaged = bytearray(data.getvalue())
        for place in random.integers(0, 120, 2):
            damaged[place] = random.integers(0, 256)
        with suppress(TilesError):
            assert decode_tile(bytes(damaged), "damaged").dtype == np.uint8


def test_a_header_alone_gives_the_shape(tmp_path: Path) -> None:
    Image.fromarray(textured(1, 64)[0]).save(tmp_path / "t.png")
    data = (tmp_path / "t.png").read_bytes()
    assert tile_shape(data[:100], "t") == (64, 64, 3)
    with pytest.raises(TilesError):
        decode_tile(data[:100], "t")


def test_every_odd_file_is_read_or_refused(shared_data: Path) -> None:
    """No exception of Pillow's or GDAL's comes through, no warning, and no image bomb goes off."""
    for path in sorted((shared_data / "zoo").iterdir()):
        for attempt in (read_tile, _first_tile):
            outcome = _outcome(attempt, path)
            assert path.name in outcome if isinstance(outcome, str) else outcome.dtype == np.uint8


def _outcome(attempt: Callable[[Path], Pixels], path: Path) -> Pixels | str:
    try:
        return attempt(path)
    except SatganError as error:
        return error.found


def _first_tile(path: Path) -> Pixels:
    return next(cut_raster(path, 8, 8)).pixels
