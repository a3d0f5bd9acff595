"""`scripts/bench gpu` in small, on the CPU: every row is there, and what is missing is told. Nothing here has a GPU."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench import gpu
from bench.gpu_row import HEAD, LeftOut, Row, Setting, judged, markdown
from bench.gpu_tiles import waiting_rows
from bench.variants import OurStep, make_batches
from satgan.train.device import decide

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
PRESENT = (
    "torch", "torchgen", "functorch", "numpy", "pydantic", "pydantic_core", "annotated_types", "typing_inspection",
    "typing_extensions.py", "sympy", "mpmath", "networkx", "filelock", "fsspec", "jinja2", "markupsafe", "numpy.libs",
)  # fmt: skip
"""PyTorch with what it needs, NumPy, and pydantic with what that needs."""

SMOKE = """
import sys, bench.machine, bench.gpu
bench.machine.MATRIX_SIZES["cpu"] = 64
sys.exit(bench.gpu.main(["--smoke"]))
"""


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A search path of a machine that has PRESENT and nothing else."""
    packages = Path(torch.__file__).parents[1]
    for name in PRESENT:
        if (packages / name).exists():
            (tmp_path / name).symlink_to(packages / name)
    return os.pathsep.join([str(tmp_path), str(ROOT)])


@pytest.mark.slow
def test_all_rows_are_measured_with_torch_numpy_and_pydantic_alone(bare_path: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": bare_path}
    done = subprocess.run(
        [sys.executable, "-S", "-c", SMOKE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "failed:" not in done.stdout
    for what in (
        "`article`, one D and one G update", "… `train.deterministic` no", "… the whole recipe", "… one lane of 64",
        "… 8 lanes of 64", "`dcgan`, one D and one G update, batch 64", "`dcgan`, batch 512", "memory of `article`",
        "sampling `article`", "2 trial(s)", "ms of kernels a step", "plain and ours, small `article`",
    ):  # fmt: skip
        assert what in done.stdout, what
    for name in ("date", "commit", "machine", "versions", "roof", "smoke"):
        assert f"- {name}: " in done.stdout
    assert "left out: No module named 'xxhash'" in done.stdout
    assert "reached |" not in done.stdout


@pytest.mark.skipif(shutil.which("nginx", path="/usr/bin:/usr/sbin") is None, reason="nginx is not installed")
def test_waiting_is_measured_from_both_places() -> None:
    threads = torch.get_num_threads()
    rows = list(waiting_rows(Setting(CPU, is_smoke=True, roof_flops_per_second=1e12)))
    torch.set_num_threads(threads)
    assert [row.goal for row in rows] == ["0", "≤ 1 %"]
    assert all("tiles/s" in row.figure for row in rows)


def test_a_row_that_breaks_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(setting: Setting) -> Iterator[Row]:
        yield Row("first", "1")
        raise ValueError("no such kernel\nmore")

    def leaves(setting: Setting) -> Iterator[Row]:
        raise LeftOut("nothing to measure with")
        yield

    groups = (gpu.Group("a", breaks, 0), gpu.Group("b", leaves, 0), gpu.Group("c", breaks, 100))
    monkeypatch.setattr(gpu, "GROUPS", groups)
    rows = list(gpu.measure_all(Setting(CPU, False, 1e12), end=time.monotonic() + 50))
    assert [row.verdict for row in rows] == [
        "", "failed: ValueError: no such kernel", "left out: nothing to measure with", "left out: no time is left",
    ]  # fmt: skip
    assert len({line.count("|") for line in markdown([*HEAD, *rows]).splitlines()}) == 1


def test_a_row_stands_as_soon_as_it_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What follows may run into the machine's time limit, or crash."""
    told: list[str] = []

    def second(setting: Setting) -> Iterator[Row]:
        told.append(capsys.readouterr().out)
        yield Row("second", "2")

    groups = (gpu.Group("a", lambda setting: iter([Row("first", "1")]), 0), gpu.Group("b", second, 0))
    monkeypatch.setattr(gpu, "GROUPS", groups)
    monkeypatch.setattr(gpu, "profile_tables", lambda setting: "")
    monkeypatch.setattr("bench.machine.MATRIX_SIZES", {"cpu": 64})
    assert gpu.main(["--smoke"]) == 0
    assert "| first | 1 |" in told[0]
    assert "| second | 2 |" in capsys.readouterr().out


def test_two_of_a_config_compute_the_same() -> None:
    """Else replayed steps could not have the bits of computed ones: past fakes, too, are those of the other."""
    config = decide(Setting(CPU, is_smoke=True, roof_flops_per_second=1.0).config("dcgan", 4, lanes=2))
    batches = make_batches(config, CPU)
    first, second = OurStep(config, batches, CPU), OurStep(config, batches, CPU)
    for ours in (first, second):
        ours.learn_history(0)
        ours.step(0)
        ours.close()
    assert torch.equal(first.pair.discriminator.weights, second.pair.discriminator.weights)


def test_goals_are_judged() -> None:
    assert judged("a", "1", "2", 0.99).verdict == "missed"
    assert judged("a", "1", "2", 1.0).verdict == "reached"


def test_no_gpu_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert "scripts/bench cpu" in capsys.readouterr().err
