"""Checkpoints are written beside the steps, from a snapshot that the steps after it do not reach."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from satgan.errors import Stopped
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.loop import train_loop
from satgan.train.snapshot import write_snapshot
from satgan.train.stop import StopSignals
from satgan.train.watch import Watch
from tests.train.conftest import MakeConfig, after_steps, journal_numbers, run, weights_of
from tests.train.terminals import Terminal, full_pipe, held_terminal

PATIENCE_SECONDS = 60.0
LISTEN = """
import time
from satgan.train.stop import StopSignals
with StopSignals() as signals:
    print("listening", flush=True)
    while not signals.wished:
        time.sleep(0.01)
print("wished", flush=True)
"""


def test_steps_go_on_while_a_checkpoint_is_written(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first checkpoint (after step 5) is written only when step 8 was taken, and holds what step 5 left."""
    ended = run(make_config(train={"name": "ended", "steps": 5}))
    eighth = after_steps(monkeypatch, 8)

    def late(*given: Any) -> str:
        assert eighth.wait(PATIENCE_SECONDS)
        return write_snapshot(*given)

    monkeypatch.setattr("satgan.train.keeper.write_snapshot", late)
    config = make_config(train={"keep_checkpoints": 9})
    run(config)
    checkpoint = Path(config.train.store) / "run" / "checkpoints" / "step-00000005"
    assert weights_of(str(checkpoint)) == weights_of(ended.checkpoint)


def test_a_checkpoint_is_told_when_it_is_whole(make_config: MakeConfig) -> None:
    told: list[int] = []

    def check(step: int, place: str, numbers: dict[str, float]) -> None:
        assert (Path(place) / "COMPLETE").exists()
        assert numbers["real_loss_before"] > 0
        told.append(step)

    train_loop(make_config(), Watch(progress=lambda progress: None, checkpoint=check))
    assert told == [5, 10, 12]


def test_checkpoints_come_no_closer_than_the_seconds_between_them(make_config: MakeConfig) -> None:
    """The first is not held back, and the last is always taken."""
    steps = {"checkpoint_steps": 2, "keep_checkpoints": 9}
    config = make_config(train=steps | {"checkpoint_seconds": 1000})
    outcome = run(config)
    assert complete_steps(open_store(outcome.run)) == [2, 12]
    often = run(make_config(train=steps | {"name": "often"}))
    assert complete_steps(open_store(often.run)) == [2, 4, 6, 8, 10, 12]
    assert weights_of(outcome.checkpoint) == weights_of(often.checkpoint)


def test_no_thread_is_left(make_config: MakeConfig) -> None:
    before = {thread.name for thread in threading.enumerate()}
    outcome = run(make_config())
    assert {thread.name for thread in threading.enumerate()} <= before
    shutil.rmtree(outcome.run)


@pytest.mark.parametrize("step", [1, 5, 11])
def test_a_run_that_is_stopped_saves_and_goes_on_to_the_same_bits(make_config: MakeConfig, step: int) -> None:
    whole = run(make_config(train={"name": "whole"}))
    config = make_config()
    asked = iter(range(1, 13))
    watch = Watch(progress=lambda progress: None, checkpoint=lambda *told: None, stop=lambda: next(asked) == step)
    with pytest.raises(Stopped, match=f"after step {step} of 12"):
        train_loop(config, watch)
    assert (Path(config.train.store) / "run" / "checkpoints" / f"step-{step:08d}" / "COMPLETE").exists()
    resumed = run(config)
    assert weights_of(resumed.checkpoint) == weights_of(whole.checkpoint)
    assert journal_numbers(resumed.run) == journal_numbers(whole.run)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str)
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal for which a run saves and stops; a shell may have had this process ignore it."""
    number: signal.Signals = request.param
    before = signal.signal(number, signal.SIG_DFL)
    yield number
    signal.signal(number, before)


def test_the_second_signal_stops_at_once(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with StopSignals() as signals:
        signal.raise_signal(number)
        assert signals.wished
        if number != signal.SIGINT:
            signal.raise_signal(signal.SIGTERM)  # the first one's echo
            monkeypatch.setattr("satgan.train.stop.ECHO_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_DFL
    assert capfd.readouterr().err.count("once more to stop") == 1


def test_what_is_ignored_stays_ignored(number: signal.Signals) -> None:
    """As SIGHUP is under nohup."""
    signal.signal(number, signal.SIG_IGN)
    with StopSignals() as signals:
        signal.raise_signal(number)
        assert not signals.wished
    assert signal.getsignal(number) is signal.SIG_IGN


@pytest.mark.parametrize("terminal", [held_terminal, full_pipe])
def test_a_signal_is_heeded_though_nobody_reads_what_is_said_of_it(terminal: Callable[[], Terminal]) -> None:
    ours, theirs = terminal()
    command = [sys.executable, "-c", LISTEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as child:
        try:
            assert child.stdout
            assert child.stdout.readline() == "listening\n"
            child.terminate()
            told, _ = child.communicate(timeout=PATIENCE_SECONDS)
            assert told == "wished\n"
        finally:
            child.kill()
            os.close(ours)
            os.close(theirs)
