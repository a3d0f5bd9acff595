"""A run whose steps are recorded and replayed, as on a GPU, is the run that computes them."""

import json
from pathlib import Path

import pytest
import torch

from satgan.config import Config
from satgan.train.device import training_device
from satgan.train.outcome import Outcome
from tests.gan.recording import CpuRecorder
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of


@pytest.fixture(autouse=True)
def lanes_in_turn_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as on a GPU; the recorder of these tests knows the CPU alone."""
    monkeypatch.setattr("satgan.train.device.usable_cores", lambda: 1)
    monkeypatch.setattr("satgan.train.attempt.training_device", lambda deterministic: torch.device("cpu"))


def replayed(monkeypatch: pytest.MonkeyPatch, config: Config, refuse: int = 10**9) -> tuple[Outcome, CpuRecorder]:
    recorder = CpuRecorder(refuse)
    with monkeypatch.context() as patched:
        patched.setattr("satgan.train.attempt.recorder_on", lambda device: recorder)
        return run(config), recorder


def in_store(config: Config, store: Path, **train: int) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"store": str(store)} | train)})


def events(outcome: Outcome, kind: str) -> list[dict[str, object]]:
    lines = (Path(outcome.run) / "journal.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry.get("event") == kind]


def test_a_replayed_run_is_the_run(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Weights, moments, history and every figure of the journal; resumed after a while, too."""
    config = make_config()
    computed = run(config)
    again = in_store(config, tmp_path / "again")
    run(in_store(config, tmp_path / "again", steps=5))
    outcome, recorder = replayed(monkeypatch, again)
    assert recorder.replayed > 4 * 7
    assert weights_of(outcome.checkpoint) == weights_of(computed.checkpoint)
    assert journal_numbers(outcome.run) == journal_numbers(computed.run)
    assert events(outcome, "not_recorded") == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_replayed_on_a_gpu_is_the_run(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """Each checkpoint, too, though it is written while the next steps change what it is of; tiles come from the GPU's
    memory and from the host's."""
    monkeypatch.setattr("satgan.train.attempt.training_device", training_device)
    train = {"precision": precision, "checkpoint_steps": 2, "keep_checkpoints": 6}
    config = make_config(train=train, tiles={"cache": "memory"}, judge={"wait": True})
    with monkeypatch.context() as patched:
        patched.setattr("satgan.train.attempt.recorder_on", lambda device: None)
        computed = run(config)
    outcome = run(make_config(train=train | {"name": "replayed"}, tiles={"cache": "device"}))
    assert events(outcome, "not_recorded") == []
    for step in range(2, 13, 2):
        ours, theirs = (f"{one.run}/checkpoints/step-{step:08d}" for one in (outcome, computed))
        assert weights_of(ours) == weights_of(theirs)
    assert journal_numbers(outcome.run) == journal_numbers(computed.run)


def test_a_run_that_cannot_be_recorded_goes_on_and_its_journal_says_why(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = make_config()
    computed = run(config)
    outcome, recorder = replayed(monkeypatch, in_store(config, tmp_path / "again"), refuse=0)
    assert recorder.replayed == 0
    assert weights_of(outcome.checkpoint) == weights_of(computed.checkpoint)
    assert events(outcome, "not_recorded") == [
        {"step": 1, "event": "not_recorded", "why": "RuntimeError: no more recordings"}
    ]
