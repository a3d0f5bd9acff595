"""Small pictures become tiles as they are; whatever cannot be read is refused with its name."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from satgan.errors import TilesError
from satgan.tiles.decode import decode_tile, tile_shape
from satgan.tiles.formats import exif_orientation, refuse_bomb
from tests.tiles.sample_tiles import read_tile, textured


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
        with pytest.raises(TilesError, match=rf"tile\.{ending} (cannot be decoded|is )"):
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
            assert decode_tile(bytes(damaged), "damaged").pixels.dtype == np.uint8


def test_a_header_alone_gives_the_shape(tmp_path: Path) -> None:
    Image.fromarray(textured(1, 64)[0]).save(tmp_path / "t.png")
    data = (tmp_path / "t.png").read_bytes()
    assert tile_shape(data[:100], "t") == (64, 64, 3)
    with pytest.raises(TilesError):
        decode_tile(data[:100], "t")


def test_wholly_transparent_pixels_are_no_data(tmp_path: Path) -> None:
    pixels = textured(1, 16, 4)[0]
    pixels[..., 3] = 1
    pixels[:4, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "t.png")
    decoded = decode_tile((tmp_path / "t.png").read_bytes(), "t")
    assert decoded.masked_share == 4 / 16
    assert np.array_equal(decoded.pixels, pixels[..., :3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_that_lie_on_their_side_are_turned_upright(orientation: int) -> None:
    image, data, exif = Image.fromarray(textured(1, 16)[0][:12]), io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    image.save(data, "PNG", exif=exif)
    decoded = decode_tile(data.getvalue(), "t").pixels
    with Image.open(data) as opened:
        assert np.array_equal(decoded, np.asarray(ImageOps.exif_transpose(opened)))
    assert tile_shape(data.getvalue(), "t") == decoded.shape


def test_broken_exif_says_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()
    assert exif_orientation(block) == 6
    for length in range(len(block) - 4):
        assert exif_orientation(block[:length]) in (1, 6)
    assert exif_orientation(b"") == exif_orientation(b"nonsense" * 4) == 1


def test_sizes_are_told_as_people_write_them() -> None:
    """Width first, as for rasters."""
    memory = io.BytesIO()
    Image.new("1", (5120, 4096)).save(memory, "PNG")
    with pytest.raises(TilesError, match="is 5120 × 4096 pixels, too large"):
        tile_shape(memory.getvalue(), "wide.png")
    with pytest.raises(TilesError, match="bomb: 30000 × 20000 pixels"):
        refuse_bomb("wide.png", height=20_000, width=30_000, pixel_bytes=3, file_bytes=1000)
