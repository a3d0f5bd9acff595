"""What computes: the versions that numbers depend on, and the commit."""

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from satgan import __version__

COMMIT_NAME = "SATGAN_COMMIT"
"""The environment variable by which a submitted job knows the commit of the source that came with it."""


def versions() -> dict[str, str]:
    """satgan and its commit, Python, and the libraries that numbers depend on."""
    found = {"satgan": __version__, "commit": commit(), "python": platform.python_version()}
    return found | {name: _version(name) for name in ("torch", "numpy")}


@cache
def _version(library: str) -> str:
    """Read once: it takes a millisecond, and steps stand still while a checkpoint is taken."""
    return metadata.version(library)


@cache
def commit() -> str:
    """The commit of the source tree (asked for once), `-dirty` with changes; outside a checkout what the submitter of
    this source said, else `unknown`."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return os.environ.get(COMMIT_NAME, "unknown")
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return told.stdout.strip() or "unknown"
