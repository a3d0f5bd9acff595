"""A finished run to draw from, and a headless Chromium for the tests of pages."""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.train.conftest import MakeConfig, make_config, run, threads_put_back, tile_set

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["make_config", "threads_put_back", "tile_set"]  # fixtures


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """The machine's own Chromium, driven by playwright; the test is skipped where one of them is absent."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: scripts/test installs it")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def trained(make_config: MakeConfig) -> str:
    """Url of a finished run: 12 steps, checkpoints after 5, 10 and 12, tiles of 16 × 16 × 3, noise of 6 numbers."""
    return run(make_config()).run
