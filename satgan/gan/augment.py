"""Differentiable augmentation (Zhao et al., arXiv 2006.10738): the discriminator never sees a tile as it is.

Real tiles and fakes are changed alike, and gradients pass through the changes to the generator. Each change takes its
random numbers from a row of `[B, UNIFORMS]`, uniform in [0, 1): the brightness, saturation and contrast of `color`,
the rows and columns of `translation`, the rows and columns of `cutout`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

UNIFORMS = 7
TRANSLATION_SHARE = 1 / 8
"""Of the tile's width, that it is moved at most."""

CUTOUT_SHARE = 1 / 2
"""Of the tile's width, that the square is wide which is cut out."""


def augment(tiles: Tensor, changes: Sequence[str], uniforms: Tensor) -> Tensor:
    """Tiles `[B, C, S, S]` of any float type, changed, in float32.

    Args:
        tiles: in [-1, 1]; what is moved in or cut out is 0.
        changes: of CHANGES, in any order; applied in that of CHANGES.
        uniforms: `[B, UNIFORMS]` float32 in [0, 1), on the same device.
    """
    tiles = tiles.float()
    columns = uniforms.T[:, :, None, None, None]
    for name, (first, last, change) in CHANGES.items():
        if name in changes:
            tiles = change(tiles, columns[first:last])
    return tiles.contiguous(memory_format=torch.channels_last)


def _color(tiles: Tensor, uniforms: Tensor) -> Tensor:
    """Brightness by -0.5 to 0.5, then saturation 0 to 2 times, then contrast 0.5 to 1.5 times."""
    brightness, saturation, contrast = uniforms.unbind()
    tiles = tiles + (brightness - 0.5)
    grey = tiles.mean(1, keepdim=True)
    tiles = (tiles - grey) * (2 * saturation) + grey
    level = tiles.mean((1, 2, 3), keepdim=True)
    return (tiles - level) * (contrast + 0.5) + level


def _translation(tiles: Tensor, uniforms: Tensor) -> Tensor:
    """Up to an eighth of the width, up or down, and left or right."""
    size = tiles.shape[2]
    most = int(size * TRANSLATION_SHARE + 0.5)
    for dimension, uniform in zip((2, 3), uniforms.unbind(), strict=True):
        # Only indices within the tile get gradients, each one, so the order of additions does not matter.
        moved = _along(size, dimension, tiles.device) - (uniform * (2 * most + 1)).floor().long() + most
        inside = (moved >= 0) & (moved < size)
        tiles = tiles.gather(dimension, moved.clamp(0, size - 1).expand(tiles.shape)) * inside
    return tiles


def _cutout(tiles: Tensor, uniforms: Tensor) -> Tensor:
    """A square of half the width around a place in the tile; at the edges a part of it."""
    size = tiles.shape[2]
    width = int(size * CUTOUT_SHARE + 0.5)
    inside = torch.ones((), dtype=torch.bool, device=tiles.device)
    for dimension, uniform in zip((2, 3), uniforms.unbind(), strict=True):
        first = (uniform * (size + 1 - width % 2)).floor() - width // 2
        along = _along(size, dimension, tiles.device)
        inside = inside & (along >= first) & (along < first + width)
    return tiles * ~inside


def _along(size: int, dimension: int, device: torch.device) -> Tensor:
    """0 to size - 1 along a dimension of `[B, C, S, S]`."""
    shape = [1, 1, 1, 1]
    shape[dimension] = size
    return torch.arange(size, device=device).view(shape)


CHANGES: dict[str, tuple[int, int, Callable[[Tensor, Tensor], Tensor]]] = {
    "color": (0, 3, _color),
    "translation": (3, 5, _translation),
    "cutout": (5, 7, _cutout),
}
"""Each change with its columns of the uniforms."""
