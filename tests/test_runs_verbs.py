"""`satgan runs` tells what lies in a store, `satgan prune` removes from it what nobody wants, and nothing else."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from satgan.__main__ import main
from satgan.config import Config
from satgan.errors import Diverged, SatganError, Stopped
from satgan.tiles.aside import UNFINISHED_SUFFIX
from satgan.tiles.store import Store, open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.lease import Lease
from satgan.train.loop import train_loop
from satgan.train.recovery import recover
from satgan.train.retention import wanted
from satgan.train.start import prepare
from satgan.train.watch import Watch
from tests.train.conftest import MakeConfig, make_config, run, threads_put_back, tile_set

__all__ = ["make_config", "threads_put_back", "tile_set"]  # fixtures

Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture
def satgan(capsys: pytest.CaptureFixture[str]) -> Verb:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(words)
        return status, *capsys.readouterr()

    return call


def ended_after(steps: int, config: Config, error: SatganError | None) -> None:
    """A run that is stopped, or fails, after so many steps."""
    taken = count(1)

    def stop() -> bool:
        is_time = next(taken) == steps
        if error and is_time:
            raise error
        return is_time

    with pytest.raises(type(error) if error else Stopped):
        train_loop(config, Watch(progress=lambda progress: None, checkpoint=lambda *told: None, stop=stop))


def rewritten(store: Store, key: str, old: str, new: str) -> None:
    text = store.read(key).decode()
    assert old in text
    store.write(key, text.replace(old, new).encode())


def test_runs_are_listed_with_their_states(
    satgan: Verb, make_config: MakeConfig, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"store": place, "checkpoint_steps": 4}
    run(make_config(train=small | {"name": "complete", "steps": 4}))
    ended_after(1, make_config(train=small | {"name": "stopped"}), None)
    ended_after(5, make_config(train=small | {"name": "failed"}), Diverged("real_loss = nan", "lower rates"))
    ended_after(0, make_config(train=small | {"name": "wild"}, recipe={"discriminator_l2": 1e25}), Diverged("", ""))
    store = open_store(place)
    for key in ("config.yaml", "checkpoints/step-00000001/COMPLETE"):
        store.write(f"broken/{key}", store.read(f"stopped/{key}"))
    lines = store.read("stopped/journal.jsonl").decode().splitlines(keepends=True)
    store.write("broken/journal.jsonl", "".join(line for line in lines if '"stop"' not in line).encode())
    store.write("complete/best.json", b'{"step": 4, "score": 3.5, "tiles": 42}')
    store.write("tiles/set/manifest.json", b"{}")
    status, out, _ = satgan("runs", place, "--json")
    found = {entry["name"]: entry for entry in json.loads(out)}
    assert status == 0
    told = {name: (one["state"], one["step"], one["steps"], one["checkpoints"]) for name, one in found.items()}
    assert told == {
        "broken": ("broken off", 1, 12, 1), "complete": ("complete", 4, 4, 1), "failed": ("failed", 4, 12, 1),
        "stopped": ("stopped", 1, 12, 1), "wild": ("diverged", 0, 12, 0),
    }  # fmt: skip
    assert (found["complete"]["score"], found["complete"]["best_step"], found["failed"]["score"]) == (3.5, 4, None)
    assert found["complete"]["bytes"] == sum(size for _, size in store.child("complete").list())
    assert 0 <= found["complete"]["age_seconds"] < 60
    with Lease(f"{place}/stopped", print):
        assert json.loads(satgan("runs", f"{place}/stopped", "--json")[1])[0]["state"] == "running"
        monkeypatch.setattr("satgan.train.holder._machine", lambda: "another")
        assert json.loads(satgan("runs", f"{place}/stopped", "--json")[1])[0]["state"] == "running"
    status, out, _ = satgan("runs", place)
    assert [line.split()[0] for line in out.splitlines()] == ["run", "broken", "complete", "failed", "stopped", "wild"]
    assert "3.50 after 4  42 tiles" in out


def test_the_best_of_a_store_is_not_chosen_by_scores_that_do_not_compare(
    satgan: Verb, make_config: MakeConfig, tmp_path: Path
) -> None:
    """By other numbers of tiles they are other scores."""
    for name in ("few", "many"):
        run(make_config(train={"name": name, "store": str(tmp_path / "runs"), "steps": 4}))
    status = {}
    for tiles in (42, 256):
        for name, judged_tiles, score in (("few", tiles, 2.0), ("many", 256, 3.0)):
            best = json.dumps({"step": 4, "score": score, "tiles": judged_tiles})
            (tmp_path / "runs" / name / "best.json").write_text(best)
        status[tiles], _, said = satgan("pull", str(tmp_path / "runs"), "--best", "--to", str(tmp_path / f"{tiles}"))
        assert ("do not compare: few 2.00 by 42 tiles, many 3.00 by 256 tiles" in said) == (tiles == 42)
    assert status == {42: 2, 256: 0}


def test_prune_shows_and_removes_what_nobody_wants(satgan: Verb, make_config: MakeConfig, place: str) -> None:
    """Of the checkpoints after steps 3, 6, 9 and 12 the newest and the best stay."""
    outcome = run(make_config(train={"store": place, "checkpoint_steps": 3, "keep_checkpoints": 9}))
    store = open_store(outcome.run)
    assert satgan("prune", place)[:2] == (0, "0 to remove, 0.0 MB\n")
    rewritten(store, "config.yaml", "keep_checkpoints: 9", "keep_checkpoints: 1")
    judged = [{"step": step, "event": "judged", "tiles": 24, "score": score} for step, score in ((3, 5.0), (6, 2.0))]
    lines = "".join(json.dumps(entry) + "\n" for entry in judged).encode()
    store.write("journal.jsonl", store.read("journal.jsonl") + lines)
    unwanted = ["checkpoints/step-00000003", "checkpoints/step-00000009"]
    for folder in ("checkpoints/step-00000011", "checkpoints/corrupt-step-00000010-x"):
        store.write(f"{folder}/state.json", b"{}")
        unwanted.append(folder)
    if not place.startswith("s3://"):
        (Path(outcome.run) / f".x.1234{UNFINISHED_SUFFIX}").write_bytes(b"half")
    before = store.list()
    lost = [key for key, _ in before if key.startswith(tuple(f"{folder}/" for folder in unwanted))]
    status, out, _ = satgan("prune", outcome.run)
    assert status == 0
    assert all(f"{outcome.run}/{folder}  " in out for folder in unwanted)
    assert "--yes removes it" in out
    assert store.list() == before
    with Lease(outcome.run, print):
        status, out, err = satgan("prune", place, "--yes")
        assert (status, out) == (0, "0 to remove, 0.0 MB\n")
        assert "is running: it is left alone" in err
    assert store.list() == before
    status, out, _ = satgan("prune", place, "--yes", "--json")
    told = json.loads(out)
    assert told["removed"]
    assert {entry["key"] for entry in told["found"] if entry["key"]} == set(unwanted)
    assert store.list() == [file for file in before if file[0] not in lost]
    assert store.unfinished() == []
    assert satgan("prune", place)[:2] == (0, "0 to remove, 0.0 MB\n")


def test_prune_keeps_whole_checkpoints_where_newer_ones_are_corrupt(satgan: Verb, make_config: MakeConfig) -> None:
    """What is corrupt stays too: a resume names it and sets it aside."""
    outcome = run(make_config(train={"checkpoint_steps": 3, "keep_checkpoints": 9}))
    store = open_store(outcome.run)
    rewritten(store, "config.yaml", "keep_checkpoints: 9", "keep_checkpoints: 1")
    for step in (9, 12):
        path = Path(outcome.run) / "checkpoints" / f"step-{step:08d}" / "discriminator.safetensors"
        path.write_bytes(path.read_bytes()[:-7])
    status, out, _ = satgan("prune", outcome.run, "--yes", "--json")
    assert status == 0
    assert [entry["key"] for entry in json.loads(out)["found"]] == ["checkpoints/step-00000003"]
    assert complete_steps(store) == [6, 9, 12]
    assert [one.step for one in recover(store)] == [9, 12]
    assert complete_steps(store) == [6]


def test_prune_keeps_where_a_forks_rollback_would_go(satgan: Verb, make_config: MakeConfig) -> None:
    """Its first checkpoint, the parent's last, lies between two regular steps."""
    run(make_config(train={"name": "base", "steps": 12}))
    changed = {"name": "fork", "on_nan": "rollback", "steps": 14, "checkpoint_steps": 5, "keep_checkpoints": 9}
    config, _ = prepare(make_config(train=changed), lambda text: None, "base")
    outcome = run(config)
    store = open_store(outcome.run)
    assert complete_steps(store) == [12, 14]
    rewritten(store, "config.yaml", "keep_checkpoints: 9", "keep_checkpoints: 1")
    assert satgan("prune", outcome.run)[:2] == (0, "0 to remove, 0.0 MB\n")


def test_one_run_that_cannot_be_read_does_not_hide_the_others(
    satgan: Verb, make_config: MakeConfig, tmp_path: Path
) -> None:
    """Each is told of by itself; and a store that has such a run is no success."""
    outcome = run(make_config(train={"steps": 5}))
    store = open_store(str(Path(outcome.run).parent))
    store.write("broken/config.yaml", b"train: [")
    store.write("run/best.json", b'{"step"')
    for verb in ("runs", "prune"):
        status, out, err = satgan(verb, store.url)
        assert status == 2
        assert "broken/config.yaml is not a run's config" in err
        assert "what to do" in err
        assert ("run  " in out) == (verb == "runs")
    (told,) = json.loads(satgan("runs", store.url, "--json")[1])
    assert (told["name"], told["score"]) == ("run", None)


@pytest.mark.parametrize("verb", ["runs", "prune"])
def test_a_place_without_runs_is_refused(satgan: Verb, verb: str, tmp_path: Path) -> None:
    status, _, err = satgan(verb, str(tmp_path))
    assert status == 2
    assert "no run in" in err
    status, _, err = satgan(verb, str(tmp_path / "nowhere"))
    assert status == 2
    assert "there is no such folder" in err
    assert "satgan train" in err


def test_the_newest_and_the_best_are_wanted() -> None:
    steps, scores = [1, 2, 3, 4, 5, 6], {1: 2.0, 2: 1.0, 3: 2.0, 4: 3.0, 9: 0.5}
    assert wanted(steps, scores, 1, 1) == {6, 2}
    assert wanted(steps, scores, 2, 2) == {5, 6, 2, 1}
    assert wanted(steps, {}, 2, 2) == {5, 6}
    assert wanted([2], scores, 3, 1) == {2}
    assert wanted([], scores, 3, 1) == set()
