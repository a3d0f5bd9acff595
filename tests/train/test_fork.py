"""`--fork`: a new run goes on from another one's checkpoint under other settings; the parent stays as it is."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from satgan.__main__ import main
from satgan.config import Config
from satgan.errors import CheckpointError, CorruptData
from satgan.train.checkpoint import Checkpoint
from satgan.train.run_folder import RunFolder
from satgan.train.start import hold, prepare
from tests.train.conftest import MakeConfig, run, weights_of


def fork(config: Config, parent: str = "base") -> tuple[Config, int]:
    return prepare(config, lambda text: None, parent)


def files_of(config: Config) -> dict[str, bytes]:
    folder = Path(config.train.store) / config.train.name
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def checkpoint_of(config: Config, step: int) -> Path:
    return Path(config.train.store) / config.train.name / "checkpoints" / f"step-{step:08d}"


@pytest.fixture
def base(make_config: MakeConfig) -> Config:
    """A run of 12 steps that is complete."""
    config = make_config(train={"name": "base"})
    run(config)
    return config


def test_a_fork_without_changes_goes_on_as_its_parent_would(make_config: MakeConfig, base: Config) -> None:
    before = files_of(base)
    config, step = fork(make_config(train={"name": "same", "steps": 20}))
    assert step == 12
    forked = run(config)
    assert files_of(base) == before
    parent = run(make_config(train={"name": "base", "steps": 20}))
    assert weights_of(forked.checkpoint) == weights_of(parent.checkpoint)


def test_a_fork_changes_what_it_was_told_and_resumes(make_config: MakeConfig, base: Config) -> None:
    """Stopped on the way, once before its first own checkpoint; resumed by its own name and by the same command."""
    before = files_of(base)
    changes: dict[str, Any] = {"recipe": {"beta1": 0.4, "generator_updates": 1}}
    whole = make_config(**changes, train={"name": "whole", "steps": 20})
    parts = make_config(**changes, train={"name": "parts", "steps": 20})
    run(fork(whole)[0])
    assert fork(parts)[1] == 12
    assert weights_of(str(checkpoint_of(parts, 12))) == weights_of(str(checkpoint_of(base, 12)))
    shorter = parts.model_copy(update={"train": parts.train.model_copy(update={"steps": 17})})
    run(prepare(shorter, lambda text: None)[0])
    config, step = fork(parts)
    assert step == 17
    outcome = run(config)
    assert weights_of(outcome.checkpoint) == weights_of(str(checkpoint_of(whole, 20)))
    assert weights_of(outcome.checkpoint) != weights_of(str(checkpoint_of(base, 12)))
    assert files_of(base) == before
    origin = {"run": str(Path(base.train.store) / "base"), "step": 12}
    assert (
        Checkpoint(RunFolder(parts.train.store, "parts").store.child("checkpoints/step-00000020")).state["forked_from"]
        == origin
    )
    folder = Path(outcome.run)
    assert yaml.safe_load((folder / "config.yaml").read_text())["about"]["forked_from"] == origin
    entries = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    told = [entry for entry in entries if entry.get("event") == "fork"]
    assert told == [{"step": 12, "event": "fork", "parent": origin["run"], "parent_step": 12}]


def test_history_may_be_left_behind(make_config: MakeConfig, base: Config) -> None:
    changes: dict[str, Any] = {"recipe": {"history_share": 0.0}}
    run(fork(make_config(**changes, train={"name": "plain", "steps": 16, "lanes": 2}))[0])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"gan": {"filters": "16,8"}}, ["gan.filters: [8, 8] before, [16, 8] now"]),
        ({"gan": {"generator_norm": "virtual"}}, ["gan.generator_norm: batch before, virtual now"]),
        ({"train": {"lanes": 2}}, ["train.lanes: 4 before, 2 now", "--recipe.history-share 0"]),
        ({"recipe": {"history_capacity": 9}}, ["recipe.history_capacity: 6 before, 9 now"]),
        ({"train": {"steps": 12}}, ["nothing is left to do", "--train.steps"]),
        ({"train": {"name": "base"}}, ["cannot be forked from itself", "--fork"]),
    ],
    ids=str,
)
def test_what_cannot_go_along_is_refused_by_name(
    make_config: MakeConfig, base: Config, changes: dict[str, dict[str, Any]], told: list[str]
) -> None:
    train = {"name": "child", "steps": 20} | changes.get("train", {})
    with pytest.raises(CheckpointError) as caught:
        fork(make_config(**(changes | {"train": train})))
    assert all(text in str(caught.value) for text in told), caught.value
    assert not (Path(base.train.store) / "child").exists()


def test_only_a_whole_parent_has_forks_and_only_under_free_names(make_config: MakeConfig, base: Config) -> None:
    with pytest.raises(CheckpointError, match=r"no whole checkpoint in .*nobody"):
        fork(make_config(train={"name": "child", "steps": 20}), parent="nobody")
    run(make_config(train={"name": "other", "steps": 5}))
    with pytest.raises(CheckpointError, match=r"a run of its own, not to a fork of .*base"):
        fork(make_config(train={"name": "other", "steps": 20}))


def test_a_fork_goes_on_from_the_newest_whole_checkpoint(make_config: MakeConfig, base: Config) -> None:
    child = make_config(train={"name": "child", "steps": 20})
    said: list[str] = []
    damaged = [checkpoint_of(base, step) / "discriminator.safetensors" for step in (5, 10, 12)]
    damaged[2].write_bytes(b"torn")
    assert prepare(child, said.append, "base")[1] == 10
    assert "not taken" in said[0]
    assert "step-00000012/discriminator.safetensors" in said[0]
    damaged[0].write_bytes(b"torn")
    damaged[1].write_bytes(b"torn")
    with pytest.raises(CorruptData, match=r"none of the 3 checkpoint\(s\) of .*base is whole"):
        fork(make_config(train={"name": "other", "steps": 20}))
    assert not (Path(base.train.store) / "other").exists()


@pytest.mark.parametrize("name", ["state.json", "COMPLETE"])
def test_the_same_command_goes_on_where_the_forks_newest_checkpoint_is_corrupt(
    make_config: MakeConfig, base: Config, name: str
) -> None:
    child = make_config(train={"name": "child", "steps": 20})
    whole = run(fork(child)[0])
    expected = weights_of(whole.checkpoint)
    (checkpoint_of(child, 20) / name).write_bytes(b"torn")
    config, step = fork(child)
    assert step == 15
    assert weights_of(run(config).checkpoint) == expected


def test_the_command_line_forks_and_the_refusal_says_so(
    make_config: MakeConfig, base: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base.model_dump(mode="json")))
    words = ["train", "article", "--config", str(tmp_path / "base.yaml"), "--train.steps", "15"]
    changed = [*words, "--recipe.beta1", "0.4", "--json"]
    assert main(changed) == 2
    assert "recipe.beta1: 0.5 before, 0.4 now" in (refusal := capsys.readouterr().err)
    assert "--fork NAME" in refusal
    for _ in range(2):  # the second time it is complete
        assert main([*changed, "--fork", "warm"]) == 0
        assert json.loads(capsys.readouterr().out)["checkpoint"] == str(
            Path(base.train.store) / "warm/checkpoints/step-00000015"
        )
    assert main([*changed, "--name", "warm"]) == 0
    assert main([*changed, "--fork", "tiles"]) == 2


def test_a_fork_writes_nothing_into_a_run_that_is_held(make_config: MakeConfig, base: Config, tmp_path: Path) -> None:
    child = make_config(train={"name": "child", "steps": 20})
    file = tmp_path / "child.yaml"
    file.write_text(yaml.safe_dump(child.model_dump(mode="json")))
    command = ["train", "article", "--config", str(file), "--name", "base", "--fork", "child"]
    with hold(child):
        assert main(command) == 2
        assert list(files_of(child)) == [str(Path(child.train.store) / "child" / "lease.json")]
    assert main(command) == 0
    assert checkpoint_of(child, 20).exists()
