"""New tiles from a checkpoint."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from satgan.config import load_config
from satgan.errors import CheckpointError, InputError, StoreMissing
from satgan.gallery.sample import draw_tiles, open_checkpoint, sample, sample_noise
from satgan.gan.networks import Generator, initialise
from tests.train.conftest import MakeConfig, make_config, run, tile_set

__all__ = ["make_config", "tile_set"]  # fixtures


@pytest.mark.parametrize("preset", ["demo", "digits"])
def test_a_tile_follows_from_its_noise_alone(preset: str) -> None:
    """Not from the batch it is drawn in, nor from its place there."""
    config = load_config(preset).gan
    network = Generator(config).eval()
    initialise(network, 3, 0)
    noise = sample_noise(7, 0, 150, config.noise_size)
    together = draw_tiles(network, noise)
    assert len(np.unique(together.reshape(150, -1), axis=0)) == 150
    for first, count in ((0, 1), (149, 1), (3, 10), (60, 70)):
        assert np.array_equal(draw_tiles(network, noise[first : first + count]), together[first : first + count])
    assert np.array_equal(draw_tiles(network, noise[::-1].copy()), together[::-1])


def test_samples_of_a_seed_do_not_depend_on_the_count() -> None:
    assert np.array_equal(sample_noise(7, 0, 100, 5)[40:60], sample_noise(7, 40, 20, 5))
    assert not np.array_equal(sample_noise(7, 0, 3, 5), sample_noise(8, 0, 3, 5))


@pytest.fixture
def trained(make_config: MakeConfig) -> str:
    """Url of a finished run."""
    return run(make_config()).run


def test_files_and_grid_show_the_same_tiles(trained: str, tmp_path: Path) -> None:
    written = sample(trained, count=70, out=str(tmp_path / "files"), seed=1, grid=False, raw=False)
    assert [Path(url).name for url in written[:2]] == ["tile-000000.png", "tile-000001.png"]
    assert len(written) == 70
    (grid,) = sample(trained, count=70, out=str(tmp_path), seed=1, grid=True, raw=False)
    sheet = np.asarray(Image.open(grid))
    for number in (0, 8, 69):
        top, left = 18 * (number // 8) + 2, 18 * (number % 8) + 2
        tile = np.asarray(Image.open(written[number]))
        assert np.array_equal(sheet[top : top + 16, left : left + 16], tile)


def test_a_run_stands_for_its_newest_checkpoint(trained: str) -> None:
    assert open_checkpoint(trained).step == open_checkpoint(f"{trained}/checkpoints/step-00000012").step == 12
    assert open_checkpoint(f"{trained}/checkpoints/step-00000010").step == 10


def test_a_run_that_was_judged_stands_for_its_best_checkpoint(trained: str) -> None:
    (Path(trained) / "best.json").write_text('{"step": 5, "score": 2.0}')
    assert open_checkpoint(trained).step == 5
    (Path(trained) / "best.json").write_text('{"step": 7, "score": 2.0}')  # its checkpoint was taken away
    assert open_checkpoint(trained).step == 12


def test_averaged_and_raw_generator_differ(trained: str) -> None:
    checkpoint = open_checkpoint(trained)
    noise = sample_noise(0, 0, 4, 6)
    averaged, raw = (draw_tiles(checkpoint.generator(which), noise) for which in ("average", "raw"))
    assert averaged.shape == (4, 16, 16, 3)
    assert not np.array_equal(averaged, raw)


def test_what_cannot_be_sampled_is_refused(trained: str, tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="nothing"):
        sample(str(tmp_path / "nothing"), 1, str(tmp_path), 0, False, False)
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        sample(str(tmp_path), 1, str(tmp_path), 0, False, False)
    with pytest.raises(InputError, match="--count 0"):
        sample(trained, 0, str(tmp_path), 0, False, False)
