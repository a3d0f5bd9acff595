"""What a step shows of itself at log steps, for the doctor. No number of the training depends on it.

By their names in the journal; G: generator, D: discriminator, of the step's first update of D (real tiles or both
losses) and its last of G. Norms are Euclidean, over all of a layer's weights.

gradient_norm.generator.LAYER          of the loss's gradient, without the regularizer's; the same for D
gradient_zero_share.generator.LAYER    share of its numbers that are exactly 0
weight_norm.generator                  before the step
update_norm.generator                  of what the whole step changed
learning_rate.generator                of the step; only with recipe.auto_balance, which moves it
norm_drift.generator                   mean distance of the batch's means from the running ones, in running deviations;
                                       not with virtual batch norm
saturated_share.fakes, .reals          share of values beyond ±0.99
stride_energy.fakes, .reals            variance that repeats with a period of 4 pixels (2 where a tile's width is no
                                       multiple of 4), the period of strided layers, over all variance
spread.fakes, .reals                   mean distance to the nearest other tile of the lane's batch, of small means of
                                       tiles, root mean square per value
nearest_real.fakes                     the same from each fake to the nearest real tile of the lane's batch

Those of tiles are of the step's fakes, made before its updates, and its augmented real tiles; means over the lanes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from satgan.gan.normalization import EPSILON, mean_places
from satgan.gan.weights import weight_slices

SATURATED = 0.99
PERIOD = 4
THUMBNAIL = 8
TINY = 1e-9
TILE_FIGURES = (
    "saturated_share.fakes", "saturated_share.reals", "stride_energy.fakes", "stride_energy.reals", "spread.fakes",
    "spread.reals", "nearest_real.fakes",
)  # fmt: skip


class Observation:
    """What happens to one network in one step.

    Args:
        network: whose layers are named.
        weights: `[P]` before the step.
        running: its running statistics `[S]` before the step.
    """

    def __init__(self, network: nn.Module, weights: Tensor, running: Tensor) -> None:
        self._network, self._weights, self._before, self._running = network, weights, weights.clone(), running.clone()
        self._noted: dict[str, Tensor] = {}

    def note(self, gradient: Tensor, statistics: Tensor) -> None:
        """An update's gradient `[P]`, before the regularizer's is added, and its batch statistics `[S]`."""
        for layer, place in weight_slices(self._network):
            part = gradient[place]
            self._noted[f"gradient_norm.{layer}"] = torch.linalg.vector_norm(part)
            self._noted[f"gradient_zero_share.{layer}"] = 1 - torch.count_nonzero(part) / part.numel()
        if len(statistics):
            means = mean_places(self._network)
            away = (statistics[means] - self._running[means]).abs()
            self._noted["norm_drift"] = (away / (self._running[~means] + EPSILON).sqrt()).mean()

    def figures(self, name: str) -> dict[str, float]:
        """All figures, under names with the network's; one host read. Call it after the step."""
        self._noted["weight_norm"] = torch.linalg.vector_norm(self._before)
        self._noted["update_norm"] = torch.linalg.vector_norm(self._weights - self._before)
        values = torch.stack([value.float() for value in self._noted.values()]).tolist()
        return {_named(figure, name): value for figure, value in zip(self._noted, values, strict=True)}


def _named(figure: str, network: str) -> str:
    """`gradient_norm.projection` and `generator` make `gradient_norm.generator.projection`."""
    kind, _, layer = figure.partition(".")
    return f"{kind}.{network}.{layer}" if layer else f"{kind}.{network}"


def tile_figures(reals: Tensor, fakes: Tensor) -> Tensor:
    """The figures of tiles `[B, C, S, S]` in [-1, 1], of any float type, in the order of TILE_FIGURES."""
    both = fakes.float().contiguous(), reals.float().contiguous()
    saturated = [torch.count_nonzero(tiles.abs() >= SATURATED) / tiles.numel() for tiles in both]
    energy = [_stride_energy(tiles) for tiles in both]
    small = [F.avg_pool2d(tiles, max(1, tiles.shape[2] // THUMBNAIL)).flatten(1) for tiles in both]
    spread = [_nearest(one, one, is_same=True) for one in small]
    return torch.stack([*saturated, *energy, *spread, _nearest(small[0], small[1], is_same=False)])


def _stride_energy(tiles: Tensor) -> Tensor:
    count, channels, size, _ = tiles.shape
    period = PERIOD if size % PERIOD == 0 else 2
    phases = tiles.view(count, channels, size // period, period, size // period, period).mean((2, 4))
    periodic, whole = (_variance(part) for part in (phases, tiles))
    return periodic / (whole + TINY)


def _variance(maps: Tensor) -> Tensor:
    """Mean over `[B, C]` of the variance of `[B, C, H, W]`; torch.var takes eight times as long."""
    return (maps.square().mean((2, 3)) - maps.mean((2, 3)).square()).clamp_min(0).mean()


def _nearest(rows: Tensor, others: Tensor, is_same: bool) -> Tensor:
    """Mean over `rows` `[B, D]` of the distance to the nearest of `others` `[B, D]`, not to itself."""
    squares = rows.square().sum(1)[:, None] + others.square().sum(1)[None] - 2 * rows @ others.T
    if is_same:
        squares.fill_diagonal_(torch.inf)
    return (squares.min(1).values.clamp_min(0) / rows.shape[1]).sqrt().mean()
