"""`satgan judge --inception` from the outside: what is printed beside our scores, and which files are refused. All with
a network of a 16th of the filters; `tests/judge/test_inception.py` compares the whole one with torch-fidelity's."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from satgan.__main__ import main
from satgan.gallery import judgement as gallery
from satgan.gallery.inception_file import NAME, SHA256, open_extractor
from satgan.judge import inception_scores
from satgan.judge.features import frechet_distance
from satgan.judge.inception_scores import extract_inception
from satgan.judge.reference import pick_tiles
from satgan.tiles.tile_set import open_tile_set
from tests.gallery.test_judgement import KINDS, TILES, as_folder, as_set, judged
from tests.judge.damage import DAMAGES
from tests.judge.inception_weights import random_state, saved, thin_network, without

NOISY = DAMAGES["noise"](TILES[40:60], KINDS[40:60], 3)

Written = tuple[str, str]
"""Path and sha256 of a file."""


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satgan.judge.inception.NETWORK", thin_network())


@pytest.fixture
def weights(thin: None, tmp_path: Path) -> Written:
    return saved(tmp_path / "my<weights.pth", random_state())


def test_fid_and_kid_stand_beside_the_scores_under_their_extractors_name(
    tmp_path: Path, weights: Written, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (inception_scores, gallery):
        monkeypatch.setattr(module, "SUBSET_TILES", 20)
    path, sha256 = weights
    reals, page = as_set(str(tmp_path / "reals"), TILES[:40]), tmp_path / "page.html"
    fakes = as_set(str(tmp_path / "fakes"), NOISY)
    words = [fakes, reals, "--inception", path, "--inception-sha256", sha256]
    own, both = judged([fakes, reals], capsys), judged(words, capsys)
    found = both.pop("inception")
    assert both == own
    assert (found["extractor"], found["sha256"], found["tiles"]) == ("my<weights", sha256, 20)
    fid, kid = found["scores"]["fid"], found["scores"]["kid"]
    extractor = open_extractor(path, sha256)
    one, other = (
        extract_inception(pick_tiles(open_tile_set(url), count, 0), extractor, lambda *_: None)[:20].astype(np.float64)
        for url, count in ((reals, 40), (fakes, 20))
    )
    assert fid["value"] == pytest.approx(frechet_distance(one, other), rel=1e-6)
    assert fid["ratio"] == pytest.approx(fid["value"] / fid["floor"])
    assert fid["ratio"] > 2
    assert kid["value"] > 5 * abs(kid["floor"])
    assert kid["ratio"] is None

    monkeypatch.setattr("satgan.judge.inception_scores.make_inception_reference", lambda *_: pytest.fail("not kept"))
    assert main(["judge", *words, "--page", str(page)]) == 0
    table, html = capsys.readouterr().out, page.read_text()
    assert "FRD" not in table
    for name in ("fid", "kid"):
        value, floor = found["scores"][name]["value"], found["scores"][name]["floor"]
        title = f"{name} (my<weights, sha256 {sha256[:8]}…)"
        assert re.search(rf"^{re.escape(title)} +{re.escape(f'{value:.4g}')} +{re.escape(f'{floor:.4g}')}", table, re.M)
        row = rf"<td>{name} \(my&lt;weights, sha256 {sha256[:8]}…\)</td><td class=n>{value:.4g}</td>"
        assert re.search(row, html)


def test_what_is_kept_of_the_reals_belongs_to_their_extractor(
    tmp_path: Path, weights: Written, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (inception_scores, gallery):
        monkeypatch.setattr(module, "SUBSET_TILES", 20)
    sides = [as_folder(tmp_path / "fakes", NOISY), as_set(str(tmp_path / "reals"), TILES[:40])]
    state = random_state()
    other = saved(tmp_path / "other.pth", state | {"Mixed_7c.branch1x1.bn.bias": -state["Mixed_7c.branch1x1.bn.bias"]})
    values = [
        judged([*sides, "--inception", path, "--inception-sha256", sha256], capsys)["inception"]["scores"]["fid"]
        for path, sha256 in (weights, other, weights)
    ]
    assert values[0] == values[2] != values[1]
    assert values[1]["value"] == pytest.approx(
        values[0]["value"], rel=0.5
    )  # of one side's features alone it is far off
    assert len(list((tmp_path / "reals" / "judge").glob("*inception*"))) == 2


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_file_of_another_hash_is_refused_with_the_remedy_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, sha256 = saved(tmp_path / "other.pth", Trap(tmp_path / "sprung"))
    words = ["judge", str(tmp_path / "not there"), str(tmp_path / "nor there"), "--inception", path]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert f"has sha256 {sha256}, not {SHA256} ({NAME})" in told
    assert f"--inception-sha256 {sha256}" in told
    assert main([*words, "--inception-sha256", SHA256.upper()]) == 2
    assert f"has sha256 {sha256}, not {SHA256.upper()}" in capsys.readouterr().err
    assert main([*words, "--inception-sha256", sha256]) == 2
    assert "cannot be read as tensors alone" in capsys.readouterr().err
    assert not (tmp_path / "sprung").exists()


def test_other_things_than_the_networks_tensors_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {name: tensor.to(torch.float16) for name, tensor in random_state().items()}
    name, norm = "Mixed_6c.branch7x7_2.conv.weight", "Mixed_7c.branch_pool.bn.running_var"
    cases: dict[str, object] = {
        f"no tensor {name}": without(state, name),
        f"{name} is torch.float16 of (10, 10, 7, 1), not floats of (10, 10, 1, 7)": state
        | {name: state[name].transpose(2, 3)},
        f"{norm} is torch.int64 of (12,)": state | {norm: state[norm].long()},
        f"{norm} holds numbers that are not finite": state | {norm: state[norm] * torch.nan},
        "a list": [state["fc.bias"]],
    }
    for said, wrong in cases.items():
        path, sha256 = saved(tmp_path / "wrong.pth", wrong)
        assert main(["judge", "a", "b", "--inception", path, "--inception-sha256", sha256]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--inception", "{path}-not"], "weights.pth-not"),
        (["--inception", "{folder}/"], "Is a directory"),
        (["--inception", "{path}", "--inception-sha256", "6726825d"], "6726825d is no sha256"),
        (["--inception-sha256", "{sha256}"], "without --inception"),
    ],
)
def test_options_that_mean_no_file_are_refused(
    weights: Written, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    names = {"path": weights[0], "sha256": weights[1], "folder": str(Path(weights[0]).parent)}
    assert main(["judge", "a", "b", *(word.format(**names) for word in words)]) == 2
    told = capsys.readouterr().err
    assert said.format(**names) in told
    assert "what to do" in told


def test_too_few_tiles_and_channels_that_inception_does_not_see_are_refused_before_any_work(
    tmp_path: Path, weights: Written, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for work in ("judge", "reference_of", "inception_reference_of"):
        monkeypatch.setattr(f"satgan.gallery.judgement.{work}", lambda *_: pytest.fail("work was begun"))
    fakes, reals = as_folder(tmp_path / "fakes", TILES[120:]), as_set(str(tmp_path / "reals"), TILES[:120])
    options = ["--inception", weights[0], "--inception-sha256", weights[1]]
    assert main(["judge", fakes, reals, *options]) == 2
    told = capsys.readouterr().err
    assert f"60 tiles per side: {fakes} has 60, {reals} has 120" in told
    assert "KID needs 1,000 fakes and 2,000 reals, or more; else leave out --inception" in told
    monkeypatch.setattr(gallery, "SUBSET_TILES", 20)
    five = as_set(str(tmp_path / "five"), np.repeat(TILES[:60, ..., :1], 5, axis=3))
    assert main(["judge", five, five, *options]) == 2
    assert "tiles of 5 channels" in capsys.readouterr().err


def test_both_formats_that_torch_has_written_give_the_same_network(tmp_path: Path, weights: Written) -> None:
    """The published file is of the older one."""
    state = {name: torch.nn.Parameter(t) if t.is_floating_point() else t for name, t in random_state().items()}
    path, sha256 = saved(tmp_path / "old.pth", state, zipped=False)
    assert sha256 != weights[1]
    old, new = open_extractor(path, sha256), open_extractor(weights[0], weights[1].upper())
    assert old.title == f"old, sha256 {sha256[:8]}…"
    for name, layer in new.layers.items():
        assert torch.equal(layer.weights, old.layers[name].weights)
        assert torch.equal(layer.biases, old.layers[name].biases)
