"""From a config to a run: what is refused before it starts, where it runs, what it will need."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from satgan.config import Config
from satgan.doctor.records import newest_attempt
from satgan.errors import CheckpointError, Diverged, InputError, RunLost, SatganError, Stopped, StoreError
from satgan.gan.describe import checkpoint_bytes, describe
from satgan.judge.judgement import Judgement
from satgan.kinds import FEWEST_JUDGED
from satgan.tiles.store import Check, allowed, open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.cost import check_budget
from satgan.train.fork import fork
from satgan.train.journal import JOURNAL_NAME, entries_in, reached_in
from satgan.train.journal_writer import tell_complete
from satgan.train.lease import Lease
from satgan.train.loggers import check_loggers
from satgan.train.loop import train_loop
from satgan.train.observed import observe_end
from satgan.train.outcome import Outcome, finished_outcome, is_finished
from satgan.train.progress import Progress
from satgan.train.recovery import newest_whole
from satgan.train.run_folder import CONFIG_NAME, PATIENCE, RunFolder, check_same_run
from satgan.train.stop import StopSignals
from satgan.train.tile_source import tiles_of
from satgan.train.watch import Watch, say_on_stderr


def place(config: Config, say: Callable[[str], None]) -> tuple[Config, str]:
    """Opens or makes the tile set, decides the number of workers; nothing is written into the run.

    Returns:
        The complete config, with which this finds the same again, and the tile set's digest.

    Raises:
        TilesError: no tiles, or of another size or channel count than the networks.
        InputError: too few tiles are to be judged.
    """
    if 0 < config.judge.tiles < FEWEST_JUDGED:
        found = f"judge.tiles = {config.judge.tiles}, but the judge needs {FEWEST_JUDGED} or more tiles a side"
        raise InputError(found, f"take --judge.tiles {FEWEST_JUDGED} or more; 0 switches it off")
    tile_set = tiles_of(config, say)
    return _placed(config, tile_set.store.url), tile_set.digest


def prepare(
    config: Config, say: Callable[[str], None], parent: str | None = None, at_step: int | None = None,
    check: Check = allowed,
) -> tuple[Config, int]:  # fmt: skip
    """`place`, then forks, or compares with an earlier attempt.

    Call it while `hold` holds the run: a fork writes into it, and what is decided here must stay true.

    Args:
        config: the run's.
        say: told where the tiles are from.
        parent: name of the run that this one is forked from.
        at_step: of that run's checkpoint; None: its newest.
        check: asked before a fork changes anything, as of a lease.

    Returns:
        The complete config, and the step from which the run will go on (0: from the start).

    Raises:
        TilesError: no tiles, or of another size or channel count than the networks.
        CheckpointError: the run was started with other settings, or cannot be forked.
        InputError: it has spent its budget.
    """
    config, tile_set_digest = place(config, say)
    check_loggers(config)
    if parent is not None:
        fork(config, parent, tile_set_digest, say, at_step, check)
    folder = RunFolder(config.train.store, config.train.name)
    try:
        steps = complete_steps(folder.store)
        # A start that reached no checkpoint has no numbers to keep.
        resumed = check_same_run(folder, config, tile_set_digest) if steps else None
        if steps and resumed is None:
            found = f"{folder.url} has checkpoints but no {CONFIG_NAME}"
            raise CheckpointError(found, f"restore {CONFIG_NAME}, or start under another --name")
        step = steps[-1] if steps else 0
        if step >= config.train.steps:  # it would be called complete: is it?
            step, _ = newest_whole(folder.store)
        if step < config.train.steps:
            check_budget(folder.store, config.train)
    finally:
        folder.close()
    return resumed or config, step


def hold(config: Config, say: Callable[[str], None] = say_on_stderr) -> Lease:
    """The right to write into the run, for the time of a `with` block."""
    return Lease(f"{_absolute(config.train.store).rstrip('/')}/{config.train.name}", say)


def start(
    config: Config, lease: Lease, show: Callable[[Progress], None], say: Callable[[str], None] = say_on_stderr,
    judged: Callable[[int, Judgement], None] = lambda step, judgement: None, stop: Callable[[], bool] = lambda: False,
) -> Outcome:  # fmt: skip
    """Trains: in this process with `workers` 0, else under Ray Train; and notes what came of it in the store's log.

    Args:
        config: as `prepare` gave it.
        lease: of the run, held.
        show: called with the newest progress.
        say: called with lines for the user about what went wrong and did not end the run.
        judged: called with the judgements of checkpoints; see `Watch`.
        stop: asked now and then whether to save and stop, as after Ctrl-C.

    Raises:
        Stopped: by Ctrl-C, SIGTERM, SIGHUP or `stop`, after a checkpoint.
        RunLost: another process has taken it over.
    """
    try:
        outcome = _train(config, lease, show, say, judged, stop)
    except SatganError as error:
        if not isinstance(error, InputError | Stopped | RunLost):
            _note_end(config, lease, error)
        if not isinstance(error, RunLost | StoreError):  # the run is another's, or the store does not answer
            _observe(config, error, say)
        raise
    _observe(config, None, say)
    return outcome


def _train(
    config: Config, lease: Lease, show: Callable[[Progress], None], say: Callable[[str], None],
    judged: Callable[[int, Judgement], None], wishes: Callable[[], bool],
) -> Outcome:  # fmt: skip
    if config.train.workers:
        from satgan.train.ray_job import launch

        return launch(config, show, say, lease.seconds_left, judged, wishes)
    with StopSignals(wishes) as signals:

        def stop() -> bool:
            lease.check()
            return signals.wished

        watch = Watch(show, checkpoint=lambda *told: None, stop=stop, say=say, check=lease.check_writing, judged=judged)
        outcome = train_loop(config, watch)
    assert outcome is not None
    return outcome


def _note_end(config: Config, lease: Lease, error: SatganError) -> None:
    """A last line in the journal of a run that has one, where no worker has noted the same: none was there any more, or
    not yet, or this is what came of its failures."""
    run = open_store(config.train.store, patience=PATIENCE, check=lease.check_writing).child(config.train.name)
    with suppress(StoreError, RunLost):  # the user is told what ended it; a store or a driver more is not the news
        raw = run.read(JOURNAL_NAME)
        entries = entries_in(raw)
        told = [entry for entry in newest_attempt(entries) if entry.get("event") in ("failed", "diverged")]
        last = told[-1] if told else {}
        if last.get("found") != error.found and not (last.get("event") == "diverged" and isinstance(error, Diverged)):
            line = json.dumps({"step": reached_in(entries), "event": "failed", "found": error.found})
            run.write(JOURNAL_NAME, raw[: raw.rfind(b"\n") + 1] + line.encode() + b"\n")


def _observe(config: Config, error: SatganError | None, say: Callable[[str], None]) -> None:
    store = open_store(config.train.store, patience=PATIENCE)
    if failure := observe_end(store, config.train.name, error):
        say(f"no entry in the observation log: {failure}\n  what to do: satgan log add {config.train.name}")


def finished(config: Config, say: Callable[[str], None] = say_on_stderr) -> Outcome | None:
    """The outcome of a run that is complete already, of which loggers are told what they lack; None where something is
    left to do."""
    folder = RunFolder(config.train.store, config.train.name)
    try:
        if not is_finished(folder, config.train.steps):
            return None
        outcome = finished_outcome(folder)
        tell_complete(config, folder, outcome.step, say)
        return outcome
    finally:
        folder.close()


def needs(config: Config) -> dict[str, Any]:
    """What a run will need (S02): parameters, FLOPs, memory, disk."""
    described = describe(config)
    tiles = config.train.steps * config.train.lanes * config.train.lane_batch
    return {
        "generator_parameters": described["generator"]["parameters"],
        "discriminator_parameters": described["discriminator"]["parameters"],
        "tiles": tiles,
        "flops": described["step_flops_per_tile"] * tiles,
        "memory_bytes_per_lane": described["memory_bytes"]["total"],
        "checkpoint_bytes": checkpoint_bytes(config),
        "notes": described["notes"],
    }


def _placed(config: Config, source: str) -> Config:
    """Notes where tile set and store lie, whatever folder a worker runs in, and decides the number of workers: one
    per GPU, at most one per lane; else 1."""
    import torch

    train, tiles = config.train, config.tiles.model_copy(update={"source": _absolute(source)})
    if tiles.cache_folder is not None:
        tiles = tiles.model_copy(update={"cache_folder": str(Path(tiles.cache_folder).expanduser().absolute())})
    workers = min(train.lanes, max(1, torch.cuda.device_count())) if train.workers is None else train.workers
    decided = train.model_copy(update={"workers": workers, "store": _absolute(train.store)})
    return config.model_copy(update={"tiles": tiles, "train": decided})


def _absolute(url: str) -> str:
    return url if "://" in url else str(Path(url).expanduser().absolute())
