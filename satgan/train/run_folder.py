"""A run's folder or prefix in the store: config.yaml, journal.jsonl, TensorBoard events, pictures, checkpoints."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from satgan.config import Config, changes, load_config
from satgan.errors import CheckpointError, ConfigError
from satgan.provenance import versions
from satgan.tiles.folder import folder_errors_told
from satgan.tiles.store import Check, FolderStore, Patience, Store, allowed, open_store
from satgan.train.holder import Holder
from satgan.train.origin import Origin

CONFIG_NAME = "config.yaml"
SCRATCH_PREFIX, HOLDER_NAME = "satgan-run-", "holder.json"

PATIENCE = Patience(read_timeout_seconds=15, attempts=3)
"""With a bucket: a silent one is given up after 46.5 s, and for no longer is a step held up by the checkpoint before,
which `writer.py` then tries to write again."""


class RunFolder:
    """Where one run lives; a local folder is made if it is not there.

    Files that grow (journal, events) are written in `local`: the folder itself, or for a bucket a scratch folder
    from which `publish` uploads them; a bucket cannot append.

    Args:
        store: url of the store.
        name: of the run.
        check: asked before anything of the run is changed; see `Watch`.
    """

    def __init__(self, store: str, name: str, check: Check = allowed) -> None:
        self.store: Store = open_store(store, patience=PATIENCE, check=check).child(name)
        self.check = check
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if isinstance(self.store, FolderStore):
            self.local = Path(store) / name
            with folder_errors_told("make the run's folder", str(self.local)):
                self.local.mkdir(parents=True, exist_ok=True)
        else:
            _sweep_scratch()
            self._scratch = tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX)
            self.local = Path(self._scratch.name)
            (self.local / HOLDER_NAME).write_bytes(Holder.myself("", "").as_bytes())

    @property
    def url(self) -> str:
        """Path or s3:// url of the run."""
        return self.store.url

    def place(self, key: str) -> str:
        """Path or s3:// url of something in the run."""
        return f"{self.url.rstrip('/')}/{key}"

    def check_local(self) -> None:
        """Asks before something in `local` is changed, where that is the run's own folder."""
        if self._scratch is None:
            self.check()

    def publish(self, key: str) -> None:
        """Uploads a file that was written in `local`, as it is now, though it may be growing; nothing to do where that
        is the run's own folder."""
        if self._scratch is not None:
            self.store.write(key, (self.local / key).read_bytes())

    def fetch(self, key: str) -> Path:
        """The path in `local` of a file, brought there if the store has it."""
        path = self.local / key
        if self._scratch is not None and self.store.exists(key):
            self.store.download(key, path)
        return path

    def close(self) -> None:
        """Removes the scratch folder."""
        if self._scratch is not None:
            self._scratch.cleanup()


def _sweep_scratch() -> None:
    """Removes the scratch folders of processes that were killed on this machine."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}*/{HOLDER_NAME}"):
        with suppress(OSError):  # not ours, or another process sweeps too
            holder = Holder.read(path.read_bytes())
            if holder and holder.lives() is False:
                shutil.rmtree(path.parent)


def write_config(folder: RunFolder, config: Config, origin: Origin) -> None:
    """Writes the complete config with versions, the tile set's digest, and the parent of a fork."""
    tree: dict[str, Any] = config.model_dump(mode="json")
    about: dict[str, Any] = {"versions": versions(), "tile_set": origin.tile_set}
    if origin.forked_from:
        about["forked_from"] = origin.forked_from
    text = yaml.safe_dump({**tree, "about": about}, sort_keys=False, allow_unicode=True)
    folder.store.write(CONFIG_NAME, text.encode())


def read_config(folder: RunFolder) -> tuple[Config, Origin] | None:
    """The config that the run was started with, and its tile set and parent; None where there is no run yet."""
    return config_in(folder.store)[:2] if folder.store.exists(CONFIG_NAME) else None


def config_in(run: Store) -> tuple[Config, Origin, dict[str, str]]:
    """What the config.yaml of a run says: the config, where the numbers come from, and versions.

    Raises:
        CheckpointError: it is not a run's config.
    """
    try:
        tree = yaml.safe_load(run.read(CONFIG_NAME))
        about = tree.pop("about")
        origin = Origin(str(about["tile_set"]), forked_from=about.get("forked_from"))
        return load_config(tree["gan"]["preset"], tree), origin, about.get("versions", {})
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ConfigError) as error:
        why = error.found if isinstance(error, ConfigError) else "it lacks what satgan writes there"
        found = f"{run.url.rstrip('/')}/{CONFIG_NAME} is not a run's config: {why}"
        raise CheckpointError(found, "restore the file, or start under another --name") from None


def check_same_run(folder: RunFolder, config: Config, tile_set_digest: str) -> Config | None:
    """The config to resume with: the recorded one for all that numbers depend on, `config` for the rest.

    What `config` leaves to the machine (precision, threads) is taken as recorded. None where there is no run yet.

    Raises:
        CheckpointError: the run was started with other numbers; every difference is listed.
    """
    recorded = read_config(folder)
    if recorded is None:
        return None
    before, digest_before = recorded[0], recorded[1].tile_set
    resumed = as_recorded(config, before)
    changed = differences(before.numbers(), resumed.numbers())
    if digest_before != tile_set_digest:
        changed.append(f"tile set: {digest_before[:12]}… before, {tile_set_digest[:12]}… now")
    if changed:
        listed = "\n".join(f"  {line}" for line in changed)
        raise CheckpointError(
            f"{folder.url} was started with other settings:\n{listed}",
            "give the former settings to resume it, --fork NAME to go on from its newest checkpoint with these "
            "settings as a new run, or another --name to begin anew",
        )
    return resumed


def as_recorded(config: Config, before: Config) -> Config:
    """The config with what it leaves to the machine (precision, threads) taken from an earlier one."""
    train = config.train
    precision = before.train.precision if train.precision == "auto" else train.precision
    threads = train.threads_per_lane or before.train.threads_per_lane
    decided = train.model_copy(update={"precision": precision, "threads_per_lane": threads})
    return config.model_copy(update={"train": decided})


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Lines `group.field: … before, … now`, for two configs as trees."""
    return [f"{name}: {was} before, {is_now} now" for name, (was, is_now) in changes(before, now).items()]
