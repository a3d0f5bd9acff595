"""A sweep's budget is of all its trials together, in all their attempts."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from satgan.__main__ import main
from satgan.sweep_verbs import plan_from, sweep_parser
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.journal import JOURNAL_NAME, events_in
from satgan.train.progress import Progress
from tests.waiting import until
from tune.board import SweepBoard
from tune.table import Row, sweep_in


def pinned(board: SweepBoard, name: str, dollars: float) -> None:
    board.pin(name, Progress(1, 9, 0.5, 0.5, 0.9, 0.1, 100.0, 1.0, dollars=dollars))


def test_a_budget_is_spent_by_all_trials_and_attempts_together() -> None:
    board = SweepBoard(10.0, {"a": 4.0, "gone": 3.0})
    board.begin("a", {}, 1)
    pinned(board, "a", 4.5)
    pinned(board, "b", 2.0)
    assert board.dollars() == 9.5, "of a trial that goes on what it has paid before is told again"
    assert not board.stopping()
    pinned(board, "b", 2.5)
    assert board.stopping()
    assert not board.is_over(), "one has not saved yet"
    board.end("a")
    assert board.is_over()
    pinned(board, "b", 2.6)
    assert len([line for line in board.take()[1] if "the budget of 10 USD is spent" in line]) == 1
    endless = SweepBoard()
    pinned(endless, "a", 1e9)
    assert not endless.stopping()


def test_no_trial_has_a_budget_of_its_own(tile_set: str, small: str, rates: str, tmp_path: Path) -> None:
    words = [rates, "article", "--config", small, "--tiles", tile_set, "--store", str(tmp_path)]
    words += ["--budget", "20", "--train.worker-price", "1"]
    plan = plan_from(sweep_parser(words).parse_all(words))
    assert plan.base_config.train.budget == 20
    assert plan.trial({}, 1).config.train.budget is None


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_spent_budget_ends_a_sweep_with_checkpoints_and_a_larger_one_goes_on(
    local_ray: None, tile_set: str, small: str, rates: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 1 USD per second and trial."""
    words = ["sweep", rates, "article", "--config", small, "--tiles", tile_set, "--store", str(tmp_path)]
    words += ["--seeds", "1,2", "--train.steps", "1000000", "--train.checkpoint-steps", "1000000"]
    words += ["--train.worker-price", "3600", "--max-concurrent", "2"]
    assert main([*words, "--budget", "3"]) == 130
    told = capsys.readouterr()
    assert "its budget is 3 USD" in told.err
    assert "glr" in (tmp_path / "rates" / "sweep.html").read_text(), "what there is, is ranked"
    first = {row.trial: row for row in sweep_in(str(tmp_path / "rates")).rows}
    ran = [row for row in first.values() if row.state == "stopped"]
    assert {row.state for row in first.values()} == {"stopped", "missing"}
    assert len(ran) == 2
    paid = sum(row.dollars for row in ran)
    assert paid >= 3
    assert f"has cost {paid:.2f} USD, its budget is 3 USD" in told.err
    assert all(last_stop(row) == row.step > 0 for row in ran)

    assert main([*words, "--budget", "3", "--resume"]) == 2
    assert "a larger --budget goes on" in capsys.readouterr().err
    assert main([*words, "--budget", str(paid + 3), "--resume"]) == 130
    second = {row.trial: row for row in sweep_in(str(tmp_path / "rates")).rows}
    assert sum(row.dollars for row in second.values()) >= paid + 3
    assert any(second[row.trial].step > row.step for row in ran)


def last_stop(row: Row) -> int:
    """The step after which a trial was stopped, if its newest checkpoint is of that one."""
    run = open_store(row.url)
    last = events_in(run.read(JOURNAL_NAME))[-1]
    assert last["event"] == "stop"
    assert complete_steps(run)[-1] == last["step"]
    return int(last["step"])


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("local_ray")
def test_a_sweep_that_is_stopped_has_its_trials_save(
    tile_set: str, small: str, rates: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a step is lost; no other trial begins."""
    words = ["sweep", rates, "article", "--config", small, "--tiles", tile_set, "--store", str(tmp_path)]
    words += ["--seeds", "1,2", "--train.steps", "1000000", "--train.checkpoint-steps", "1000000"]

    def stop() -> None:
        try:
            until(running)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def running() -> bool:
        journals = (tmp_path / "rates").glob("trials/*/journal.jsonl")
        return sum(b'"numbers"' in journal.read_bytes() for journal in journals) > 1

    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(stop)
        assert main([*words, "--max-concurrent", "2"]) == 130
        stopping.result()
    assert "the sweep rates was stopped; its trials have saved" in capsys.readouterr().err
    rows = sweep_in(str(tmp_path / "rates")).rows
    ran = [row for row in rows if row.state == "stopped"]
    assert {row.state for row in rows} == {"stopped", "missing"}
    assert len(ran) == 2
    assert all(last_stop(row) == row.step > 0 for row in ran)
