"""A run in W&B: figures and config, and nothing else of this machine.

WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY, WANDB_DIR and the key of `wandb login` are W&B's own.
"""

import os
import secrets
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import urlparse

from satgan.config import Config
from satgan.errors import InputError
from satgan.tiles.store import FolderStore
from satgan.train.loggers import Ending
from satgan.train.run_folder import RunFolder

PROJECT, HOST = "satgan", "https://api.wandb.ai"
STEP = "step"


class WandbLogger:
    """See `Logger`. Without a key it is offline: `wandb sync` sends what lies in the folder.

    Args:
        config: which becomes the run's.
        folder: the run's; where W&B keeps its files, if it is a local one and WANDB_DIR names no other.
        run: id of the run to go on with; empty: a new one.
    """

    def __init__(self, config: Config, folder: RunFolder, run: str) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else it tells its makers of its own errors
        import wandb

        mode = wandb_mode()
        self.run = run or secrets.token_hex(4)
        place = str(folder.local) if isinstance(folder.store, FolderStore) else None
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=config.train.name, id=self.run,
            dir=os.environ.get("WANDB_DIR") or place, mode=mode, config=config.model_dump(mode="json"),
            resume="allow" if mode == "online" else None, settings=_quiet(wandb.Settings),
        )  # fmt: skip
        self._run.define_metric(STEP, hidden=True)
        self._run.define_metric("*", step_metric=STEP)

    def newest(self, figure: str) -> int:
        """It cannot be asked offline; online it drops rows that it has."""
        return -1

    def add(self, row: int, step: int, figures: Mapping[str, float]) -> None:
        """A row of its history."""
        self._run.log({STEP: step, **figures}, step=row)

    def close(self, ending: Ending) -> None:
        """Brings all that waits."""
        self._run.finish(exit_code=0 if ending == "finished" else 1)


def wandb_mode() -> str:
    """What WANDB_MODE says; else online where there is a key, offline where there is none: it never asks for one."""
    if given := os.environ.get("WANDB_MODE"):
        return given
    host = urlparse(os.environ.get("WANDB_BASE_URL", HOST)).hostname or ""
    try:
        known = netrc(os.environ.get("NETRC") or str(Path.home() / ".netrc")).authenticators(host)
    except (OSError, NetrcParseError):
        known = None
    return "online" if known or os.environ.get("WANDB_API_KEY") else "offline"


def check_place(config: Config) -> None:
    """Looks whether what is written offline stays somewhere.

    Raises:
        InputError: it would lie where the worker happens to run, whose machine may go.
    """
    store = config.train.store
    if "://" in store and wandb_mode() in ("offline", "dryrun") and not os.environ.get("WANDB_DIR"):
        found = f"--train.loggers wandb: W&B is offline here, and {store} cannot hold its files"
        remedy = "WANDB_API_KEY or `wandb login` (online), or WANDB_DIR (a folder that stays), or leave wandb out"
        raise InputError(found, remedy)


def _quiet(settings: type) -> object:
    """Nothing of the terminal, the machine, its name and packages or the source tree; no words among the progress."""
    return settings(
        console="off", silent=True, host="-", save_code=False, disable_git=True, disable_job_creation=True,
        x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True, x_save_requirements=False,
    )  # fmt: skip
