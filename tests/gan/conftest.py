"""A narrow pair of networks, and steps of it on made tiles."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from satgan.config import Config, load_config
from satgan.gan.lane import Lane
from satgan.gan.noise import draw, noise
from satgan.gan.pair import Pair
from satgan.gan.step import train_step
from satgan.randomness import Purpose
from satgan.train.sums import LaneSums

MakeConfig = Callable[..., Config]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors do not gain from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_config() -> MakeConfig:
    """A config of width 8 and batch 4 at 16×16 pixels; keywords override groups."""

    def make(**groups: dict[str, Any]) -> Config:
        gan = {
            "size": 16, "filters": "8,8", "smoothing_layers": 0, "noise_size": 6, "kernel_size": 4, "affine_norm": True,
            "dense_head": "",
        }  # fmt: skip
        train = {"lanes": 2, "lane_batch": 4, "precision": "float32", "threads_per_lane": 1}
        base: dict[str, dict[str, Any]] = {"gan": gan, "train": train, "recipe": {"history_capacity": 12}}
        return load_config("article", base, groups)

    return make


def one_by_one(work: Callable[[Lane], None], lanes: Sequence[Lane]) -> None:
    """Lanes one after the other."""
    for lane in lanes:
        work(lane)


def make_pair(config: Config) -> Pair:
    """All lanes on one worker."""
    lanes, device = config.train.lanes, torch.device("cpu")
    return Pair(config, range(lanes), device, LaneSums(lanes, device, threads=1), one_by_one)


def reals(config: Config, step: int, lane: int) -> Tensor:
    """Made tiles of a lane in a step, smooth and in [-1, 1]."""
    shape = (config.train.lane_batch, config.gan.channels, config.gan.size // 4, config.gan.size // 4)
    coarse = noise(99, Purpose.SAMPLE, shape, step, lane)
    return torch.tanh(torch.nn.functional.interpolate(coarse, scale_factor=4.0)).contiguous(
        memory_format=torch.channels_last
    )


def take_step(pair: Pair, step: int) -> dict[str, float]:
    """One step of the recipe on made tiles."""
    for lane in pair.lanes:
        lane.begin(reals(pair.config, step, lane.number), draw(pair.config, step, lane.number))
    return train_step(pair)
