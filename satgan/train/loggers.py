"""Loggers beside TensorBoard, MLflow and W&B: they are told what the journal holds, under the same names.

Neither can forget what a killed attempt wrote after its last checkpoint, as the journal and TensorBoard do. So each is
told at whole checkpoints, of the entries until there, by a thread of its own for which no step waits. What it has been
told stands in `logger-NAME.json` in the run's folder: a resumed run goes on there, in the same run of MLflow or W&B.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any, Literal, Protocol

from satgan.config import Config
from satgan.errors import InputError, RunLost, SatganError, StoreUnreachable
from satgan.train.run_folder import RunFolder
from satgan.train.troubles import Troubles

Entry = dict[str, Any]
Ending = Literal["finished", "stopped", "failed"]

END_SECONDS = 60
"""So long does the end of a run wait for a logger that does not answer."""

TITLES = {"mlflow": "MLflow", "wandb": "W&B"}


class Logger(Protocol):
    """A run in MLflow or W&B; what its methods raise is told to the user, and tried again at the next checkpoint."""

    run: str
    """Its id there."""

    def newest(self, figure: str) -> int:
        """The newest step of a figure that is there already; -1: none, or it cannot be asked."""

    def add(self, row: int, step: int, figures: Mapping[str, float]) -> None:
        """Figures of a step, by name; rows count from 0 over all attempts at the run."""

    def close(self, ending: Ending) -> None:
        """All that was added comes there."""


@dataclass
class Told:
    """What a logger has been told, over all attempts.

    run       its run's id; empty before there is one
    numbers   the newest log step
    judged    the newest judged checkpoint
    rows      entries
    ending    how it ended when it was closed last; empty while it is open
    """

    run: str = ""
    numbers: int = 0
    judged: int = -1
    rows: int = 0
    ending: str = ""


def figures_of(entry: Entry) -> dict[str, float]:
    """What boards show of a journal's entry, by name; empty where it has nothing to show."""
    if "numbers" in entry:
        return {**entry["numbers"], **entry["timing"]}
    if entry.get("event") == "judged":
        return {"judge/score": entry["score"]} | {
            f"judge/{name}": score["ratio"] for name, score in entry["scores"].items()
        }
    return {}


def check_loggers(config: Config) -> None:
    """Looks whether all loggers of a config can work here.

    Raises:
        InputError: a package is missing, or a place.
    """
    for name in config.train.loggers:
        if find_spec(name) is None:
            raise InputError(
                f"--train.loggers {name}: the package {name} is not installed",
                f"pip install -e '.[{name}]' in satgan's checkout (the extra `{name}`), or leave {name} out",
            )
    if "mlflow" in config.train.loggers:
        from satgan.train.mlflow_logger import tracking_uri

        tracking_uri(config)
    if "wandb" in config.train.loggers:
        from satgan.train.wandb_logger import check_place

        check_place(config)


def open_logger(name: str, config: Config, folder: RunFolder, run: str) -> Logger:
    """The logger of that name, on its run `run`; a new one where that is empty."""
    if name == "mlflow":
        from satgan.train.mlflow_logger import MlflowLogger

        return MlflowLogger(config, run)
    from satgan.train.wandb_logger import WandbLogger

    return WandbLogger(config, folder, run)


@dataclass
class Teller:
    """Tells one logger, in a thread of its own.

    Args:
        name: of the logger.
        config: the run's.
        folder: the run's.
        read: the journal's entries as they stand.
        troubles: told when the logger does not take something; that is tried again.
    """

    name: str
    config: Config
    folder: RunFolder
    read: Callable[[], list[Entry]]
    troubles: Troubles
    _stands: int = -1
    _ending: Ending | None = None
    _is_left: bool = False
    _logger: Logger | None = None
    _told: Told | None = None
    _wake: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._what = f"{TITLES[self.name]} was not told"
        self._thread = threading.Thread(target=self._work, name=f"logger {self.name}", daemon=True)
        self._thread.start()

    def stands(self, step: int) -> None:
        """What the journal has until that step will not be undone."""
        self._stands = step
        self._wake.set()

    def close(self, ending: Ending) -> None:
        """Tells the rest and ends; waits for it, not for ever."""
        self._ending = ending
        self._wake.set()
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            self._is_left = True  # after a rollback another one goes on
            error = StoreUnreachable(f"no answer within {END_SECONDS} s", _remedy(self.name))
            self.troubles.failed(self._what, error, "the run does not wait for it any longer")

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            ending = self._ending
            self._tell(ending)
            if ending:
                return

    def _tell(self, ending: Ending | None) -> None:
        remark = "the same command tells it" if ending else "that is tried again at the next checkpoint"
        try:
            self._tell_all(ending)
        except RunLost:  # it is another's to tell
            return
        except Exception as error:  # of libraries and servers, of any kind; none of it shall end a run
            text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            found = error if isinstance(error, SatganError) else StoreUnreachable(text, _remedy(self.name))
            self.troubles.failed(self._what, found, remark)
        else:
            self.troubles.passed(self._what)

    def _tell_all(self, ending: Ending | None) -> None:
        self.folder.check()
        told = self._told = self._told or _read_told(self.folder, self.name)
        if told.ending == "finished" and ending in (None, "finished") and not next(self._untold(told), None):
            return  # a complete run that is started again
        logger = self._logger = self._logger or self._opened(told)
        try:
            for track, entry, figures in self._untold(told):
                if self._is_left:
                    return
                logger.add(told.rows, entry["step"], figures)
                setattr(told, track, entry["step"])
                told.rows += 1
            if ending:
                logger.close(ending)
                told.ending = ending
        except Exception:
            self._logger = None  # it may have come there all the same: the next one is asked
            raise
        finally:
            if not self._is_left:
                self._keep(told)

    def _untold(self, told: Told) -> Iterator[tuple[str, Entry, dict[str, float]]]:
        """Track, entry and figures of what has not been told of the journal."""
        for entry in self.read():
            track, figures = "numbers" if "numbers" in entry else "judged", figures_of(entry)
            if figures and getattr(told, track) < entry["step"] <= self._stands:
                yield track, entry, figures

    def _opened(self, told: Told) -> Logger:
        logger = open_logger(self.name, self.config, self.folder, told.run)
        told.run, told.ending = logger.run, ""
        self._keep(told)  # whatever comes now, there is no second run
        told.numbers = max(told.numbers, logger.newest("path_a"))
        told.judged = max(told.judged, logger.newest("judge/score"))
        return logger

    def _keep(self, told: Told) -> None:
        self.folder.store.write(_kept_name(self.name), json.dumps(asdict(told)).encode())


def _remedy(name: str) -> str:
    if name == "mlflow":
        return "see to the server that MLFLOW_TRACKING_URI names"
    return "see to the network and to `wandb login`; or give WANDB_MODE=offline, and `wandb sync` sends it later"


def _kept_name(name: str) -> str:
    return f"logger-{name}.json"


def _read_told(folder: RunFolder, name: str) -> Told:
    key = _kept_name(name)
    return Told(**json.loads(folder.store.read(key))) if folder.store.exists(key) else Told()
