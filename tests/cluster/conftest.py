"""The repository's cluster.yaml, filled in, with a token and a key of its own."""

import os
from pathlib import Path

import pytest

from tests.cluster.cloud import filled_in
from tests.cluster.stack import ROOT

IMAGE, GROUP = "ami-0123456789abcdef0", "sg-0123456789abcdef0"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The operator's home folder, with a token that nobody else can read; the current folder is the root."""
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    token = home / ".ray" / "auth_token"
    token.write_text("ab" * 32)
    token.chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(ROOT)
    return home


@pytest.fixture
def filled(home: Path) -> Path:
    """cluster.yaml as the operator has it."""
    assert os.environ["HOME"] == str(home)
    path = home / "cluster.yaml"
    path.write_text(filled_in((ROOT / "cluster.yaml").read_text(), IMAGE, GROUP))
    return path
