"""Every size and channel count: built, trained for a step, drawn from."""

import pytest
import torch

from satgan.gallery.draw import draw_tiles, sample_noise
from satgan.pictures.grid import grid_png
from tests.gan.conftest import MakeConfig, make_pair, take_step

SIZES = [(28, 7), (32, 4), (56, 7), (64, 4), (112, 7), (128, 4), (256, 4)]


@pytest.mark.parametrize(("size", "stem"), SIZES)
def test_every_size_with_every_channel_count(make_config: MakeConfig, size: int, stem: int) -> None:
    for channels in range(1, 17) if size <= 64 else (1, 3, 4, 16):
        smoothing, kernel = channels % 3, 4 + channels % 2
        gan = {
            "size": size, "stem": stem, "channels": channels, "smoothing_layers": smoothing, "kernel_size": kernel,
            "filters": ",".join("2" * (size // stem).bit_length())[:-2],
        }  # fmt: skip
        pair = make_pair(make_config(gan=gan, train={"lanes": 1, "lane_batch": 2}))
        before = pair.generator.weights.clone()
        numbers = take_step(pair, 0)
        assert 0 < numbers["generator_loss_before"] < 20
        assert not torch.equal(pair.generator.weights, before)
        tiles = draw_tiles(pair.averaged_generator(), sample_noise(1, 0, 3, 6))
        assert tiles.shape == (3, size, size, channels)
        assert grid_png(tiles, 2).startswith(b"\x89PNG")
