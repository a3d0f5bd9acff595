"""The runs of a store as they lie there: how far, how good, how large; and what of them retention no longer wants."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import yaml

from satgan.doctor.records import BEGINNINGS
from satgan.errors import CheckpointError, InputError, StoreMissing
from satgan.groups import TrainConfig
from satgan.tiles.store import Listing, Store, open_store
from satgan.train.checkpoint import COMPLETE_NAME, FOLDER, best_of, name_of
from satgan.train.holder import Holder
from satgan.train.journal import JOURNAL_NAME, JUDGED, events_in, judged_alike
from satgan.train.lease import LEASE_NAME, LIFETIME_SECONDS
from satgan.train.recovery import fault_of, newest_whole, rollback_step
from satgan.train.retention import Shelf, best_by_tiles, look, remove, wanted
from satgan.train.run_folder import CONFIG_NAME

REMEDY = "give the folder or s3:// prefix of a run, or the --store of runs; `satgan train` makes ./runs"
ENDINGS = {
    "stop": "stopped", "failed": "failed", "diverged": "diverged", **dict.fromkeys(BEGINNINGS, "broken off"),
}  # fmt: skip
"""The state of a run that nobody trains and that is not complete, by the last of these events in its journal."""


class Run(NamedTuple):
    """A run at a glance; None where there is nothing to tell.

    state        running, complete, stopped (at the user's word), failed (an error ended it), diverged (a number is not
                 finite), broken off (killed)
    step         of the newest checkpoint, of `steps`
    score        the best one's, of the checkpoint after `best_step`; lower is better
    tiles        by how many tiles a side: scores by different numbers do not compare
    age_seconds  of the newest checkpoint
    """

    name: str
    url: str
    state: str
    step: int
    steps: int
    score: float | None
    best_step: int | None
    tiles: int | None
    age_seconds: float | None
    bytes: int
    checkpoints: int


class Litter(NamedTuple):
    """What can go from a run: its key there, why, and its files; no key: unfinished ones, for `Store.sweep`."""

    key: str
    why: str
    bytes: int
    files: Listing


def runs_in(url: str) -> list[Store]:
    """The runs of a store, by name; or the one run that lies at `url`.

    Raises:
        InputError: there is none.
        StoreError: it cannot be listed.
    """
    store = open_store(url)
    if store.exists(CONFIG_NAME):
        return [store]
    try:
        keys = [key for key, _ in store.list()]
    except StoreMissing:
        if url.startswith("s3://"):
            raise
        raise InputError(f"no run in {url}: there is no such folder", REMEDY) from None
    names = sorted(key.split("/")[0] for key in keys if key.count("/") == 1 and key.endswith(CONFIG_NAME))
    if not names:
        raise InputError(f"no run in {url}: neither {CONFIG_NAME} nor folders with one", REMEDY)
    return [store.child(name) for name in names]


def about(run: Store) -> Run:
    """What there is to tell of a run."""
    files = run.list()
    train, shelf, best = _train(run), look(run), best_of(run)
    newest = max(shelf.whole, default=0)
    age = None
    if newest:
        age = max(0.0, time.time() - run.modified(f"{FOLDER}/{name_of(newest)}/{COMPLETE_NAME}"))
    steps = int(train["steps"])
    score, best_step, tiles = (best.score, best.step, best.tiles) if best else (None, None, None)
    size = sum(size for _, size in files)
    name = run.url.rstrip("/").rsplit("/", 1)[-1]
    state = _state(run, newest >= steps)
    return Run(name, run.url, state, newest, steps, score, best_step, tiles, age, size, len(shelf.whole))


def litter(run: Store) -> list[Litter]:
    """What retention does not want any more, what killed attempts left, and what was set aside as corrupt.

    A checkpoint goes only where those that are to stay in its place were read, and are what was written.

    Raises:
        CheckpointError: a checkpoint was written by another format, or the run's config is none.
        StoreError: it cannot be read.
    """
    shelf, train = look(run), _train(run)
    unfinished = sum(size for _, size in run.unfinished())
    found = list(_litter(shelf, _stay(run, shelf, train)))
    return found + ([Litter("", "files that a killed writer left", unfinished, [])] if unfinished else [])


def clear(run: Store, what: Sequence[Litter]) -> None:
    """Removes it; the caller holds the run's lease."""
    for one in what:
        remove(run, one.files)
    if any(not one.key for one in what):
        run.sweep()


def is_running(run: Store) -> bool:
    """Whether a living process holds the run: one of this machine, or one that renewed its lease of late."""
    if not run.exists(LEASE_NAME):
        return False
    holder = Holder.read(run.read(LEASE_NAME))
    lives = holder.lives() if holder else None
    # By the clocks of the store and of this machine, which may differ a little.
    return time.time() - run.modified(LEASE_NAME) < LIFETIME_SECONDS if lives is None else lives


def _litter(shelf: Shelf, stay: set[int]) -> Iterator[Litter]:
    for step, files in shelf.whole.items():
        if step not in stay:
            yield Litter(f"{FOLDER}/{name_of(step)}", "neither among the newest nor the best", _bytes(files), files)
    for folder, files in shelf.orphans.items():
        yield Litter(folder, "not finished", _bytes(files), files)
    for folder, files in shelf.aside.items():
        yield Litter(folder, "corrupt, set aside", _bytes(files), files)


def _bytes(files: Listing) -> int:
    return sum(size for _, size in files)


def _stay(run: Store, shelf: Shelf, train: dict[str, Any]) -> set[int]:
    judged = [entry for entry in _events(run) if entry["event"] == JUDGED]
    scores = {int(entry["step"]): float(entry["score"]) for entry in judged_alike(judged)}
    also = best_by_tiles((int(entry["step"]), int(entry["tiles"]), float(entry["score"])) for entry in judged)
    also |= {best.step} if (best := best_of(run)) else set()
    if train.get("on_nan") == "rollback":
        newest, _ = newest_whole(run)
        also.add(rollback_step(run, newest, int(train["checkpoint_steps"])) if newest else 0)
    keep = [int(train.get(name, TrainConfig.model_fields[name].default)) for name in ("keep_checkpoints", "keep_best")]
    sound, faulty = set(shelf.whole), set[int]()
    read: set[int] = set()
    while True:
        stay = wanted(sound, scores, *keep) | (also & sound)
        if stay == sound or stay <= read:  # nothing is to go, or all that stays is sound
            return stay | faulty
        for step in stay - read:
            if fault_of(run.child(f"{FOLDER}/{name_of(step)}")):
                faulty.add(step)
        read, sound = read | stay, sound - faulty


def _state(run: Store, complete: bool) -> str:
    if is_running(run):
        return "running"
    if complete:
        return "complete"
    endings = [entry["event"] for entry in _events(run) if entry["event"] in ENDINGS]
    return ENDINGS[endings[-1]] if endings else "broken off"


def _train(run: Store) -> dict[str, Any]:
    """The group `train` of the run's config as it stands, whatever version wrote it.

    Raises:
        CheckpointError: there is none.
    """
    try:
        train: dict[str, Any] = yaml.safe_load(run.read(CONFIG_NAME))["train"]
        int(train["steps"])
        return train
    except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        found = f"{run.url}/{CONFIG_NAME} is not a run's config: {type(error).__name__} {error}"
        raise CheckpointError(found, "restore the file, or remove the run") from None


def _events(run: Store) -> list[dict[str, Any]]:
    return events_in(run.read(JOURNAL_NAME)) if run.exists(JOURNAL_NAME) else []
