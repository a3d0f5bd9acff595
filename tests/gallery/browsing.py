"""Pages in a real browser: what they ask of a network, what they complain of, who cannot read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE = {"width": 360, "height": 740}


@contextmanager
def opened(browser: "Browser", file: Path, **window: Any) -> "Iterator[Page]":
    """A page in a window of its own; at the end it has asked nothing of a network and complained of nothing."""
    context = browser.new_context(**window)
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: _note(request.url, wrong))
    page.goto(file.as_uri())
    if file.name == "turing.html":
        page.wait_for_selector("body[data-drawn]")
    yield page
    context.close()
    assert wrong == []


def _note(url: str, wrong: list[str]) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        wrong.append(url)


def faults(page: "Page") -> list[str]:
    """What axe-core complains of."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core: scripts/test installs it")
    found = axe.Axe().run(page).response["violations"]
    return [f"{fault['impact']} {fault['id']}: {fault['help']}" for fault in found]
