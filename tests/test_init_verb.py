"""`satgan init` writes a project that the other verbs can use, and touches nothing that is there."""

from pathlib import Path

import pytest
import yaml

from satgan.__main__ import main
from satgan.config import load_config


def test_a_project_is_written_and_every_file_is_of_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert main(["init", str(folder)]) == 0
    written = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    assert sorted(capsys.readouterr().out.split()) == written
    config = load_config("dcgan", yaml.safe_load((folder / "config.yaml").read_text()))
    assert (config.tiles.source, config.train.name) == ("tiles/mine", "first")
    spaces = [yaml.safe_load(path.read_text()) for path in (folder / "spaces").iterdir()]
    assert len(spaces) >= 4
    assert all(space["vary"] for space in spaces)
    mounts = yaml.safe_load((folder / "cluster.yaml").read_text())["file_mounts"]
    sources = [Path(source) for source in mounts.values() if not source.startswith("~")]
    assert len(sources) >= 3
    assert all(source.is_absolute() and source.exists() for source in sources)


def test_what_is_there_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cluster.yaml").write_text("my own")
    assert main(["init", str(tmp_path)]) == 2
    assert "has cluster.yaml already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.yaml"]
    assert (tmp_path / "cluster.yaml").read_text() == "my own"
