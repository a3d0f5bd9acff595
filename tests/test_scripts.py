"""The scripts as a user calls them."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").iterdir()))
def test_a_script_is_valid_shell(script: str) -> None:
    path = ROOT / "scripts" / script
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    assert os.access(path, os.X_OK) or script == "setup.sh"


@pytest.mark.slow
def test_scripts_train_makes_tiles_trains_and_says_where_things_lie(tmp_path: Path) -> None:
    """The main job, cut short: real imagery in, a sample grid, a film strip and a checkpoint out."""
    command = [str(ROOT / "scripts" / "train"), "--store", "here", "--train.steps", "12"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    for name in ("grid", "film", "checkpoint"):
        assert Path(told[name]).exists()
    assert "NASA Blue Marble" in done.stderr
    assert "step 12/12" in done.stderr
    (tile_set,) = (tmp_path / "here" / "tiles").iterdir()
    assert {path.name for path in tile_set.iterdir()} >= {"manifest.json", "rejected.parquet", "shard-000000.npy"}
