"""Checkpoints are judged beside the steps; the best one stays, whatever comes after it."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from satgan.errors import SatganError
from satgan.gan.networks import Generator
from satgan.judge.judgement import Judgement
from satgan.judge.process import JudgeProcess
from satgan.tiles.shards import pack
from satgan.tiles.store import open_store
from satgan.tiles.tile_set import open_tile_set
from satgan.train.checkpoint import complete_steps
from satgan.train.journal import events_in
from satgan.train.loop import train_loop
from satgan.train.progress import Progress
from satgan.train.run_folder import RunFolder
from satgan.train.runs import litter
from satgan.train.scorer import Scorer
from satgan.train.watch import Watch
from tests.train.conftest import MakeConfig, after_steps, made_tiles, run, weights_of

JUDGED = {"judge": {"tiles": 24}}
PATIENCE_SECONDS = 60.0


def entries(run_folder: str, event: str) -> list[dict[str, Any]]:
    """The journal's entries of one kind."""
    lines = (Path(run_folder) / "journal.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry.get("event") == event]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a few quick steps, in which every checkpoint is judged before the next one comes."""
    submit = Scorer.submit

    def submit_and_wait(scorer: Scorer, step: int, averaged: Generator) -> None:
        submit(scorer, step, averaged)
        if scorer._judging:
            scorer._judging[1].exception()

    monkeypatch.setattr(Scorer, "submit", submit_and_wait)


def falling(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    """The judge's next overall scores."""
    judge, given = JudgeProcess.judge, iter(scores)
    monkeypatch.setattr(JudgeProcess, "judge", lambda process, fakes: judge(process, fakes)._replace(score=next(given)))


@pytest.mark.usefixtures("patient")
def test_every_checkpoint_is_judged_and_judging_changes_no_bit(make_config: MakeConfig) -> None:
    plain = run(make_config(train={"name": "plain"}))
    judged = run(make_config(train={"name": "judged"}, **JUDGED))
    assert weights_of(plain.checkpoint) == weights_of(judged.checkpoint)
    found = entries(judged.run, "judged")
    assert [entry["step"] for entry in found] == [5, 10, 12]
    assert all(entry["tiles"] == 24 and entry["score"] >= 1 for entry in found)
    assert not entries(plain.run, "judged")


@pytest.mark.usefixtures("patient")
def test_judgements_follow_from_config_and_seed(make_config: MakeConfig) -> None:
    whole = run(make_config(train={"name": "whole"}, **JUDGED))
    run(make_config(train={"name": "again", "steps": 7}, **JUDGED))
    again = run(make_config(train={"name": "again"}, **JUDGED))
    shared = {entry["step"]: entry for entry in entries(whole.run, "judged")}
    assert {5: shared[5], 10: shared[10], 12: shared[12]}.items() <= {
        entry["step"]: entry for entry in entries(again.run, "judged")
    }.items()


@pytest.mark.usefixtures("patient")
def test_the_last_line_of_progress_has_the_newest_score(make_config: MakeConfig) -> None:
    """Which comes after the last step; each checkpoint has one line."""
    shown: list[Progress] = []
    outcome = train_loop(make_config(**JUDGED), Watch(progress=shown.append, checkpoint=lambda *told: None))
    assert outcome
    assert [shown[-1].score] == [entry["score"] for entry in entries(outcome.run, "judged") if entry["step"] == 12]
    assert [one.step for one in shown if one.at_checkpoint] == [5, 10, 12]


@pytest.mark.usefixtures("patient")
def test_the_best_checkpoint_stays(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    falling(monkeypatch, [3.0, 2.0, 4.0, 5.0, 6.0, 7.0])
    config = make_config(train={"checkpoint_steps": 2, "keep_checkpoints": 1}, **JUDGED)
    outcome = run(config)
    assert complete_steps(RunFolder(config.train.store, config.train.name).store) == [4, 12]
    best = json.loads((Path(outcome.run) / "best.json").read_text())
    assert (best["step"], best["score"], best["checkpoint"]) == (4, 2.0, "checkpoints/step-00000004")
    assert set(best["scores"]) >= {"spectrum", "recall", "memory"}
    alarms = entries(outcome.run, "alarm")
    assert [(alarm["kind"], alarm["step"], alarm["since_step"], alarm["best_step"]) for alarm in alarms] == [
        ("worse", 10, 6, 4),
        ("worse", 12, 6, 4),
    ]


@pytest.mark.usefixtures("patient")
def test_the_best_few_stay(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third best was among them, until a better one came."""
    falling(monkeypatch, [3.0, 4.0, 5.0, 2.0, 6.0, 7.0])
    outcome = run(make_config(train={"checkpoint_steps": 2, "keep_checkpoints": 1, "keep_best": 2}, **JUDGED))
    assert complete_steps(open_store(outcome.run)) == [2, 8, 12]


@pytest.mark.usefixtures("patient")
def test_the_best_of_before_is_known_after_a_resume(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    falling(monkeypatch, [2.0, 3.0, 4.0, 5.0])
    options = {"checkpoint_steps": 3, "keep_checkpoints": 1}
    run(make_config(train=options | {"steps": 6}, **JUDGED))
    config = make_config(train=options, **JUDGED)
    outcome = run(config)
    assert json.loads((Path(outcome.run) / "best.json").read_text())["step"] == 3
    assert complete_steps(RunFolder(config.train.store, config.train.name).store) == [3, 12]


@pytest.mark.usefixtures("patient")
def test_a_checkpoint_left_unjudged_by_a_kill_is_judged_on_resume(make_config: MakeConfig) -> None:
    first = run(make_config(train={"steps": 5}, **JUDGED))
    journal = Path(first.run) / "journal.jsonl"
    kept = [line for line in journal.read_text().splitlines(keepends=True) if '"judged"' not in line]
    journal.write_text("".join(kept))
    outcome = run(make_config(**JUDGED))
    assert [entry["step"] for entry in entries(outcome.run, "judged")] == [5, 10, 12]


def test_training_does_not_wait_for_the_judge(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge of the first checkpoint is held until the last step is taken: those between are not judged."""
    judge, ended = JudgeProcess.judge, after_steps(monkeypatch, 12)

    def held(*given: Any) -> Judgement:
        assert ended.wait(PATIENCE_SECONDS)
        return judge(*given)

    monkeypatch.setattr(JudgeProcess, "judge", held)
    outcome = run(make_config(train={"checkpoint_steps": 3}, **JUDGED))
    assert [entry["step"] for entry in entries(outcome.run, "judged")] == [3, 12]


@pytest.mark.usefixtures("patient")
def test_a_small_set_is_judged_with_half_of_it(make_config: MakeConfig) -> None:
    outcome = run(make_config(judge={"tiles": 512}))
    assert {entry["tiles"] for entry in entries(outcome.run, "judged")} == {75}


@pytest.mark.usefixtures("patient")
def test_a_judge_that_fails_is_told_and_does_not_end_the_run(
    make_config: MakeConfig, tile_set: str, tmp_path: Path
) -> None:
    """The kept reference of the set has a flipped bit."""
    copy = tmp_path / "set"
    shutil.copytree(tile_set, copy, ignore=shutil.ignore_patterns("judge"))
    options: dict[str, Any] = {"tiles": {"source": str(copy)}, **JUDGED}
    run(make_config(train={"name": "first"}, **options))
    (kept,) = (copy / "judge").iterdir()
    raw = bytearray(kept.read_bytes())
    raw[len(raw) // 2] ^= 1
    kept.write_bytes(raw)
    outcome = run(make_config(train={"name": "second"}, **options))
    unjudged = entries(outcome.run, "unjudged")
    assert [entry["step"] for entry in unjudged] == [5, 10, 12]
    assert all("sha256" in entry["why"] and "delete it" in entry["remedy"] for entry in unjudged)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed where there is /proc")
def test_the_judges_process_ends_with_the_run(make_config: MakeConfig) -> None:
    def children() -> set[str]:
        return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}

    before, seen = children(), set()
    watch = Watch(progress=lambda progress: seen.update(children()), checkpoint=lambda *told: None)
    train_loop(make_config(train={"log_steps": 1}, **JUDGED), watch)
    assert seen - before
    assert children() <= before


@pytest.mark.usefixtures("patient")
def test_the_best_stays_when_another_number_of_tiles_is_judged(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling(monkeypatch, [2.0, 3.0])
    options = {"checkpoint_steps": 3, "keep_checkpoints": 1}
    run(make_config(train=options | {"steps": 6}, **JUDGED))
    config = make_config(train=options)  # no judging any more
    outcome = run(config)
    assert complete_steps(RunFolder(config.train.store, config.train.name).store) == [3, 12]
    assert outcome.best is not None
    assert Path(outcome.best, "COMPLETE").exists()


@pytest.mark.usefixtures("patient")
def test_the_best_of_each_number_of_tiles_stays(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores by different numbers do not compare: the new best, at 9, does not send the former one, at 3, away."""
    falling(monkeypatch, [2.0, 3.0, 5.0, 6.0])
    options = {"checkpoint_steps": 3, "keep_checkpoints": 1}
    run(make_config(train=options | {"steps": 6}, **JUDGED))
    config = make_config(train=options, judge={"tiles": 30})
    outcome = run(config)
    assert json.loads((Path(outcome.run) / "best.json").read_text())["step"] == 9
    assert complete_steps(open_store(outcome.run)) == [3, 9, 12]
    assert not litter(open_store(outcome.run)), "satgan prune leaves both"


def test_a_set_too_small_to_be_judged_is_told_before_the_first_step(make_config: MakeConfig, tmp_path: Path) -> None:
    small, said = str(tmp_path / "small"), list[str]()
    pack(made_tiles(39), small, size=16, channels=3, seed=1, source="made", cut={})

    def progress(progress: Progress) -> None:
        assert any("no checkpoint is judged" in line and "19 tiles a side" in line for line in said)

    watch = Watch(progress=progress, checkpoint=lambda *told: None, say=said.append)
    outcome = train_loop(make_config(tiles={"source": small}, **JUDGED), watch)
    assert outcome is not None
    assert outcome.best is None


def test_whatever_fails_the_judge_training_goes_on(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(scorer: Scorer, *given: Any) -> None:
        raise MemoryError("no memory left")

    monkeypatch.setattr(Scorer, "_draw", no_memory)
    outcome = run(make_config(**JUDGED))
    assert "MemoryError: no memory left" in entries(outcome.run, "unjudged")[-1]["why"]
    assert entries(outcome.run, "end")


@pytest.mark.parametrize("moment", ["before", "drawing", "judging"])
def test_closing_does_not_wait_for_a_judgement(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whenever it comes: before there is a child, while tiles are drawn, while they are judged (here without end)."""
    begun, go_on, draw = threading.Event(), threading.Event(), Scorer._draw
    config = make_config(**JUDGED)
    monkeypatch.setattr("satgan.judge.process.JUDGE_MODULE", "tests.train.endless")

    def drawn(scorer: Scorer, *given: Any) -> Any:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS) or moment != "drawing"
        return draw(scorer, *given)

    monkeypatch.setattr(Scorer, "_draw", drawn)
    assert config.tiles.source is not None
    tile_set, store = open_tile_set(config.tiles.source), RunFolder(config.train.store, "closing").store
    scorer = Scorer(config, tile_set, store, [])
    if moment == "before":
        scorer._lock.acquire()
    scorer.submit(5, Generator(config.gan).eval())
    if moment == "before":
        scorer._closed = True
        scorer._lock.release()
    else:
        assert begun.wait(PATIENCE_SECONDS)
    threading.Timer(0.2, go_on.set).start()
    scorer.close()
    assert scorer._judging is not None
    assert isinstance(scorer._judging[1].exception(PATIENCE_SECONDS), SatganError)


def test_with_wait_every_checkpoint_is_judged_and_told_once_it_stands(make_config: MakeConfig, place: str) -> None:
    """Best, journal and checkpoint are in the store by then, so that whoever is told may end the run there."""
    config = make_config(train={"store": place, "checkpoint_steps": 3}, judge={"tiles": 24, "wait": True})
    store = open_store(f"{place}/run")
    told: list[int] = []

    def judged(step: int, judgement: Judgement) -> None:
        told.append(step)
        assert step in complete_steps(store)
        assert [entry["step"] for entry in events_in(store.read("journal.jsonl")) if entry["event"] == "judged"] == told
        if judgement.score < min(scores.values(), default=float("inf")):
            assert json.loads(store.read("best.json"))["step"] == step
        scores[step] = judgement.score

    scores: dict[int, float] = {}
    train_loop(config, Watch(progress=lambda progress: None, checkpoint=lambda *told: None, judged=judged))
    assert told == [3, 6, 9, 12]
