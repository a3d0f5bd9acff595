"""A run that lies in a store, as the doctor looks at it: its journal, its files, and its twins beside it."""

from collections.abc import Collection, Iterator

from satgan.doctor.records import ConfigRecord, Corrupt, Entry, Machine, RunRecord, Twin
from satgan.doctor.rules import EVERY
from satgan.errors import CheckpointError, CorruptData, SatganError, StoreMissing
from satgan.tiles.store import Store, open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.device import this_machine
from satgan.train.observations import read_log
from satgan.train.observations import runs as logged_runs
from satgan.train.recovery import newest_whole
from satgan.train.runs import is_running, runs_in
from satgan.train.told import Told, told_by


def examine_run(url: str, codes: Collection[str] = EVERY) -> tuple[ConfigRecord, RunRecord]:
    """A run's config on the machine that computed it, and its record.

    Args:
        url: of the run.
        codes: of the rules that will be asked; the newest checkpoint, 0.9 GB of `article`, is read for S09 alone.

    Raises:
        InputError: there is no run.
        CheckpointError, StoreError: it cannot be read.
    """
    (run,) = runs_in(url)
    told = told_by(run)
    pictures = len(run.list("film/"))
    logged, corrupt = None, None
    if not is_running(run):
        logged = any(entry["run"] == told.name for entry in logged_runs(read_log(above(run))))
        corrupt = _corrupt(run) if "S09" in codes else None
    record = RunRecord(
        told.config, told.entries, told.events, pictures, len(complete_steps(run)), corrupt, logged, _twin(run, told)
    )  # fmt: skip
    return ConfigRecord(told.config, _machine(told)), record


def _corrupt(run: Store) -> Corrupt | None:
    """Nothing of a run that was started meanwhile: it sets aside and removes checkpoints itself."""
    try:
        step, faults = newest_whole(run)
        goes_on = f"the run goes on from step {step}, whose every file was read"
        found = "; ".join([*(fault.found for fault in faults.values()), goes_on])
        corrupt = Corrupt(found, "") if faults else None
    except CorruptData as error:
        corrupt = Corrupt(error.found, error.remedy)
    except (CheckpointError, StoreMissing):  # it was removed meanwhile
        return None
    return None if is_running(run) else corrupt


def above(run: Store) -> Store:
    """The store that a run lies in."""
    store, slash, _ = run.url.rstrip("/").rpartition("/")
    return open_store(store if slash else ".")


def digits_in(store: Store) -> bool | None:
    """Whether a store's log has a run on digits (G05); None where there is no log."""
    known = logged_runs(read_log(store))
    return any(entry["facts"]["gan.preset"] == "digits" for entry in known) if known else None


def first_difference(one: list[Entry], other: list[Entry]) -> int | None:
    """The first step at which two runs' numbers differ, of those that both have logged; None where none does."""
    numbers = {entry.step: entry.numbers for entry in other}
    for entry in one:
        beside = numbers.get(entry.step)
        if beside is not None and any(beside.get(name, value) != value for name, value in entry.numbers.items()):
            return entry.step
    return None


def _machine(told: Told) -> Machine:
    """Of the run's last start, where its journal has it; memory is this machine's."""
    here = this_machine(told.config)
    starts = [event for event in told.events if event["event"] in ("start", "resume") and "cores" in event]
    if not starts:
        return here
    cores = starts[-1]["cores"]
    return here._replace(device="cuda" if starts[-1]["device"].startswith("cuda") else "cpu", cores=cores)


def _twin(run: Store, told: Told) -> Twin | None:
    """A run beside this one, of the same numbers, tiles, versions and device, that came out differently."""
    for other in _beside(run, told.name):
        same = other.config.digest() == told.config.digest() and other.origin == told.origin
        if same and other.versions == told.versions and _devices(other) == _devices(told):
            step = first_difference(told.entries, other.entries)
            if step is not None:
                return Twin(other.name, step)
    return None


def _devices(told: Told) -> set[str]:
    return {event["device"] for event in told.events if "device" in event}


def _beside(run: Store, name: str) -> Iterator[Told]:
    for other in runs_in(above(run).url):
        if other.url.rstrip("/").rsplit("/", 1)[-1] != name and not is_running(other):
            try:
                yield told_by(other)
            except SatganError:  # another version's, or somebody removes it
                continue
