"""Conversions and the eight symmetries."""

import pytest
import torch
from torch import Tensor

from satgan.tiles.pixels import augment_dihedral, to_bytes, to_unit_range

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    return str(request.param)


def every_byte(channels: int = 4) -> Tensor:
    """`[1, 16, 16, channels] uint8`: in each channel all 256 values, each in another place."""
    values = [torch.arange(256).roll(17 * channel) for channel in range(channels)]
    return torch.stack(values, dim=-1).reshape(1, 16, 16, channels).to(torch.uint8)


def square(size: int = 3) -> Tensor:
    """A tile `[1, size, size, 2]` whose pixels all differ."""
    return torch.arange(size * size * 2, dtype=torch.uint8).reshape(1, size, size, 2)


def turned(tiles: Tensor, code: int) -> Tensor:
    return augment_dihedral(tiles, torch.full((len(tiles),), code))


def test_bytes_become_the_formulas_numbers(device: str) -> None:
    tiles = every_byte()
    numbers = to_unit_range(tiles.to(device)).cpu()
    expected = tiles.permute(0, 3, 1, 2).double() / 127.5 - 1
    assert numbers.dtype == torch.float32
    assert numbers.shape == (1, 4, 16, 16)
    assert (numbers.double() - expected).abs().max() < 1e-7
    assert (numbers.min().item(), numbers.max().item()) == (-1, 1)
    assert torch.equal(numbers, to_unit_range(tiles)), "bits differ from the CPU's"


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 16])
def test_unit_range_lies_channels_last_in_memory(channels: int) -> None:
    numbers = to_unit_range(torch.zeros(2, 8, 8, channels, dtype=torch.uint8))
    assert numbers.is_contiguous(memory_format=torch.channels_last)
    assert numbers.stride(1) == 1 or channels == 1


@pytest.mark.parametrize("precision", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_bytes_survive_the_round_trip(channels: int, precision: torch.dtype, device: str) -> None:
    tiles = every_byte(channels)
    back = to_bytes(to_unit_range(tiles.to(device)).to(precision)).cpu()
    assert back.dtype == torch.uint8
    assert back.is_contiguous()
    assert torch.equal(back, tiles)


def test_numbers_outside_are_clipped_and_between_are_rounded() -> None:
    numbers = torch.tensor([-7.0, -1.01, -1.0, -0.999, 0.001, 0.9999, 1.0, 1.01, 7.0]).reshape(1, 1, 3, 3)
    assert to_bytes(numbers).flatten().tolist() == [0, 0, 0, 0, 128, 255, 255, 255, 255]


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_short_floats_are_computed_in_float32(precision: torch.dtype) -> None:
    numbers = torch.rand(2, 3, 32, 32).mul(2).sub(1).to(precision)
    images = to_bytes(numbers)
    assert images.is_contiguous()
    assert torch.equal(images, to_bytes(numbers.float()))


def test_inputs_are_left_as_they_are() -> None:
    tiles, numbers = every_byte(), torch.rand(1, 3, 4, 4)
    kept_tiles, kept_numbers = tiles.clone(), numbers.clone()
    to_unit_range(tiles)
    to_bytes(numbers)
    augment_dihedral(tiles, torch.tensor([5]))
    assert torch.equal(tiles, kept_tiles)
    assert torch.equal(numbers, kept_numbers)


def test_code_zero_is_the_identity() -> None:
    assert torch.equal(turned(every_byte(), 0), every_byte())


def test_codes_are_the_eight_flips_and_quarter_turns(device: str) -> None:
    tile = square().to(device)
    quarters = [torch.rot90(tile, turns, dims=(1, 2)) for turns in range(4)]
    symmetries = {tuple(image.flatten().tolist()) for quarter in quarters for image in (quarter, quarter.flip(1))}
    codes = torch.arange(8, device=device)
    images = augment_dihedral(tile.expand(8, -1, -1, -1), codes)
    assert len(symmetries) == 8
    assert {tuple(image.flatten().tolist()) for image in images} == symmetries


def test_bits_of_a_code_mean_what_they_say() -> None:
    for code in range(8):
        rows = square()[0]
        rows = rows.flipud() if code & 1 else rows
        rows = rows.fliplr() if code & 2 else rows
        assert torch.equal(turned(square(), code)[0], rows.transpose(0, 1) if code & 4 else rows)


def test_codes_form_a_group() -> None:
    images = {tuple(turned(square(), code).flatten().tolist()): code for code in range(8)}
    table = [
        [images[tuple(turned(turned(square(), first), second).flatten().tolist())] for second in range(8)]
        for first in range(8)
    ]
    assert all(sorted(row) == list(range(8)) for row in table), "closure"
    assert all(0 in row for row in table), "inverse"
    assert any(table[a][b] != table[b][a] for a in range(8) for b in range(8)), "turns and flips do not commute"


@pytest.mark.parametrize("precision", [torch.uint8, torch.float32, torch.bfloat16])
def test_each_tile_is_turned_by_its_own_code(precision: torch.dtype) -> None:
    tiles = torch.randint(0, 256, (40, 6, 6, 3), dtype=torch.uint8).to(precision)
    codes = torch.randint(0, 8, (40,))
    together = augment_dihedral(tiles, codes)
    alone = [turned(tile[None], int(code)) for tile, code in zip(tiles, codes, strict=True)]
    assert together.dtype == precision
    assert torch.equal(together, torch.cat(alone))
