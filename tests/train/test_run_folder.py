"""What a run writes, and what happens where it cannot."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from satgan.errors import CheckpointError, StoreFull, StoreMissing
from satgan.train.run_folder import RunFolder, read_config
from satgan.train.start import prepare
from tests.tiles.conftest import tiny_disk
from tests.train.conftest import MakeConfig, run

__all__ = ["tiny_disk"]  # a fixture


def test_a_run_leaves_what_the_readme_says(make_config: MakeConfig, tile_set: str) -> None:
    outcome = run(make_config())
    folder = Path(outcome.run)
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "journal.jsonl", "tensorboard", "inputs.png", "film", "film.png", "checkpoints",
    }  # fmt: skip
    about = yaml.safe_load((folder / "config.yaml").read_text())["about"]
    assert {"satgan", "commit", "torch", "numpy", "python"} <= set(about["versions"])
    assert np.asarray(Image.open(outcome.grid)).shape == (8 * 18 + 2, 8 * 18 + 2, 3)
    assert outcome.film is not None
    # Frames at steps 3, 6, 9, 12; strips end at the checkpoints of steps 5, 10, 12.
    assert np.asarray(Image.open(outcome.film)).shape == (3 * 18, 2 * 17 + 1, 3)
    entries = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert [entry["event"] for entry in entries if "event" in entry] == [
        "start", "inputs", "checkpoint", "checkpoint", "checkpoint", "end",
    ]  # fmt: skip
    assert [entry["step"] for entry in entries if "numbers" in entry] == [2, 4, 6, 8, 10, 12]
    assert any((folder / "tensorboard").iterdir())


def test_config_is_read_as_it_was_written(make_config: MakeConfig) -> None:
    config = make_config()
    run(config)
    recorded = read_config(RunFolder(config.train.store, config.train.name))
    assert recorded is not None
    assert recorded[0] == config


@pytest.mark.parametrize("text", ["", "train: 3", "about: {tile_set: x}\ngan: {preset: nosuch}", "a: [", "\x00"])
def test_a_config_that_is_none_is_refused(make_config: MakeConfig, text: str) -> None:
    config = make_config()
    run(config)
    (Path(config.train.store) / "run" / "config.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        prepare(config, lambda text: None)


def test_checkpoints_without_a_config_are_not_taken_over(make_config: MakeConfig) -> None:
    config = make_config()
    run(config)
    (Path(config.train.store) / "run" / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.yaml"):
        prepare(config, lambda text: None)


def test_a_torn_journal_line_is_dropped(make_config: MakeConfig) -> None:
    run(make_config(train={"steps": 5}))
    config = make_config()
    path = Path(config.train.store) / "run" / "journal.jsonl"
    path.write_text(path.read_text() + '{"step": 6, "num')
    run(config)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["step"] for entry in entries if "numbers" in entry] == [2, 4, 6, 8, 10, 12]


def test_a_full_disk_is_named(make_config: MakeConfig, tiny_disk: Path) -> None:
    with pytest.raises(StoreFull, match="tiny"):
        run(make_config(train={"store": str(tiny_disk)}))


def test_a_store_that_is_a_file_is_named(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreMissing, match="file"):
        prepare(make_config(train={"store": str(tmp_path / "file")}), lambda text: None)
