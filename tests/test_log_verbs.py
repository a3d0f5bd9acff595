"""`satgan log`, `note`, `todo` and `compare` as a user meets them."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from satgan.__main__ import main
from satgan.tiles.shards import pack
from tests.train.conftest import made_tiles, tile_set

__all__ = ["tile_set"]  # fixture

Satgan = Callable[..., tuple[int, str, str]]
SMALL = (
    "--gan.size", "16", "--gan.filters", "8,8", "--gan.noise-size", "6", "--train.steps", "6", "--train.lanes", "2",
    "--train.lane-batch", "4", "--workers", "0", "--train.checkpoint-steps", "3", "--train.log-steps", "2",
    "--train.checkpoint-seconds", "0", "--judge.tiles", "0",
)  # fmt: skip


@pytest.fixture
def satgan(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Satgan:
    """Runs `satgan WORDS…` in an empty working folder, where ./runs is the store."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(words)
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def two_runs(satgan: Satgan, tile_set: str) -> Path:
    """A store with the runs `first` and `second`, the latter of another seed."""
    for name, seed in (("first", "1"), ("second", "2")):
        assert satgan("train", "demo", *SMALL, "--tiles", tile_set, "--name", name, "--seed", seed)[0] == 0
    return Path("runs").absolute()


@pytest.mark.usefixtures("two_runs")
def test_the_log_is_listed_shown_and_added_to(satgan: Satgan) -> None:
    status, told, _ = satgan("log")
    assert status == 0
    assert [line.split()[2] for line in told.splitlines()[1:3]] == ["second", "first"]
    assert "train.seed 1 > 2" in told
    assert satgan("note", "first", "coasts, no land")[0] == 0
    assert satgan("todo", "add", "smaller steps")[:2] == (0, "1\n")
    told = satgan("log")[1]
    assert "first: coasts, no land" in told
    assert "1. smaller steps" in told
    assert satgan("todo", "done", "1")[0] == 0
    assert satgan("todo", "list")[1] == ""
    shown = satgan("log", "show", "runs/second")[1]
    assert "train.seed: 1 before, 2 now" in shown
    assert "S07 " in shown
    assert "None" not in shown, "150 tiles are few, since no step"
    assert "finished after step 6 of 6" in shown
    table = satgan("log", "--markdown")[1].splitlines()
    assert len({line.count(" | ") for line in table[:4]}) == 1
    listed = json.loads(satgan("log", "--json")[1])
    assert [entry["run"] for entry in listed["runs"]] == ["second", "first"]
    assert listed["runs"][1]["notes"][0]["text"] == "coasts, no land"


def test_of_digests_the_first_digits_are_shown(satgan: Satgan, tile_set: str, tmp_path: Path) -> None:
    """A run on other tiles differs by its set's digest; JSON has it whole."""
    pack(made_tiles(100), str(tmp_path / "others"), size=16, channels=3, seed=2, source="made", cut={})
    for name, tiles in (("first", tile_set), ("second", str(tmp_path / "others"))):
        assert satgan("train", "demo", *SMALL, "--tiles", tiles, "--name", name)[0] == 0
    before, now = json.loads(satgan("log", "--json")[1])["runs"][0]["changes"]["tile_set"]
    assert len(before) == len(now) == 64
    for words, told in (
        (("log",), f"tile_set {before[:12]}… > {now[:12]}…"),
        (("log", "--markdown"), f"tile_set {before[:12]}… > {now[:12]}…"),
        (("log", "show", "second"), f"tile_set: {before[:12]}… before, {now[:12]}… now"),
    ):
        shown = satgan(*words)[1]
        assert told in shown
        assert not re.search(r"[0-9a-f]{13}", shown)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("log", "show", "nosuch"), "has no entry of nosuch"),
        (("note", "nosuch", "text"), "no run nosuch"),
        (("todo", "add"), "needs a text"),
        (("todo", "done", "one"), "'one' is no number"),
        (("todo", "done", "1"), "no open item has the number 1"),
        (("compare", "nosuch"), "1 run to compare"),
        (("compare", "a", "b", "--grid", "c.jpg"), ".png"),
        (("compare", "a", "b"), "config.yaml"),
    ],
)
def test_what_cannot_be_done_is_refused(satgan: Satgan, words: tuple[str, ...], told: str) -> None:
    status, _, said = satgan(*words)
    assert status == 2
    assert told in said


@pytest.mark.usefixtures("two_runs")
def test_runs_are_compared(satgan: Satgan, tmp_path: Path) -> None:
    status, told, _ = satgan("compare", "first", "second", "--grid", "both.png", "--page", "both.html")
    assert status == 0
    assert "second differs from first from step 2 on" in told
    assert "train.seed" in told
    assert "train.name" not in told
    found = json.loads(satgan("compare", "runs/first", "runs/second", "--json")[1])
    assert found["settings"] == {"train.seed": [1, 2]}
    assert found["differ_from"] == [None, 2]
    assert found["drawn_steps"] == [6, 6]
    assert sorted(found["losses"]["real_loss_before"], key=int) == ["2", "4", "6"]
    picture = np.asarray(Image.open(tmp_path / "both.png"))
    width = 8 * 18 + 2
    assert picture.shape == (width, 2 * width + 12, 3)
    assert not np.array_equal(picture[:, :width], picture[:, -width:])
    page = (tmp_path / "both.html").read_text()
    assert page.count("<img") == 2
    assert "<th><th>" not in page, "every column has a name"
    assert "second differs from first from step 2 on" in page


def test_a_run_beside_its_copy_does_not_differ(satgan: Satgan, two_runs: Path, tmp_path: Path) -> None:
    """The same noise gives the same tiles, whatever the run is called."""
    shutil.copytree(two_runs / "first", two_runs / "copy-of-the-first")
    found = json.loads(satgan("compare", "first", "copy-of-the-first", "--json", "--grid", "same.png")[1])
    assert (found["settings"], found["differ_from"]) == ({}, [None, None])
    picture = np.asarray(Image.open(tmp_path / "same.png"))
    assert np.array_equal(picture[:, :146], picture[:, -146:])


@pytest.mark.usefixtures("two_runs")
def test_the_doctor_misses_an_entry_that_was_lost(satgan: Satgan, tile_set: str) -> None:
    """S05; and G05, where the log has no run on digits."""
    rules = [finding["rule"] for finding in json.loads(satgan("doctor", "runs/first", "--json")[1])["findings"]]
    assert "S05" not in rules
    Path("runs", "observations.jsonl").unlink()
    found = json.loads(satgan("doctor", "runs/first", "--json", "--select", "S05")[1])["findings"]
    assert [finding["action"] for finding in found] == ["satgan log add first"]
    assert satgan("log", "add", "first")[0] == 0
    assert json.loads(satgan("doctor", "runs/first", "--json", "--select", "S05")[1])["findings"] == []
    found = json.loads(satgan("doctor", "dcgan", "--tiles", tile_set, "--select", "G05", "--json")[1])["findings"]
    assert [finding["action"] for finding in found] == ["satgan train digits"]


def test_the_log_and_a_comparison_show_what_runs_have_cost(satgan: Satgan, tile_set: str, tmp_path: Path) -> None:
    """In USD, of those whose price was known; without any price nothing is said of it."""
    for name, price in (("free", "0"), ("paid", "36000")):
        words = (*SMALL, "--tiles", tile_set, "--name", name, "--train.worker-price", price)
        assert satgan("train", "demo", *words)[0] == 0
        if name == "free":
            assert "USD" not in satgan("log", "show", "free")[1]
    entry = json.loads(satgan("log", "show", "paid", "--json")[1])
    assert entry["dollars"] > 0
    assert f"{entry['dollars']:,.2f} USD" in satgan("log", "show", "paid")[1]
    assert f" {entry['dollars']:,.2f} " in satgan("log")[1].splitlines()[1]
    told = satgan("compare", "free", "paid", "--page", "both.html")[1]
    assert f"{entry['dollars']:.4g}" in next(line for line in told.splitlines() if line.startswith("USD"))
    assert f"{entry['dollars']:.4g}" in (tmp_path / "both.html").read_text()
    assert json.loads(satgan("compare", "free", "paid", "--json")[1])["took"]["USD"] == [None, entry["dollars"]]
