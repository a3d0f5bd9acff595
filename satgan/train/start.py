"""From a config to a run: what is refused before it starts, where it runs, what it will need."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from satgan.config import Config
from satgan.errors import CheckpointError, RunLost, SatganError, StoreError, TilesError
from satgan.gan.describe import checkpoint_bytes, describe
from satgan.judge.judgement import Judgement
from satgan.tiles.demo import demo_tile_set
from satgan.tiles.digits import digits_tile_set
from satgan.tiles.images import open_or_pack
from satgan.tiles.manifest import MANIFEST_NAME
from satgan.tiles.store import FolderStore, open_store
from satgan.tiles.tile_set import TileSet, open_tile_set
from satgan.train.checkpoint import complete_steps
from satgan.train.cost import check_budget
from satgan.train.fork import fork
from satgan.train.journal import tell_complete
from satgan.train.lease import Lease
from satgan.train.loggers import check_loggers
from satgan.train.loop import train_loop
from satgan.train.observed import observe_end
from satgan.train.outcome import Outcome, finished_outcome, is_finished
from satgan.train.progress import Progress
from satgan.train.recovery import newest_whole
from satgan.train.run_folder import CONFIG_NAME, PATIENCE, RunFolder, check_same_run
from satgan.train.stop import StopSignals
from satgan.train.watch import Watch, say_on_stderr

LOCAL_TILES = Path("runs") / "tiles"
"""Where sets that satgan packs by itself are kept when the store is a bucket."""

PACKING_SEED = 1234
"""Of those sets, whatever the run's seed: runs of several seeds share one set."""

EMBEDDED: dict[tuple[int, int], tuple[str, Callable[[Path, int], TileSet]]] = {
    (64, 3): ("NASA Blue Marble", demo_tile_set),
    (28, 1): ("handwritten digits of scikit-learn", digits_tile_set),
}
"""Where no tile set is given, by size and channels: a name, and who opens it."""


def place(config: Config, say: Callable[[str], None]) -> tuple[Config, str]:
    """Opens or makes the tile set, decides the number of workers; nothing is written into the run.

    Returns:
        The complete config, with which this finds the same again, and the tile set's digest.

    Raises:
        TilesError: no tiles, or of another size or channel count than the networks.
    """
    tile_set = _tile_set(config, say)
    _check_tiles(config, tile_set)
    return _placed(config, tile_set.store.url), tile_set.digest


def prepare(
    config: Config, say: Callable[[str], None], parent: str | None = None, at_step: int | None = None
) -> tuple[Config, int]:
    """`place`, then forks, or compares with an earlier attempt.

    Call it while `hold` holds the run: a fork writes into it, and what is decided here must stay true.

    Args:
        config: the run's.
        say: told where the tiles are from.
        parent: name of the run that this one is forked from.
        at_step: of that run's checkpoint; None: its newest.

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
        fork(config, parent, tile_set_digest, say, at_step)
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
    judged: Callable[[int, Judgement], None] = lambda step, judgement: None,
) -> Outcome:  # fmt: skip
    """Trains: in this process with `workers` 0, else under Ray Train; and notes what came of it in the store's log.

    Args:
        config: as `prepare` gave it.
        lease: of the run, held.
        show: called with the newest progress.
        say: called with lines for the user about what went wrong and did not end the run.
        judged: called with the judgements of checkpoints; see `Watch`.

    Raises:
        Stopped: by Ctrl-C or SIGTERM, after a checkpoint.
        RunLost: another process has taken it over.
    """
    try:
        outcome = _train(config, lease, show, say, judged)
    except SatganError as error:
        if not isinstance(error, RunLost | StoreError):  # the run is another's, or the store does not answer
            _observe(config, error, say)
        raise
    _observe(config, None, say)
    return outcome


def _train(
    config: Config, lease: Lease, show: Callable[[Progress], None], say: Callable[[str], None],
    judged: Callable[[int, Judgement], None],
) -> Outcome:  # fmt: skip
    if config.train.workers:
        from satgan.train.ray_job import launch

        return launch(config, show, say, lease.seconds_left, judged)
    with StopSignals() as signals:

        def stop() -> bool:
            lease.check()
            return signals.wished

        watch = Watch(show, checkpoint=lambda *told: None, stop=stop, say=say, check=lease.check_writing, judged=judged)
        outcome = train_loop(config, watch)
    assert outcome is not None
    return outcome


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


def _tile_set(config: Config, say: Callable[[str], None]) -> TileSet:
    store = config.train.store
    packed = LOCAL_TILES if store.startswith("s3://") else Path(store).expanduser() / "tiles"
    if config.tiles.source is not None:
        return _shared(open_or_pack(config.tiles.source, packed, PACKING_SEED), packed, store)
    shape = (config.gan.size, config.gan.channels)
    if shape not in EMBEDDED:
        raise TilesError(
            f"no tile set given, and none of the embedded ones has {shape[0]}×{shape[0]} tiles of {shape[1]} "
            "channel(s): Blue Marble has 64×64 of 3, the digits 28×28 of 1",
            "give --tiles SET; make one with `satgan tiles cut` or `satgan tiles pack`",
        )
    name, embedded = EMBEDDED[shape]
    say(f"tiles: {name}, embedded")
    return _shared(embedded(packed, PACKING_SEED), packed, store)


def _shared(tile_set: TileSet, packed: Path, store: str) -> TileSet:
    """The set itself; where satgan packed it into a local folder while the store is a bucket, its copy in the bucket,
    which other machines can read."""
    if not store.startswith("s3://") or not isinstance(tile_set.store, FolderStore):
        return tile_set
    folder = tile_set.store.folder
    if folder.resolve().parent != packed.resolve():
        return tile_set
    copy = open_store(f"{store.rstrip('/')}/tiles/{folder.name}")
    if not copy.exists(MANIFEST_NAME):
        for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST_NAME):
            copy.upload(path, path.name)
    return open_tile_set(copy.url)


def _check_tiles(config: Config, tile_set: TileSet) -> None:
    manifest = tile_set.manifest
    if (manifest.size, manifest.channels) != (config.gan.size, config.gan.channels):
        raise TilesError(
            f"{tile_set.store.url} has {manifest.size}×{manifest.size} tiles of {manifest.channels} channel(s), the "
            f"networks make {config.gan.size}×{config.gan.size} of {config.gan.channels}",
            f"take --gan.size {manifest.size} --gan.channels {manifest.channels} (with a preset whose stem · 2ⁿ gives "
            "that size, such as demo or dcgan for 64), or cut the tiles anew",
        )
    virtual = config.gan.discriminator_norm == "virtual"
    if virtual and manifest.tile_count < config.gan.virtual_batch:
        raise TilesError(
            f"{tile_set.store.url} has {manifest.tile_count} tile(s), gan.virtual_batch = {config.gan.virtual_batch}",
            f"take --gan.virtual-batch {manifest.tile_count} or less, or --gan.discriminator-norm batch",
        )
    if manifest.tile_count < config.train.lanes:
        raise TilesError(
            f"{tile_set.store.url} has {manifest.tile_count} tile(s) for {config.train.lanes} lanes",
            "give more tiles, or fewer lanes with --train.lanes",
        )


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
