"""One driver per run: the second is refused, one that died is followed at once or after its lease ran out."""

import json
import os
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from satgan.__main__ import main
from satgan.errors import CorruptData, RunLost, RunTaken, StoreUnreachable
from satgan.tiles.store import open_store
from satgan.train import lease as lease_module
from satgan.train.checkpoint import complete_steps, name_of
from satgan.train.holder import Holder
from satgan.train.lease import LEASE_NAME, Lease
from satgan.train.retention import look
from satgan.train.snapshot import write_snapshot
from satgan.train.start import hold, prepare, start
from tests.conftest import Begin
from tests.tiles.fault_proxy import Fault, dropped, fault_proxy
from tests.train.conftest import MakeConfig, after_steps, journal_numbers, run, weights_of
from tests.train.terminals import Terminal, full_pipe, held_terminal
from tests.waiting import PATIENCE_SECONDS, until

STARTED_FIELD = 21
HOLD = """
import sys, time
from satgan.train.lease import Lease
with Lease(sys.argv[1], print):
    print("held", flush=True)
    time.sleep(600)
"""
TELL = """
import sys
from satgan.train import lease
from satgan.train.watch import say_on_stderr
lease.RENEW_SECONDS = 0.1
with lease.Lease(sys.argv[1], say_on_stderr):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"LIFETIME_SECONDS": 1.0, "WRITE_SECONDS": 0.1, "RENEW_SECONDS": 0.1, "LOOK_SECONDS": 0.05}
    for name, seconds in times.items():
        monkeypatch.setattr(lease_module, name, seconds)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on this process is on another machine than the leases it finds."""
    return lambda: monkeypatch.setattr("satgan.train.holder._machine", lambda: "another")


def started(pid: int) -> str:
    """As /proc tells it; the process has no space in its name."""
    return Path(f"/proc/{pid}/stat").read_text().split()[STARTED_FIELD]


def test_a_second_driver_is_refused_and_the_lease_is_given_back(place: str) -> None:
    said: list[str] = []
    with Lease(place, said.append):
        holder = Holder.read(open_store(place).read(LEASE_NAME))
        assert holder
        with (
            pytest.raises(RunTaken, match=rf"process {holder.pid} on {holder.host} since 20") as told,
            Lease(place, print),
        ):
            pass
        assert "another --name" in told.value.remedy
        until(lambda: Holder.read(open_store(place).read(LEASE_NAME)).renewals > 1)  # type: ignore[union-attr]
    assert open_store(place).list() == []
    with Lease(place, said.append):
        pass
    assert said == []


def test_from_another_machine_a_renewed_lease_is_refused_too(
    place: str, elsewhere: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as it is seen to be renewed."""
    monkeypatch.setattr(lease_module, "LIFETIME_SECONDS", 30.0)
    said: list[str] = []
    with Lease(place, print):
        elsewhere()
        with pytest.raises(RunTaken, match="is being trained by process"), Lease(place, said.append):
            pass
    assert len(said) == 1
    assert "watched for 30 s" in said[0]


@pytest.mark.parametrize("is_here", [True, False])
def test_a_killed_driver_is_followed(place: str, elsewhere: Callable[[], None], begin: Begin, is_here: bool) -> None:
    """At once where its process can be seen to be gone, else after the lifetime."""
    child = begin([sys.executable, "-c", HOLD, place], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    assert child.stdout.readline() == "held\n"
    child.kill()
    child.communicate()
    said: list[str] = []
    if not is_here:
        elsewhere()
    begun = time.monotonic()
    with Lease(place, said.append):
        assert (time.monotonic() - begun >= 1.0) or is_here
        mine = Holder.read(open_store(place).read(LEASE_NAME))
        assert mine
        assert mine.pid != child.pid
    assert len(said) == (0 if is_here else 1)


def test_a_killed_drivers_command_given_again_goes_on(
    make_config: MakeConfig, begin: Begin, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And while it lived it was refused."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(make_config().model_dump(mode="json")))
    command = ["train", "article", "--config", str(file), "--train.steps"]
    child = begin([sys.executable, "-m", "satgan", *command, "1000000"])
    store = open_store(str(tmp_path / "runs" / "run"))
    until(lambda: Path(store.url).exists() and complete_steps(store))
    status = main([*command, "1000000"])
    child.kill()
    child.wait()
    assert status == 2
    assert f"is being trained by process {child.pid} on" in capfd.readouterr().err
    steps = complete_steps(store)[-1] + 3
    assert main([*command, str(steps)]) == 0
    assert "is held by" not in capfd.readouterr().err
    whole = run(make_config(train={"name": "whole", "steps": steps}))
    assert weights_of(f"{store.url}/checkpoints/{name_of(steps)}") == weights_of(whole.checkpoint)
    assert journal_numbers(store.url) == journal_numbers(whole.run)
    assert not look(store).orphans
    assert not store.exists(LEASE_NAME)


def test_who_lives_is_told_from_who_is_gone() -> None:
    """A number that was given again is another process; one that was killed is gone before its parent looks."""
    mine = Holder.myself("token", "now")
    assert mine.lives()
    assert mine._replace(started="1").lives() is False
    assert mine._replace(machine="another").lives() is None
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    theirs = mine._replace(pid=child.pid, started=started(child.pid))
    assert theirs.lives()
    child.kill()
    until(lambda: theirs.lives() is False)  # though nobody has asked for its exit status yet
    child.wait()
    assert theirs.lives() is False
    assert Holder.read(mine.as_bytes()) == mine
    assert Holder.read(b"[1]") is None


def test_without_proc_a_number_proves_no_life(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may have been given again; that there is no such process proves its death."""
    monkeypatch.setattr("satgan.train.holder.PROC", tmp_path / "none")
    mine = Holder.myself("token", "now")
    assert mine.lives() is None
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert mine._replace(pid=child.pid).lives() is False


@pytest.mark.parametrize("left", [b"{}", b"\x00"])
def test_a_lease_that_cannot_be_read_runs_out(place: str, left: bytes) -> None:
    open_store(place).write(LEASE_NAME, left)
    with Lease(place, lambda text: None):
        assert Holder.read(open_store(place).read(LEASE_NAME))


def test_a_driver_whose_run_was_taken_over_ends_without_saving(
    make_config: MakeConfig, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = prepare(make_config(train={"store": place, "steps": 5000, "checkpoint_steps": 5000}), print)
    third = after_steps(monkeypatch, 3)
    store = open_store(f"{place}/run")

    def take_over(progress: object) -> None:
        if third.is_set():
            other = Holder.myself("other", "now")._replace(host="elsewhere")
            store.write(LEASE_NAME, other.as_bytes())

    with (
        hold(config) as lease,
        pytest.raises(RunLost, match=r"process .* on elsewhere since now has taken it over"),
    ):
        start(config, lease, take_over)
    keys = [key for key, _ in store.list()]
    assert not [key for key in keys if key.startswith("checkpoints/")]
    assert json.loads(store.read(LEASE_NAME))["token"] == "other"
    journal = store.read("journal.jsonl") if "journal.jsonl" in keys else b""
    assert b'"failed"' not in journal, "that is another's now"


def test_a_driver_whose_run_was_taken_over_ends_amid_a_checkpoint(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is writing then is not completed, and what the other one is writing stays; nor does it begin anew."""
    config, _ = prepare(make_config(), print)
    store = open_store(f"{config.train.store}/run")
    with hold(config) as lease:

        def taken_over(*given: Any) -> str:
            store.write(LEASE_NAME, Holder.myself("other", "now").as_bytes())
            store.write("checkpoints/step-00000010/state.json", b"the other one's")
            until(lambda: lease._lost)
            return write_snapshot(*given)

        monkeypatch.setattr("satgan.train.keeper.write_snapshot", taken_over)
        with pytest.raises(RunLost):
            start(config, lease, lambda progress: None)
        with pytest.raises(RunLost):
            start(config, lease, lambda progress: None)
    assert complete_steps(store) == []
    assert store.exists("checkpoints/step-00000010/state.json")


def test_a_lease_runs_out_while_the_machine_sleeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On waking it does not write before the lease is renewed: meanwhile another one may have taken it."""
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(lease_module, "LIFETIME_SECONDS", 3 * PATIENCE_SECONDS)
    asleep, clock = 0.0, time.clock_gettime
    monkeypatch.setattr("time.clock_gettime", lambda which: clock(which) + asleep * (which == time.CLOCK_BOOTTIME))
    with Lease(str(tmp_path), print) as lease:
        lease.check_writing()
        asleep = 3 * PATIENCE_SECONDS
        with pytest.raises(StoreUnreachable, match="another process may take the run over"):
            lease.check_writing()


def test_a_store_that_is_away_ends_nothing(s3: str, s3_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than the lifetime; it is told once, and once that it is over."""
    said: list[str] = []
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with Lease(s3_prefix, said.append) as lease:
            proxy.block = lambda command, key: dropped
            until(lambda: said)
            until(lambda: lease.seconds_left() <= 0)
            lease.check()
            with pytest.raises(StoreUnreachable, match="another process may take the run over"):
                lease.check_writing()
            proxy.block = lambda command, key: None
            until(lambda: len(said) == 2 and lease.seconds_left() > 0)
            lease.check_writing()
        assert open_store(s3_prefix).list() == []
    assert "the run's lease was not renewed: could not" in said[0]
    assert said[1] == "over: the run's lease was not renewed"


def test_a_renewal_whose_answer_is_lost_is_seen_all_the_same(
    s3: str, s3_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever watches sees each one change, though the holder hears of none."""
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        watcher = open_store(s3_prefix)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with Lease(s3_prefix, lambda text: None) as lease:
            proxy.choose_write = lambda command, key: dropped
            until(lambda: Holder.read(watcher.read(LEASE_NAME)).renewals > 4)  # type: ignore[union-attr]
            proxy.choose_write = lambda command, key: None
            lease.check()


def test_a_server_that_heeds_no_conditions_lets_one_go_on(
    s3: str, s3_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two find no lease, and both write theirs: one finds the other's when it renews. That is the first, unless it was
    amid a renewal when the second wrote."""
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.ignored_headers = ("if-none-match", "if-match")
        first, second = Lease(s3_prefix, print), Lease(s3_prefix, print)
        with first:
            monkeypatch.setattr(second, "_free", lambda: None)
            taking = second._run
            monkeypatch.setattr(taking, "swap", lambda key, expected, data: taking.write(key, data))
            with second:
                until(lambda: first._lost or second._lost)
                lost, held = (first, second) if first._lost else (second, first)
                held.check()
                with pytest.raises(RunLost):
                    lost.check()


@pytest.mark.parametrize("error", [CorruptData("other bytes", "again"), RuntimeError("unforeseen")])
def test_the_lease_is_renewed_after_whatever_went_wrong(
    place: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Also where the user's terminal is gone."""
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        raise BrokenPipeError

    with Lease(place, say) as lease:
        renew, failures = lease._renew, iter([error, error])

        def renew_or_fail() -> None:
            for failure in failures:
                raise failure
            renew()

        monkeypatch.setattr(lease, "_renew", renew_or_fail)
        until(lambda: Holder.read(open_store(place).read(LEASE_NAME)).renewals > 1)  # type: ignore[union-attr]
        open_store(place).write(LEASE_NAME, b"{}")
        until(lambda: lease._lost)
    assert str(error.args[0]) in said[0]
    assert said[1] == "over: the run's lease was not renewed"


@pytest.mark.parametrize("terminal", [held_terminal, full_pipe])
def test_who_reads_no_messages_holds_up_no_renewal(s3: str, s3_prefix: str, terminal: Callable[[], Terminal]) -> None:
    """Nor does he keep the lease from being given back; once he reads, all is told."""
    ours, theirs = terminal()
    watcher, missed, told = open_store(s3_prefix), list[str](), b""

    def block(method: str, key: str) -> Fault:
        missed.append(key)
        return dropped

    def renewals() -> int:
        holder = Holder.read(watcher.read(LEASE_NAME))
        assert holder
        return holder.renewals

    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        child = subprocess.Popen(
            [sys.executable, "-c", TELL, s3_prefix], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs,
            env=os.environ | {"AWS_ENDPOINT_URL": proxy.url},
        )  # fmt: skip
        try:
            assert child.stdin
            assert child.stdout
            assert child.stdout.readline() == b"held\n"
            proxy.block = block
            until(lambda: len(missed) > 2)  # of the first there was a word to say
            proxy.block = lambda method, key: None
            before = renewals()
            until(lambda: renewals() > before + 1)
            child.stdin.close()
            until(lambda: not watcher.exists(LEASE_NAME))
            assert child.poll() is None, "there is something to read"
            if os.isatty(theirs):
                termios.tcflow(theirs, termios.TCOON)
            while b"over: the run's lease was not renewed" not in told:
                told += os.read(ours, 2**16)
            assert child.wait(PATIENCE_SECONDS) == 0
        finally:
            child.kill()
            child.wait()
            child.stdout.close()  # type: ignore[union-attr]
            os.close(ours)
            os.close(theirs)
    assert b"the run's lease was not renewed: could not" in told


def test_a_lease_is_renewed_before_it_is_given_back(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it might run out between the look whose it is and the deletion, which would then take another's."""
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(lease_module, "LIFETIME_SECONDS", 3 * PATIENCE_SECONDS)
    found: list[Holder | None] = []
    with Lease(place, print) as lease:
        store = lease._run
        delete = store.delete

        def look_and_delete(key: str) -> None:
            found.append(Holder.read(store.read(key)))
            delete(key)

        monkeypatch.setattr(store, "delete", look_and_delete)
    (holder,) = found
    assert holder
    assert holder.renewals == 1
    assert open_store(place).list() == []
