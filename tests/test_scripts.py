"""The scripts as a user calls them."""

import os
import re
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Begin
from tests.waiting import PATIENCE_SECONDS

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


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_saves_and_stops(tmp_path: Path, begin: Begin, workers: str, word: signal.Signals) -> None:
    """Whoever computes: a checkpoint after the step, one message, status 130."""
    command = [str(ROOT / ".venv" / "bin" / "satgan"), "train", "--workers", workers, "--store", str(tmp_path)]
    command += ["--train.steps", "100000", "--train.checkpoint-steps", "10"]
    # Tests that run in the background of a shell inherit an ignored SIGINT.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    running = begin(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=heard)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("step 10/"):
            break
    running.send_signal(word)
    told = running.communicate(timeout=PATIENCE_SECONDS)[1]
    assert running.returncode == 130, told
    found = re.search(r"stopped after step (\d+) of 100000; (.*) is whole", told)
    assert found, told
    assert Path(found[2]).name == f"step-{int(found[1]):08d}"
    assert (Path(found[2]) / "COMPLETE").exists()
    assert "the same command goes on from there" in told
    assert "Traceback" not in told


def test_a_ray_address_where_nobody_answers_is_told_at_once(tmp_path: Path) -> None:
    command = [str(ROOT / ".venv" / "bin" / "satgan"), "train", "--workers", "1", "--store", str(tmp_path)]
    surroundings = os.environ | {"RAY_ADDRESS": "127.0.0.1:1"}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "RAY_ADDRESS=127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
