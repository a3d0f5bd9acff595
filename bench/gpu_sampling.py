"""New tiles of `article` on a GPU: the network by itself, and as `satgan sample` draws them."""

import time
from collections.abc import Callable, Iterator
from statistics import median

import torch

from bench.gpu_row import LeftOut, Row, Setting, judged
from bench.measure import seconds_of
from satgan.gan.networks import Generator, initialise
from satgan.train.device import fast_precision

BATCH, BATCHES, ROUNDS = 1024, 40, 5
LEAST = 100_000
"""Tiles per second."""


@torch.no_grad()
def sampling_rows(setting: Setting) -> Iterator[Row]:
    """Noise in, uint8 tiles out, no files."""
    batch = 8 if setting.is_smoke else BATCH
    config = setting.config("article", 64)
    network = Generator(config.gan).to(setting.device)
    initialise(network, seed=1, number=0)
    network.eval()
    noise = torch.randn((batch, config.gan.noise_size)).to(setting.device)

    def draw(turn: int) -> object:
        with torch.autocast(setting.device.type, getattr(torch, precision), enabled=precision != "float32"):
            tiles = network(noise)
        return ((tiles.float() + 1) * 127.5).round_().to(torch.uint8).permute(0, 2, 3, 1)

    for precision in dict.fromkeys((fast_precision(), "float32")):
        speed = _tiles_per_second(setting, draw, batch)
        what = f"sampling `article`, batch {batch}, {precision}, tiles stay on the device"
        yield judged(what, f"{speed:,.4g} tiles/s", f"≥ {LEAST:,} tiles/s", speed / LEAST)
    yield from _as_the_command(setting, network, batch)


def _tiles_per_second(setting: Setting, draw: Callable[[int], object], batch: int) -> float:
    steps = setting.steps(BATCHES)
    draw(0)
    return batch * steps / median(seconds_of(draw, steps, setting.device) for _ in range(ROUNDS))


def _as_the_command(setting: Setting, network: Generator, batch: int) -> Iterator[Row]:
    """Every tile a function of its number: noise drawn one by one, float32, passes of one shape, copied to the host."""
    try:
        from satgan.gallery.draw import draw_tiles, sample_noise
    except ImportError as error:
        raise LeftOut(str(error)) from error
    count = batch * setting.steps(8)
    start = time.perf_counter()
    noise = sample_noise(1, 0, count, network.projection.in_features)
    noise_seconds = time.perf_counter() - start
    draw_tiles(network, noise[:batch])
    start = time.perf_counter()
    tiles = draw_tiles(network, noise)
    seconds = time.perf_counter() - start
    assert len(tiles) == count
    figure = f"{count / (seconds + noise_seconds):,.4g} tiles/s ({count / noise_seconds:,.4g} of noise alone)"
    yield Row("… as `satgan sample` draws them, no files", figure)
