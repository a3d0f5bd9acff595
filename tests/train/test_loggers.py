"""MLflow and W&B hear what the journal holds, once, whatever the run went through."""

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from satgan.errors import InputError, Stopped
from satgan.gan.noise import Draws, draw
from satgan.judge.judgement import Judgement
from satgan.judge.score import Score
from satgan.train.checkup import Checkup
from satgan.train.journal import JOURNAL_NAME, entries_in
from satgan.train.journal_writer import Journal
from satgan.train.loggers import check_loggers, figures_of
from satgan.train.loop import train_loop
from satgan.train.run_folder import RunFolder
from satgan.train.start import finished, prepare
from satgan.train.troubles import Troubles
from satgan.train.wandb_logger import wandb_mode
from satgan.train.watch import Watch
from tests.train.conftest import MakeConfig, run
from tests.waiting import until

WITHOUT = "is not installed: .venv/bin/pip install -e '.[mlflow,wandb]'"
LIBRARIES = pytest.mark.filterwarnings("default")  # theirs are not ours to mend

Figures = dict[tuple[int, str], list[float]]
"""By step and name all values that are there; one each where nothing is doubled."""


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """None of this machine's, and nothing that could leave it."""
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    levels = {name: logging.getLogger(name).level for name in ("mlflow", "alembic")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def in_mlflow(store: Path) -> tuple[Figures, list[Any]]:
    """All that the store's MLflow has, and its runs."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store}/mlflow.db")
    experiment = client.get_experiment_by_name("satgan")
    runs = client.search_runs([experiment.experiment_id])
    found: Figures = {}
    for one in runs:
        for name in one.data.metrics:
            for metric in client.get_metric_history(one.info.run_id, name):
                found.setdefault((metric.step, name), []).append(metric.value)
    return found, runs


def in_wandb(run_folder: Path) -> tuple[Figures, list[str], list[int]]:
    """All that the run's W&B files have, ids of runs, numbers of rows; the files are logs as LevelDB writes them."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: Figures = {}
    ids, rows = [], []
    for path in sorted(run_folder.glob("wandb/offline-run-*/*.wandb")):
        raw, position, parts = path.read_bytes(), 7, b""
        while position + 7 <= len(raw):
            if (left := 32768 - position % 32768) < 7:
                position += left
                continue
            length, kind = int.from_bytes(raw[position + 4 : position + 6], "little"), raw[position + 6]
            parts += raw[position + 7 : position + 7 + length]
            position += 7 + length
            if kind not in (1, 4):  # more of it follows
                continue
            record, parts = Record.FromString(parts), b""
            if record.HasField("run"):
                ids.append(record.run.run_id)
                assert record.run.host == "-"  # nothing of this machine
            if record.HasField("history"):
                row = {
                    (item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item
                }
                rows.append(row["_step"])
                for name in row.keys() - {"step", "_step", "_runtime", "_timestamp"}:
                    found.setdefault((row["step"], name), []).append(row[name])
    return found, ids, rows


def in_journal(run_folder: str) -> Figures:
    """What the journal says that boards show."""
    entries = entries_in((Path(run_folder) / JOURNAL_NAME).read_bytes())
    return {(entry["step"], name): [value] for entry in entries for name, value in figures_of(entry).items()}


def approx(found: Figures) -> Any:
    return {key: pytest.approx(values) for key, values in found.items()}


def stopped_after(config: Any, steps: int) -> None:
    """A run that its user stops."""
    taken = iter(range(1000))
    watch = Watch(lambda progress: None, lambda *told: None, stop=lambda: next(taken) >= steps - 1)
    with pytest.raises(Stopped):
        train_loop(config, watch)


def broken_after(config: Any, steps: int, logger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends without a word, its logger told: what it noted since its last checkpoint is dropped."""
    from satgan.gan.step import train_step

    taken = iter(range(1000))

    def breaking(pair: Any) -> dict[str, float]:
        if next(taken) == steps:
            raise KeyboardInterrupt
        return train_step(pair)

    monkeypatch.setattr("satgan.train.loop.train_step", breaking)
    with pytest.raises(KeyboardInterrupt):
        run(config)
    monkeypatch.setattr("satgan.train.loop.train_step", train_step)
    kept = Path(config.train.store) / "run" / f"logger-{logger}.json"
    until(lambda: kept.exists() and json.loads(kept.read_text())["numbers"] > 0)


@LIBRARIES
def test_mlflow_has_the_journals_numbers_once(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a break between two checkpoints, a stop, and a kill while it was told."""
    pytest.importorskip("mlflow", reason=f"mlflow-skinny {WITHOUT}")
    config = make_config(train={"loggers": "mlflow", "steps": 16})
    store = Path(config.train.store)
    broken_after(config, 9, "mlflow", monkeypatch)
    assert {step for step, _ in in_mlflow(store)[0]} == {2, 4}
    stopped_after(config, 7)  # after 5 + 7 steps
    kept = store / "run" / "logger-mlflow.json"
    told = json.loads(kept.read_text())
    assert told["numbers"] == 12
    kept.write_text(json.dumps(told | {"numbers": 8}))
    outcome = run(config)
    found, (one,) = in_mlflow(store)
    assert found == approx(in_journal(outcome.run))
    assert one.info.status == "FINISHED"
    assert one.data.params["recipe.beta1"] == "0.5"


@LIBRARIES
def test_wandb_has_the_journals_numbers_once(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key it is offline, in one run of W&B for all attempts."""
    pytest.importorskip("wandb", reason=f"wandb {WITHOUT}")
    config = make_config(train={"loggers": "wandb", "steps": 16})
    broken_after(config, 9, "wandb", monkeypatch)
    stopped_after(config, 7)
    outcome = run(config)
    found, ids, rows = in_wandb(Path(outcome.run))
    assert found == approx(in_journal(outcome.run))
    assert rows == list(range(8))
    assert len(set(ids)) == 1


@LIBRARIES
def test_what_a_rollback_undoes_is_not_told(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed from the checkpoint of a stop, it goes back beyond it; what follows the last regular one is told."""
    pytest.importorskip("mlflow", reason=f"mlflow-skinny {WITHOUT}")
    config = make_config(train={"loggers": "mlflow", "on_nan": "rollback"})
    stopped_after(config, 7)

    def poisoned(config: Any, step: int, lane: int, attempt: int) -> Draws:
        draws = draw(config, step, lane, attempt)
        return draws if attempt or step < 8 else draws._replace(noise=torch.full_like(draws.noise, torch.inf))

    monkeypatch.setattr("satgan.train.feed.draw", poisoned)
    outcome = run(config)
    found, _ = in_mlflow(Path(config.train.store))
    assert found == approx(in_journal(outcome.run))
    assert max(step for step, _ in found) == 12


@LIBRARIES
def test_a_server_that_is_away_ends_no_run_and_is_told_later(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason=f"mlflow-skinny {WITHOUT}")
    config, said = make_config(train={"loggers": "mlflow"}), list[str]()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    outcome = train_loop(config, Watch(lambda progress: None, lambda *told: None, say=said.append))
    assert outcome is not None
    assert [text.split(":")[0] for text in said if not text.startswith("doctor")] == ["MLflow was not told"]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert finished(config) is not None
    found, _ = in_mlflow(Path(config.train.store))
    assert found == approx(in_journal(outcome.run))


@LIBRARIES
@pytest.mark.parametrize("asked", ["log_batch", "get_metric_history"])
def test_a_server_that_goes_away_amid_a_start_leaves_one_run(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """That one is told all of it once, also where the server could not say what it has."""
    pytest.importorskip("mlflow", reason=f"mlflow-skinny {WITHOUT}")
    from mlflow import MlflowClient

    config = make_config(train={"loggers": "mlflow", "steps": 8})
    if asked == "get_metric_history":
        stopped_after(config, 5)
        kept = Path(config.train.store) / "run" / "logger-mlflow.json"
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"numbers": 2}))
    usual, left = getattr(MlflowClient, asked), [1]

    def fails(*given: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise ConnectionError("gone")
        return usual(*given, **named)

    monkeypatch.setattr(MlflowClient, asked, fails)
    outcome = run(config)
    assert left[0] <= 0
    assert finished(config) is not None
    found, runs = in_mlflow(Path(config.train.store))
    assert found == approx(in_journal(outcome.run))
    assert len(runs) == 1
    assert runs[0].data.params["train.steps"] == "8"


@LIBRARIES
def test_a_complete_run_that_is_started_again_tells_nothing(make_config: MakeConfig) -> None:
    """Each opening makes W&B another folder."""
    pytest.importorskip("wandb", reason=f"wandb {WITHOUT}")
    config = make_config(train={"loggers": "wandb"})
    outcome = run(config)
    folders = list(Path(outcome.run).glob("wandb/offline-run-*"))
    assert finished(config) is not None
    assert list(Path(outcome.run).glob("wandb/offline-run-*")) == folders


def test_one_that_is_not_waited_for_tells_no_more(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rollback the next attempt tells the same run."""
    answer, added = threading.Event(), list[int]()

    class Hanging:
        run = "one"

        def newest(self, figure: str) -> int:
            return -1

        def add(self, row: int, step: int, figures: Any) -> None:
            added.append(step)
            answer.wait(60)

        def close(self, ending: str) -> None:
            added.append(-1)

    monkeypatch.setattr("satgan.train.loggers.open_logger", lambda *given: Hanging())
    monkeypatch.setattr("satgan.train.loggers.END_SECONDS", 0.2)
    config, said = make_config(train={"loggers": "mlflow"}), list[str]()
    folder = RunFolder(config.train.store, "run")
    with Journal(folder, 0, Troubles(said.append), Checkup(config), config) as journal:
        journal.numbers(2, {"path_a": 0.0}, {"seconds": 1.0})
        journal.numbers(4, {"path_a": 1.0}, {"seconds": 2.0})
        journal.stands(4)
    assert "does not wait" in said[0]
    before = folder.store.read("logger-mlflow.json")
    answer.set()
    for thread in threading.enumerate():
        if thread.name == "logger mlflow":
            thread.join(60)
    assert added == [2]
    assert folder.store.read("logger-mlflow.json") == before


@LIBRARIES
def test_judgements_that_come_late_are_told(make_config: MakeConfig) -> None:
    """Of a checkpoint before steps that were told already."""
    pytest.importorskip("mlflow", reason=f"mlflow-skinny {WITHOUT}")
    config = make_config(train={"loggers": "mlflow"})
    folder = RunFolder(config.train.store, "run")
    troubles = Troubles(lambda text: None)
    with Journal(folder, 0, troubles, Checkup(config), config) as journal:
        journal.numbers(2, {"path_a": 0.0}, {"seconds": 1.0})
        journal.numbers(8, {"path_a": 1.0}, {"seconds": 2.0})
        journal.stands(8)
        journal.judged(4, Judgement(2.0, 8, {"spectrum": Score(3.0, 1.0, 3.0)}))
        journal.numbers(10, {"path_a": 1.0}, {"seconds": 3.0})  # no checkpoint follows
    found, _ = in_mlflow(Path(config.train.store))
    until_8 = {key: values for key, values in in_journal(folder.url).items() if key[0] <= 8}
    assert found == until_8
    assert found[4, "judge/spectrum"] == [3.0]


def test_what_cannot_work_is_refused_before_anything_is_written(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("satgan.train.loggers.find_spec", lambda name: None)
        for name in ("mlflow", "wandb"):
            with pytest.raises(InputError, match=rf"{name} is not installed\n.*\.\[{name}\]"):
                prepare(make_config(train={"loggers": name}), lambda text: None)
    assert not (Path(make_config().train.store) / "run").exists()
    monkeypatch.setattr("satgan.train.loggers.find_spec", lambda name: True)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI"):
        check_loggers(make_config(train={"loggers": "mlflow", "store": "s3://bucket/runs"}))
    check_loggers(make_config(train={"loggers": "wandb"}))  # its files lie in the run's folder
    offline = make_config(train={"loggers": "wandb", "store": "s3://bucket/runs"})
    with pytest.raises(InputError, match=r"offline here(.|\n)*WANDB_API_KEY"):
        check_loggers(offline)
    for name, value in (("WANDB_DIR", "/somewhere"), ("WANDB_API_KEY", "key")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            check_loggers(offline)


def test_wandb_goes_online_only_where_its_user_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert wandb_mode() == "offline"
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password key\n")
    assert wandb_mode() == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://other.example")
    assert wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "key")
    assert wandb_mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_mode() == "offline"
