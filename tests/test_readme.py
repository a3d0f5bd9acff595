"""Every command of the README runs as it is written there, in order, but for the substitutions that stand here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from satgan.config import by_name, load_config
from satgan.doctor.rules import RULES
from satgan.gallery.draw import draw_tiles, open_checkpoint, sample_noise
from satgan.randomness import Purpose, generator
from satgan.train.restored import generator_of
from tests.train.conftest import MakeConfig, make_config, run, threads_put_back, tile_set

__all__ = ["make_config", "threads_put_back", "tile_set"]  # fixtures

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)

ELSEWHERE = {
    "git clone": "the clone is what the tests run in",
    "scripts/train": "tests/test_scripts.py",
    "scripts/test": "this",
    "s3://bucket": "tests/train/test_ray_job.py trains on a bucket",
    "ssh-keygen": "tests/lab",
    "aws cloudformation": "tests/cluster deploys the stack to a stand-in",
    "ray get-auth-token": "tests/lab",
    "ray up": "tests/lab",
    "ray down": "tests/lab",
    "scripts/submit": "tests/cluster",
    "satgan jobs": "tests/cluster",
    "satgan cluster check": "fails by design while places in <…> are not filled in: tests/cluster",
}
"""Commands that are not run here, and where they are."""

QUICK = (
    " --gan.filters 8,8,8,8 --train.steps 4 --train.lanes 1 --train.lane-batch 8 --train.checkpoint-steps 4"
    " --train.checkpoint-seconds 0 --train.log-steps 2 --train.film-steps 1 --workers 0 --judge.tiles 32"
)
SUBSTITUTIONS = (
    (r"^(satgan train demo .*)$", rf"\1{QUICK}"),
    (r"^(satgan sweep .*) --seeds \S+$", rf"\1 --seeds 1234 --trials 1{QUICK.replace(' --workers 0', '')}"),
    (r"--count 10+\b", "--count 10"),
    (r"^(satgan doctor (?:article|tiles|runs).*)$", r"\1 || test $? = 1"),
    (r"(--page judgement.html)", r"\1 --tiles-per-side 32"),
    (r"(aerial/\*\.tif tiles/mine) --size 64 --stride 64", r"\1 --size 64 --stride 64 --limit sea=off"),
    (r"tiles pack folder/of/pngs tiles/mine", "tiles pack folder/of/pngs tiles/packed"),
)
"""Small networks and few steps, tiles of noise, one set not over the other; a doctor that finds errors ends with 1."""


def commands() -> list[str]:
    """Those of all blocks, in order, without comments."""
    text = (ROOT / "README.md").read_text().replace("\\\n", "")
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    return [stripped for line in lines if (stripped := re.sub(r"\s+#.*$", "", line).strip())]


def run_here() -> list[str]:
    """The commands that are run here, as they are run."""
    found = []
    for command in commands():
        if any(mark in command for mark in ELSEWHERE):
            continue
        for pattern, new in SUBSTITUTIONS:
            command = re.sub(pattern, new, command)
        found.append(command)
    return found


def test_nothing_is_excused_that_is_not_there() -> None:
    text = "\n".join(commands())
    assert [mark for mark in ELSEWHERE if mark not in text] == []
    assert len(run_here()) >= 25
    assert [pattern for pattern, _ in SUBSTITUTIONS if not re.search(pattern, text, re.MULTILINE)] == []


def test_what_the_readme_names_is_there() -> None:
    """Tests of promises, codes of the doctor, options, files."""
    text = (ROOT / "README.md").read_text()
    promised = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(promised) >= 15
    for path, test in promised:
        assert re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{test}"
    table = text[text.index("| what you see |") : text.index("## How good are the tiles?")]
    codes = set(re.findall(r"\b[SG]\d\d\b", table))
    assert len(codes) >= 15
    assert codes <= {rule.code for rule in RULES if rule.when != "by construction"}
    options = set(re.findall(r"--((?:tiles|gan|recipe|train|judge)\.[a-z0-9-]+)(?![a-z0-9…-])", text))
    known = {name.replace("_", "-") for name in by_name(load_config("demo").model_dump())}
    assert options - known == set()
    files = re.findall(r"`((?:satgan|tune|docs|aws|scripts)/[\w./]+\.\w+)`", text)
    assert len(files) >= 15
    assert [name for name in files if not (ROOT / name).exists()] == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with imagery, and the checkout's own files where the README says that one stands."""
    for name in ("aerial", "folder/of/pngs", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    for number in range(2):
        stream = generator(7, Purpose.SAMPLE, step=number)
        coarse = Image.fromarray(stream.integers(0, 256, (96, 96, 3), dtype=np.uint8))
        image = coarse.resize((768, 768), Image.Resampling.BICUBIC)
        image.save(tmp_path / f"aerial/{number}.tif")
        for place in range(20):
            box = (32 * place, 0, 32 * place + 64, 64)
            image.crop(box).save(tmp_path / f"folder/of/pngs/{number}-{place}.png")
    (tmp_path / ".venv/bin/satgan").symlink_to(Path(sys.executable).parent / "satgan")
    shutil.copytree(ROOT / "tune" / "spaces", tmp_path / "tune" / "spaces")
    return tmp_path


@pytest.mark.slow
def test_the_readmes_commands_run(folder: Path) -> None:
    """One shell, which stops at the first command that fails."""
    script = "\n".join(["set -eu", *run_here()])
    environment = os.environ | {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2", "PYTHONPATH": str(ROOT)}
    command = ["bash", "-x", "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    pages = ("turing/turing.html", "turing/answers.html", "compare.html")
    for made in (*pages, "walk.webp", "film.webp", "mosaic.png", "export/generator.onnx", "features.parquet"):
        assert (folder / made).stat().st_size > 1000, made
    for made in ("runs/first/report.html", "judgement.html", "look.png", "sheet.png", "runs/rates/sweep.html"):
        assert (folder / made).stat().st_size > 1000, made
    assert len(list((folder / "new").glob("*.png"))) == 10
    assert len(list((folder / "from-best").glob("*.png"))) == 16


@pytest.mark.parametrize("smoothing", [0, 2])
def test_the_files_are_read_as_the_docs_say(
    make_config: MakeConfig, tile_set: str, tmp_path: Path, smoothing: int
) -> None:
    """The code blocks of docs/formats.md, and what they draw beside what satgan draws of the same noise."""
    gan = {"smoothing_layers": smoothing, "kernel_size": 5 if smoothing else 4, "biases": bool(smoothing)}
    outcome = run(make_config(gan=gan, train={"log_steps": 2}))
    code = "\n".join(
        re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/formats.md").read_text(), re.DOTALL | re.MULTILINE)
    )
    assert "satgan" not in re.sub(r"#.*", "", code)
    found: dict[str, Any] = {"SET": tile_set, "RUN": outcome.run}
    exec(compile(code, "docs/formats.md", "exec"), found)
    assert found["steps"] == [2, 4, 6, 8, 10, 12]
    assert all(loss > 0 for loss in found["generator_loss"])
    noise = sample_noise(3, 0, 8, 6)
    ours = draw_tiles(generator_of(open_checkpoint(outcome.checkpoint), "average"), noise)
    theirs = found["draw"](torch.from_numpy(noise))
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert (ours == theirs).mean() > 0.99
