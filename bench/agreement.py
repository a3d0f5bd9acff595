"""The baseline is honest: from the same weights, tiles and noise, the plain loop and our step lose the same."""

import torch
from torch import Tensor, nn

from bench.plain import Losses, PlainLoop
from bench.variants import OurStep, make_batches, same_work
from satgan.config import Config, load_config
from satgan.gan.networks import Discriminator, Generator
from satgan.gan.normalization import BatchNorm

SMALL = {"filters": (32, 16, 8), "smoothing_layers": 1, "noise_size": 16, "size": 32, "dense_head": (16,)}
"""Networks for a check of a second: three doublings and a smoothing layer."""

Weighted = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def check_config(preset: str, batch: int = 8) -> Config:
    """A preset's kind of networks (kernel, biases, norms), small, in float32."""
    return load_config(preset, {"gan": SMALL, "train": {"lanes": 1, "lane_batch": batch}})


def largest_difference(config: Config, device: torch.device, steps: int) -> float:
    """The largest difference between a loss of the plain loop and ours, over some steps in float32.

    Args:
        config: networks, rates, batch; the rest of the recipe is left away.
        device: where both compute.
        steps: how many; every further one amplifies the rounding of the one before.
    """
    config = same_work(config, "float32")
    batches = make_batches(config, device, steps)
    ours, loop = OurStep(config, batches, device), PlainLoop(config, device)
    copy_weights(ours.pair.generator.network, loop.generator, config.gan.stem)
    copy_weights(ours.pair.discriminator.network, loop.discriminator, config.gan.stem)
    largest = 0.0
    for turn, batch in enumerate(batches):
        mine, theirs = ours.step(turn), loop.step(batch.plain_tiles, batch.draws.noise[0])
        assert mine["path_a"] == 0.0, mine
        largest = max(largest, *(abs(mine[f"{name}_loss_before"] - getattr(theirs, name)) for name in Losses._fields))
    return largest


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Sequential, stem: int) -> None:
    """Our network's weights into the plain one, whose stem lies channels first.

    Args:
        source: a `Generator` or `Discriminator`.
        target: its counterpart from `bench.plain`.
        stem: height and width of the first (generator) or last (discriminator) feature map.
    """
    sources = [module for module in source.modules() if isinstance(module, Weighted)]
    targets = [module for module in target.modules() if isinstance(module, Weighted)]
    for mine, theirs in zip(sources, targets, strict=True):
        theirs.weight.copy_(mine.weight)
        if mine.bias is not None and theirs.bias is not None:
            theirs.bias.copy_(mine.bias)
    norms = [module for module in source.modules() if isinstance(module, BatchNorm)]
    plain_norms = [module for module in target.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm, plain_norm in zip(norms, plain_norms, strict=True):
        if norm.scale is not None and norm.shift is not None:
            plain_norm.weight.copy_(norm.scale)
            plain_norm.bias.copy_(norm.shift)
    if isinstance(source, Generator):
        targets[0].weight.copy_(_channels_first(source.projection.weight.T, stem).T)
    elif isinstance(source, Discriminator):
        dense = target[len(target) - 2 * len(source.head) + 1]
        assert isinstance(dense, nn.Linear)
        dense.weight.copy_(_channels_first(source.head[0].get_parameter("weight"), stem))


def _channels_first(weights: Tensor, stem: int) -> Tensor:
    """`[N, H · W · C]` to `[N, C · H · W]`."""
    return weights.reshape(len(weights), stem, stem, -1).permute(0, 3, 1, 2).flatten(1)
