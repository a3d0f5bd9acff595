"""What a sweep refuses before anything starts, with one clear message."""

import sys
from pathlib import Path

import pytest

from satgan.__main__ import main
from satgan.config import load_config
from satgan.errors import InputError
from tests.tune.plans import plan_of
from tune.plan import record


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--judge.tiles", "0"), "a sweep ranks trials by the judge's score"),
        (("--workers", "2"), "--workers-per-trial"),
        (("--budget", "20"), "but no price"),
        (("--seeds", "1,x"), "list of seeds"),
        (("--trials", "3"), "grid has all its settings"),
        (("--search", "pbt", "--workers-per-trial", "2"), "skips every exploit"),
        (("--search", "pbt", "--max-concurrent", "2"), "take turns"),
        (("--workers-per-trial", "2", "--gpus-per-trial", "0.5"), "takes a GPU of its own"),
        (("--gpus-per-trial", "1.5"), "share (0 to 1)"),
        (("--nmae", "x"), "--name"),
        (("--name", "tiles"), "choose another name"),
        (("--recipe.beta1", "2"), "recipe.beta1 = '2': give less than 1"),
    ],
)  # fmt: skip
def test_a_command_line_that_cannot_be_is_refused(
    tile_set: str, small: str, rates: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...], told: str,
) -> None:  # fmt: skip
    words = ["sweep", rates, "article", "--config", small, "--tiles", tile_set, "--store", str(tmp_path / "store")]
    assert main([*words, *more]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "store" / "rates").exists()


def test_with_resume_one_command_begins_a_sweep_and_finishes_it(tile_set: str, tmp_path: Path) -> None:
    """As a submitted one does that is given again; without it nothing that is there is touched."""
    layers = {"tiles": {"source": tile_set}, "train": {"store": str(tmp_path)}}
    plan = plan_of(base_config=load_config("demo", layers))
    assert [record(plan, [], resume=True) for _ in range(2)] == [False, True]
    with pytest.raises(InputError, match="there is a sweep in"):
        record(plan, [], resume=False)


def test_a_store_that_cannot_be_written_is_named(
    tile_set: str, small: str, rates: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    words = ["sweep", rates, "article", "--config", small, "--tiles", tile_set, "--store", str(tmp_path / "file")]
    assert main(words) != 0
    told = capsys.readouterr().err
    assert str(tmp_path / "file") in told
    assert "what to do" in told
    assert "Traceback" not in told


def test_a_dry_run_names_the_trials_and_writes_nothing(
    tile_set: str, small: str, rates: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    words = ["sweep", rates, "article", "--config", small, "--tiles", tile_set, "--store", str(store), "--dry-run"]
    assert main([*words, "--seeds", "1"]) == 0
    assert capsys.readouterr().out.split() == ["glr_4e-05-s1", "glr_0.001-s1", "glr_0.01-s1"]
    assert not store.exists()
    assert main(["sweep", rates, "demo", "--store", str(store), "--dry-run", "--seeds", "1"]) == 0
    assert not store.exists(), "nor are embedded tiles packed"


def test_a_place_without_a_sweep_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for words in (
        ["best", str(tmp_path / "empty")],
        ["pull", str(tmp_path / "empty"), "--best", "--to", str(tmp_path)],
    ):
        assert main(words) == 2
        assert "no sweep in" in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--resume",)], ids=str)
def test_tpe_without_optuna_is_refused_before_anything_starts(
    tile_set: str, small: str, rates: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "optuna", None)
    store = tmp_path / "store"
    words = ["sweep", rates, "article", "--config", small, "--tiles", tile_set, "--store", str(store)]
    assert main([*words, "--search", "tpe", "--trials", "1", "--seeds", "1", *more]) == 2
    assert "pip install -e '.[optuna]'" in capsys.readouterr().err
    assert not store.exists()


def test_a_space_with_a_value_that_cannot_be_is_named(
    tile_set: str, small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fast.yaml").write_text("vary:\n  recipe.beta1: [0.5, 7]\n")
    words = ["sweep", str(tmp_path / "fast.yaml"), "article", "--config", small, "--tiles", tile_set, "--dry-run"]
    assert main(words) == 2
    assert f"satgan: {tmp_path / 'fast.yaml'}: recipe.beta1 = 7: " in capsys.readouterr().err
