"""The InceptionV3 network that FID and KID are defined on, for weights that the user has. Torch only; no files.

It is the network of 2015-12-05 as pytorch-fid ported it and torch-fidelity runs it, with the oddities of TensorFlow
that published figures contain: its bilinear resize, means that leave padding out, and a maximum where the paper has a
mean. (torch-fidelity itself unpickles the file that it is given, and cannot be imported without torchvision.)
Layers carry the names of that file; tests compare every block with torch-fidelity's.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d

Tiles = NDArray[np.uint8]

INPUT_SIZE = 299
FEATURES = 2048
NORM_EPSILON = 0.001
"""What the file's batch norms add to the variance."""


class Convolution(NamedTuple):
    """Filters with batch norm and ReLU; `name` is their name in the file, within the block. `inner` filters stay
    inside the map, the others keep its size by zeros around it."""

    name: str
    filters: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    inner: bool = False


class Pool(Enum):
    """Pooling over 3 × 3 pixels."""

    MEAN = "of the pixels inside the map; keeps its size"
    MAXIMUM = "keeps the size"
    HALVING = "the maximum at every second pixel, inside the map"


Step = Convolution | Pool | tuple[Convolution, ...]
"""Several convolutions see the same map, and their maps are stacked."""


class Block(NamedTuple):
    """Branches that see the same map; theirs are stacked. `name` is that of the file, empty where it has none."""

    name: str
    branches: tuple[tuple[Step, ...], ...]


class Layer(NamedTuple):
    """A convolution with its batch norm folded in: `[out, in, rows, columns]` and `[out]`, float32."""

    weights: Tensor
    biases: Tensor


Layers = Mapping[str, Layer]


def _square(name: str, filters: int, size: int = 3) -> Convolution:
    return Convolution(name, filters, (size, size))


def _row(name: str, filters: int, size: int = 7) -> Convolution:
    return Convolution(name, filters, (1, size))


def _column(name: str, filters: int, size: int = 7) -> Convolution:
    return Convolution(name, filters, (size, 1))


def _inner(name: str, filters: int, stride: int = 2) -> Convolution:
    return Convolution(name, filters, (3, 3), stride, inner=True)


def _fine(name: str, pooled: int) -> Block:
    """35 × 35 pixels: the paper's figure 5."""
    return Block(name, (
        (Convolution("branch1x1", 64),),
        (Convolution("branch5x5_1", 48), _square("branch5x5_2", 64, 5)),
        (Convolution("branch3x3dbl_1", 64), _square("branch3x3dbl_2", 96), _square("branch3x3dbl_3", 96)),
        (Pool.MEAN, Convolution("branch_pool", pooled)),
    ))  # fmt: skip


def _middle(name: str, width: int) -> Block:
    """17 × 17 pixels, filters of a row and a column: the paper's figure 6."""
    return Block(name, (
        (Convolution("branch1x1", 192),),
        (Convolution("branch7x7_1", width), _row("branch7x7_2", width), _column("branch7x7_3", 192)),
        (
            Convolution("branch7x7dbl_1", width), _column("branch7x7dbl_2", width), _row("branch7x7dbl_3", width),
            _column("branch7x7dbl_4", width), _row("branch7x7dbl_5", 192),
        ),
        (Pool.MEAN, Convolution("branch_pool", 192)),
    ))  # fmt: skip


def _coarse(name: str, pool: Pool) -> Block:
    """8 × 8 pixels, filters side by side: the paper's figure 7."""
    return Block(name, (
        (Convolution("branch1x1", 320),),
        (Convolution("branch3x3_1", 384), (_row("branch3x3_2a", 384, 3), _column("branch3x3_2b", 384, 3))),
        (
            Convolution("branch3x3dbl_1", 448), _square("branch3x3dbl_2", 384),
            (_row("branch3x3dbl_3a", 384, 3), _column("branch3x3dbl_3b", 384, 3)),
        ),
        (pool, Convolution("branch_pool", 192)),
    ))  # fmt: skip


STEM = Block("", ((
    _inner("Conv2d_1a_3x3", 32), _inner("Conv2d_2a_3x3", 32, stride=1), _square("Conv2d_2b_3x3", 64), Pool.HALVING,
    Convolution("Conv2d_3b_1x1", 80), _inner("Conv2d_4a_3x3", 192, stride=1), Pool.HALVING,
),))  # fmt: skip
TO_MIDDLE = Block("Mixed_6a", (
    (_inner("branch3x3", 384),),
    (Convolution("branch3x3dbl_1", 64), _square("branch3x3dbl_2", 96), _inner("branch3x3dbl_3", 96)),
    (Pool.HALVING,),
))  # fmt: skip
TO_COARSE = Block("Mixed_7a", (
    (Convolution("branch3x3_1", 192), _inner("branch3x3_2", 320)),
    (
        Convolution("branch7x7x3_1", 192), _row("branch7x7x3_2", 192), _column("branch7x7x3_3", 192),
        _inner("branch7x7x3_4", 192),
    ),
    (Pool.HALVING,),
))  # fmt: skip
NETWORK = (
    STEM, _fine("Mixed_5b", 32), _fine("Mixed_5c", 64), _fine("Mixed_5d", 64),
    TO_MIDDLE, _middle("Mixed_6b", 128), _middle("Mixed_6c", 160), _middle("Mixed_6d", 160), _middle("Mixed_6e", 192),
    TO_COARSE, _coarse("Mixed_7b", Pool.MEAN), _coarse("Mixed_7c", Pool.MAXIMUM),
)  # fmt: skip


def layer_shapes() -> dict[str, tuple[int, int, int, int]]:
    """Every convolution's name in the file, with the shape of its weights: out, in, rows, columns."""
    shapes, channels = {}, 3
    for block in NETWORK:
        stacked = 0
        for branch in block.branches:
            width = channels
            for step in branch:
                side_by_side = _convolutions(step)
                for one in side_by_side:
                    shapes[_full_name(block, one)] = (one.filters, width, *one.kernel)
                width = sum(one.filters for one in side_by_side) or width
            stacked += width
        channels = stacked
    return shapes


def _convolutions(step: Step) -> tuple[Convolution, ...]:
    if isinstance(step, Pool):
        return ()
    return (step,) if isinstance(step, Convolution) else step


def _full_name(block: Block, one: Convolution) -> str:
    return f"{block.name}.{one.name}" if block.name else one.name


def fold(state: Mapping[str, Tensor]) -> dict[str, Layer]:
    """Every convolution of the network with its batch norm folded in, computed in float64.

    Args:
        state: the file's tensors by name; `NAME.conv.weight` and `NAME.bn.weight`, `bias`, `running_mean`,
            `running_var` for each name of `layer_shapes`. Others are not used.
    """
    layers = {}
    for name in layer_shapes():
        kernel, gain, shift, mean, variance = (state[part].detach().double() for part in tensor_names(name))
        scale = gain / torch.sqrt(variance + NORM_EPSILON)
        weights = kernel * scale[:, None, None, None]
        layers[name] = Layer(
            weights.float().contiguous(memory_format=torch.channels_last), (shift - mean * scale).float()
        )
    return layers


def tensor_names(name: str) -> tuple[str, str, str, str, str]:
    """What a convolution's tensors are called in the file: filters, then the norm's gain, shift, mean and variance."""
    norm = f"{name}.bn"
    return f"{name}.conv.weight", f"{norm}.weight", f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var"


def inception_features(tiles: Tiles, layers: Layers) -> NDArray[np.float32]:
    """Means over space of the last block's maps, which FID and KID compare, computed in float32 on the CPU.

    Args:
        tiles: `[N, S, S, 3] uint8` of any size.
        layers: of `fold`.

    Returns:
        `[N, 2048] float32`.
    """
    *_, maps = block_maps(tiles, layers)
    features: NDArray[np.float32] = maps.mean(dim=(2, 3)).numpy()
    return features


def block_maps(tiles: Tiles, layers: Layers) -> Iterator[Tensor]:
    """The map `[N, C, rows, columns]` that each block makes of tiles `[N, S, S, 3] uint8`."""
    maps = resized(torch.from_numpy(tiles).permute(0, 3, 1, 2).float()).sub_(128).div_(128)
    for block in NETWORK:
        maps = torch.cat([_along(maps, block, branch, layers) for branch in block.branches], dim=1)
        yield maps


def resized(images: Tensor) -> Tensor:
    """Images `[N, C, S, S]` at 299 × 299 pixels, bilinear as TensorFlow 1 was: pixel i lies at i · S / 299, not at its
    middle, and nothing is smoothed before it is made smaller."""
    size = images.shape[-1]
    places = torch.arange(INPUT_SIZE) * (size / INPUT_SIZE)
    below = places.long()
    rows = torch.arange(INPUT_SIZE)
    shares = torch.zeros(INPUT_SIZE, size)
    shares[rows, below] = 1 - (places - below)
    shares[rows, (below + 1).clamp_max(size - 1)] += places - below
    return (shares @ images @ shares.T).contiguous(memory_format=torch.channels_last)


def _along(maps: Tensor, block: Block, branch: tuple[Step, ...], layers: Layers) -> Tensor:
    for step in branch:
        if isinstance(step, Pool):
            maps = _pooled(maps, step)
        else:
            side_by_side = _convolutions(step)
            maps = torch.cat([_convolved(maps, one, layers[_full_name(block, one)]) for one in side_by_side], dim=1)
    return maps


def _convolved(maps: Tensor, one: Convolution, layer: Layer) -> Tensor:
    rows, columns = one.kernel
    padding = (0, 0) if one.inner else (rows // 2, columns // 2)
    return conv2d(maps, layer.weights, layer.biases, one.stride, padding).relu_()


def _pooled(maps: Tensor, pool: Pool) -> Tensor:
    if pool is Pool.MEAN:
        return avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
    if pool is Pool.MAXIMUM:
        return max_pool2d(maps, 3, stride=1, padding=1)
    return max_pool2d(maps, 3, stride=2)
