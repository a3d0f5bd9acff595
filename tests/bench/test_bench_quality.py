"""`scripts/bench quality`: every variant is a config, runs are not done twice, and the table tells medians."""

from pathlib import Path

import pytest

import bench.quality as quality
from bench.quality_judging import Judged
from bench.quality_table import markdown
from bench.quality_variants import VARIANTS, training_of
from satgan.config import load_config
from satgan.tiles.shards import pack
from satgan.tiles.tile_set import open_tile_set
from tests.train.conftest import made_tiles


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_a_config_with_the_networks_of_all(name: str) -> None:
    config, demo = load_config("demo", VARIANTS[name].options), load_config("demo")
    assert config.gan.model_copy(update={"smoothing_layers": 0}) == demo.gan
    assert load_config("demo", VARIANTS[training_of(name)].options) == config
    assert (config == demo) == (training_of(name) == "demo")


def test_only_the_plain_dcgan_has_nothing_of_the_recipe() -> None:
    plain = load_config("demo", VARIANTS["plain"].options)
    assert (plain.recipe.history_share, plain.recipe.generator_updates, plain.tiles.augment) == (0, 1, "none")
    assert (plain.recipe.generator_l2, plain.recipe.discriminator_l2, plain.gan.smoothing_layers) == (0, 0, 0)
    assert not VARIANTS["plain"].averaged


def test_the_table_has_medians_beside_the_plain_one() -> None:
    rows = [
        Judged("hills", variant, seed, 100.0 + seed, score, 2 * score, {"recall": 3.0, "spectrum": 9.0})
        for variant, scores in (("plain", (8.0, 10.0, 30.0)), ("demo", (5.0, 1.0, 6.0)))
        for seed, score in enumerate(scores)
    ]
    demo = next(line for line in markdown(rows).splitlines() if "`demo` as it is" in line)
    assert "5.00 (1.00 to 6.00) | 0.50× | 10.00 (2.00 to 12.00) | 0.50× | 101 | spectrum 9.0, recall 3.0" in demo


@pytest.mark.slow
def test_the_command_trains_judges_and_prints_and_does_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quality, "TILES", 24)
    monkeypatch.setattr(quality, "demo_tile_set", lambda folder, seed: open_tile_set(str(tmp_path / "made")))
    pack(made_tiles(60, size=64), str(tmp_path / "made"), size=64, channels=3, seed=1, source="made", cut={})
    words = ["--root", str(tmp_path), "--variants", "plain", "no-average", "--seeds", "1", "--tiles-seen", "128"]
    assert quality.main(words) == 0
    first = capsys.readouterr()
    assert "| plain DCGAN | 1 |" in first.out
    assert "| `demo`, raw generator | 1 |" in first.out
    assert {path.name for path in (tmp_path / "grids").iterdir()} == {"demo-plain-1.png", "demo-no-average-1.png"}
    assert quality.main(words) == 0
    again = capsys.readouterr()
    assert "training" not in again.err
    assert again.out == first.out
    assert quality.main([*words[:-1], "192"]) == 0
    assert capsys.readouterr().err.count("training") == 2, "those of another length are not taken for these"
