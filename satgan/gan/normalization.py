"""Norms (S23): batch norm per lane, whose running averages move by the mean over lanes, and virtual batch norm."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from satgan.kinds import Norm

EPSILON = 1e-5
MOMENTUM = 0.1
"""Share of a step's statistics in the running averages."""


class BatchNorm(nn.Module):
    """Batch norm over `[B, C, H, W]` whose batch statistics can be read after each forward pass.

    In training mode it normalises with the batch and leaves the batch's mean and variance in `batch_mean` and
    `batch_variance`; it never moves `running_mean` and `running_variance` itself. In evaluation mode it uses those.

    Args:
        channels: C.
        affine: whether a trainable scale (from 1) and shift (from 0) follow.
    """

    running_mean: Tensor
    running_variance: Tensor
    batch_mean: Tensor
    batch_variance: Tensor

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels)) if affine else None
        self.shift = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))
        self.register_buffer("batch_mean", torch.zeros(channels), persistent=False)
        self.register_buffer("batch_variance", torch.ones(channels), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """`[B, C, H, W]` in and out."""
        if not self.training:
            return F.batch_norm(
                maps, self.running_mean, self.running_variance, self.scale, self.shift, False, 0.0, EPSILON
            )
        # With momentum 1 the "running" buffers that F.batch_norm moves become the batch's own statistics.
        return F.batch_norm(maps, self.batch_mean, self.batch_variance, self.scale, self.shift, True, 1.0, EPSILON)


class VirtualNorm(nn.Module):
    """Virtual batch norm over `[R + B, C, H, W]` (Salimans et al., arXiv 1606.03498, section 3.4).

    The first R maps are those of a reference batch, fixed once and for all, and normalised by their own statistics.
    Each of the others is normalised by the statistics of the reference batch and itself together, so what becomes of
    a tile does not depend on the batch it is in. The same in training and evaluation mode; float32 within.

    Args:
        channels: C.
        affine: whether a trainable scale (from 1) and shift (from 0) follow.
        reference: R.
    """

    def __init__(self, channels: int, affine: bool, reference: int) -> None:
        super().__init__()
        self.reference = reference
        self.scale = nn.Parameter(torch.ones(channels)) if affine else None
        self.shift = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, maps: Tensor) -> Tensor:
        """`[R + B, C, H, W]` in and out."""
        variances, means = torch.var_mean(maps.float(), dim=(2, 3), correction=0)  # [R + B, C], of each map alone
        count = self.reference
        fixed_mean = means[:count].mean(0)
        fixed_variance = variances[:count].mean(0) + (means[:count] - fixed_mean).square().mean(0)
        # The reference batch weighs R, the tile itself 1.
        union_means = (count * fixed_mean + means[count:]) / (count + 1)
        fixed_part = count * (fixed_variance + (fixed_mean - union_means).square())
        union_variances = (fixed_part + variances[count:] + (means[count:] - union_means).square()) / (count + 1)
        all_means = torch.cat([fixed_mean.expand(count, -1), union_means])
        factors = torch.rsqrt(torch.cat([fixed_variance.expand(count, -1), union_variances]) + EPSILON)
        if self.scale is not None:
            factors = factors * self.scale
        offsets = -all_means * factors
        if self.shift is not None:
            offsets = offsets + self.shift
        return (maps * factors[:, :, None, None] + offsets[:, :, None, None]).to(maps.dtype)


def new_norm(kind: Norm, channels: int, affine: bool, reference: int) -> nn.Module:
    """The norm that the config names."""
    return VirtualNorm(channels, affine, reference) if kind == "virtual" else BatchNorm(channels, affine)


def _norms(network: nn.Module) -> list[BatchNorm]:
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


def statistics_size(network: nn.Module) -> int:
    """Length of `batch_statistics(network)`."""
    return sum(2 * norm.batch_mean.numel() for norm in _norms(network))


def batch_statistics(network: nn.Module) -> Tensor:
    """Means and variances of the last batch, all layers in one float32 vector `[S]`."""
    return _joined(network, [part for norm in _norms(network) for part in (norm.batch_mean, norm.batch_variance)])


def set_running_statistics(network: nn.Module, statistics: Tensor) -> None:
    """Copies a vector laid out like `batch_statistics` into the running averages."""
    position = 0
    for norm in _norms(network):
        for running in (norm.running_mean, norm.running_variance):
            running.copy_(statistics[position : position + running.numel()])
            position += running.numel()


def running_statistics(network: nn.Module) -> Tensor:
    """The running averages as one vector laid out like `batch_statistics`."""
    return _joined(network, [part for norm in _norms(network) for part in (norm.running_mean, norm.running_variance)])


def mean_places(network: nn.Module) -> Tensor:
    """`[S] bool`: where means stand in a vector laid out like `batch_statistics`; variances stand in the others."""
    parts = [torch.tensor([True, False]).repeat_interleave(norm.batch_mean.numel()) for norm in _norms(network)]
    return _joined(network, parts).bool()


def _joined(network: nn.Module, parts: list[Tensor]) -> Tensor:
    """The parts in one new vector; an empty one where a network has no norms."""
    return torch.cat(parts) if parts else torch.zeros(0, device=next(network.parameters()).device)
