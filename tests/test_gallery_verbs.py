"""The verbs on what comes out of a checkpoint, as a user types them: each with a run and with a bucket's."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from satgan.__main__ import main
from satgan.gallery.draw import Choice, open_artist
from satgan.tiles.store import open_store
from tests.train.conftest import MakeConfig, make_config, run, threads_put_back, tile_set

__all__ = ["make_config", "threads_put_back", "tile_set"]  # fixtures


@pytest.fixture
def trained(make_config: MakeConfig, place: str) -> str:
    """Url of a finished run, in a folder and in a bucket."""
    return run(make_config(train={"store": place})).run


def satgan(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a verb that succeeds prints."""
    capsys.readouterr()
    assert main(words) == 0
    told = capsys.readouterr()
    assert told.err == ""  # no terminal, no bar
    return told.out.rstrip("\n")


def test_every_verb_leaves_what_it_names(
    trained: str, tile_set: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    where = {"walk": "walk.webp", "film": "film.webp", "mosaic": "mosaic.png", "export": "export/generator.onnx"}
    short = {"walk": ("--frames", "2"), "mosaic": ("--rows", "3", "--columns", "4", "--truncation", "1.5")}
    for verb, name in where.items():
        assert satgan(capsys, verb, trained, *short.get(verb, ())) == name
        assert Path(name).stat().st_size > 500
    with Image.open("mosaic.png") as picture:
        assert picture.size == (64, 48)
    assert satgan(capsys, "features", trained, tile_set) == "features.parquet"
    assert satgan(capsys, "features", trained, tile_set, "--out", "deep/f.npy") == "deep/f.npy"
    assert len(np.load("deep/f.npy")) == 150


def test_sample_takes_its_options(trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, choice in (
        ((), Choice()),
        (("--seed", "3", "--truncation", "0.7"), Choice(3, 0.7)),
        (("--raw", "--device", "cpu"), Choice(raw=True, device="cpu")),
    ):
        told = satgan(capsys, "sample", trained, "--count", "5", "--npy", "--out", str(tmp_path), *words, "--json")
        expected = next(open_artist(trained, choice).batches(5))
        assert np.array_equal(np.load(json.loads(told)["written"]), expected)


def test_the_probes_table_and_json_tell_the_same(
    trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "drawn"
    for name, level in (("dark", 40), ("light", 200)):
        (drawn / name).mkdir(parents=True)
        for number in range(32):
            noise = np.random.default_rng(number).integers(0, 50, (16, 16, 3), np.uint8)
            Image.fromarray(noise + np.uint8(level)).save(drawn / name / f"{number}.png")
    words = ("probe", trained, str(drawn), "--device", "cpu")
    table, found = satgan(capsys, *words), json.loads(satgan(capsys, *words, "--json"))
    assert found["measured"]["raw pixels"]["accuracy"] == 1.0
    for name, one in found["measured"].items():
        assert f"{one['accuracy']:.2%}   {one['low']:.2%} to {one['high']:.2%}" in next(
            line for line in table.splitlines() if line.startswith(name)
        )
    assert "trained on 48 tiles (dark 24, light 24), tested on 16" in table


def test_a_run_can_lie_in_a_bucket_and_so_can_what_is_made(
    trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    for verb, name in (("walk", "w.gif"), ("film", "f.gif"), ("mosaic", "m.png"), ("export", "generator.pt")):
        out = ("--out", place, "--format", "torchscript") if verb == "export" else ("--out", f"{place}/{name}")
        assert satgan(capsys, verb, trained, *out) == f"{place}/{name}"
        assert open_store(place).exists(name)
