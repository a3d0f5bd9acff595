"""The bench of cutting: both sides do the work they are timed for, and the goals are judged."""

import subprocess
from pathlib import Path

import pytest
from PIL import Image

from bench.cut import Run, markdown, measure, timed
from tests.tiles.sample_tiles import textured


def test_both_are_measured_in_pairs(tmp_path: Path) -> None:
    Image.fromarray(textured(1, 40)[0]).save(tmp_path / "a.tif")
    ours, alone = measure(tmp_path / "a.tif", size=16, rounds=1)
    assert len(ours) == len(alone) == 1
    for run in (*ours, *alone):
        assert run.wall_seconds > 0
        assert run.cpu_seconds > 0
        assert run.peak_bytes > 10e6
    assert 0 == ours[0].reading_seconds < alone[0].reading_seconds < alone[0].wall_seconds


def test_a_cut_that_fails_is_not_timed(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        timed(["-m", "satgan", "tiles", "cut", str(tmp_path / "none.tif"), str(tmp_path / "set")])


def test_goals_are_judged() -> None:
    alone = [Run(3.0, 3.0, 0, 2.8)] * 3
    fast = markdown([Run(4.0, 6.0, 399_000_000)] * 3, alone)
    assert "at 70% of the speed of rasterio's reading (goal 70%): reached; at 75%" in fast
    assert "below 400 MB: reached" in fast
    slow = markdown([Run(4.1, 6.0, 0), Run(4.1, 6.0, 401_000_000), Run(4.1, 6.0, 0)], alone)
    assert slow.count("missed") == 2
