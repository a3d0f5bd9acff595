"""Everything that satgan raises on purpose. A message says what was found, its value, where, and what to do.

SatganError                  exit status 1: the work failed
├── InputError               exit status 2: the user's input was refused before work started
│   ├── ConfigError          an option, preset or config file
│   ├── TilesError           a raster, a tile folder or a tile set
│   ├── CheckpointError      a checkpoint or run folder that is not what it should be
│   └── RunTaken             a run that another process trains
├── StoreError               a folder or bucket
│   ├── StoreMissing         no such folder, object or bucket            (exit status 2)
│   ├── StoreForbidden       the credentials do not allow it             (exit status 2)
│   ├── StoreUnreachable     no answer, or only failures, within the limits
│   └── StoreFull            no space left
├── CorruptData              bytes that differ from their recorded digest
├── WorkersLost              the other workers of the run are gone
├── Diverged                 a loss or a weight became infinite or not a number
├── RunLost                  another process has taken the run over
└── Stopped                  at the user's word, everything saved    (exit status 130)
"""

import difflib
from collections.abc import Iterable
from importlib.util import find_spec


class SatganError(Exception):
    """Base of all of them.

    Args:
        found: what was found, with its value and where it stands.
        remedy: what the user can do about it.
    """

    exit_status = 1

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found, remedy)
        self.found = found
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.found}\n  what to do: {self.remedy}"


class InputError(SatganError):
    """The user's input was refused; nothing was started, nothing was overwritten."""

    exit_status = 2


class ConfigError(InputError):
    """An unknown or impossible option, preset or config file."""


class TilesError(InputError):
    """A raster, tile folder or tile set that is missing, empty, unreadable or of another kind."""


class CheckpointError(InputError):
    """A checkpoint or run folder that is missing, not whole, or of another config."""


class RunTaken(InputError):
    """Another process holds the run's lease."""


class StoreError(SatganError):
    """A folder or bucket did not do what was asked of it."""


class StoreMissing(StoreError):
    """No such folder, object or bucket."""

    exit_status = 2


class StoreForbidden(StoreError):
    """The credentials or permissions do not allow it."""

    exit_status = 2


class StoreUnreachable(StoreError):
    """No answer, or only failures, within the configured timeouts and retries."""


class StoreFull(StoreError):
    """No space left where something had to be written."""


class CorruptData(SatganError):
    """Bytes differ from the digest that was recorded when they were written."""


class WorkersLost(SatganError):
    """The group of workers that this one was in is no more; it writes nothing more."""


class Diverged(SatganError):
    """A loss, a weight or a moment of Adam became infinite or not a number."""


class RunLost(SatganError):
    """Another process has taken the run over; this one writes no more."""


class Stopped(SatganError):
    """A run was stopped at the user's word, after its checkpoint was written."""

    exit_status = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known name nearest to a mistyped one, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"choose one of: {', '.join(names)}."


def require_extra(package: str, extra: str, what: str, otherwise: str) -> None:
    """Refuses what takes a package that only an extra of pyproject.toml brings; better before any work is done.

    Args:
        package: by the name that is imported.
        extra: that brings it.
        what: takes it.
        otherwise: what to do without it.

    Raises:
        InputError: it is not installed.
    """
    if find_spec(package) is None:
        found = f"{what} takes the package {package}, which is not installed"
        raise InputError(found, f".venv/bin/pip install -e '.[{extra}]' in satgan's checkout, or {otherwise}")
