"""The one place where tiles change between bytes and [-1, 1], and between NHWC and the networks' layout (S08, S11).

All functions run on the device that holds their input and have static shapes, so that they compile and can be
captured in a graph.
"""

import torch
from torch import Tensor


def to_unit_range(tiles: Tensor) -> Tensor:
    """Bytes as the networks take them: x / 127.5 - 1 (G01).

    Computed as (2x - 255) · (1/255): the bracket is exact, so a single rounding is left, and CPU, GPU and compiled
    code (with or without fused multiply-add) give the same bits. 0 and 255 give exactly -1 and 1.

    Args:
        tiles: `[B, H, W, C] uint8`.

    Returns:
        `[B, C, H, W] float32` in [-1, 1], channels_last in memory.
    """
    assert tiles.dtype == torch.uint8, tiles.dtype
    numbers = tiles.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last)
    return numbers.mul_(2).sub_(255).mul_(1 / 255)


def to_bytes(images: Tensor) -> Tensor:
    """What the networks give as bytes: x · 127.5 + 127.5, rounded and clipped (G01).

    Args:
        images: `[B, C, H, W]` of any float type, meant to be in [-1, 1]; computed in float32.

    Returns:
        `[B, H, W, C] uint8`, contiguous. `to_bytes(to_unit_range(tiles))` equals `tiles`, also through bfloat16.
    """
    numbers = images.to(torch.float32) * 127.5 + 127.5
    return numbers.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def augment_dihedral(tiles: Tensor, codes: Tensor) -> Tensor:
    """Flip or turn each tile: overhead imagery has no up, so all eight symmetries of the square are as likely.

    Args:
        tiles: `[B, H, W, C]` of any type, H = W.
        codes: `[B] int64`, 0 to 7, on the same device. Bit 0 reverses the rows, then bit 1 the columns, then bit 2
            exchanges rows and columns; 0 leaves the tile as it is.

    Returns:
        `[B, H, W, C]` of the same type.
    """
    assert tiles.shape[1] == tiles.shape[2], tiles.shape
    bits = codes.view(-1, 1, 1, 1)
    tiles = torch.where((bits & 1).bool(), tiles.flip(1), tiles)
    tiles = torch.where((bits & 2).bool(), tiles.flip(2), tiles)
    return torch.where((bits & 4).bool(), tiles.transpose(1, 2), tiles)
