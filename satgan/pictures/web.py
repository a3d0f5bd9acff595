"""What pages have in common: their looks, light and dark, and pictures as data: a page needs nothing beside it."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from satgan.pictures.grid import Tiles

PAGE_STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2430; --ground: #ffffff; --soft: #f3f5f8; --rule: #d5dae1; --quiet: #566070; --mark: #a51d2d }
@media (prefers-color-scheme: dark) {
:root { --ink: #e6e9ee; --ground: #14181f; --soft: #1e242d; --rule: #39424f; --quiet: #a5afbd; --mark: #ff8f97 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 1180px;
  margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: break-word }
h1 { margin-bottom: .2rem } h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--rule) }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .25rem .7rem; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tbody tr:nth-child(odd) { background: var(--soft) }
.wide { overflow-x: auto } .wide td:last-child:not(.n) { min-width: 15rem }
.wide:focus-visible { outline: 2px solid var(--ink) }
.quiet { color: var(--quiet) } .worse { color: var(--mark); font-weight: 600 }
.sides, .charts { display: flex; flex-wrap: wrap; gap: 1.2rem } .sides img { width: 530px }
.charts figure { flex: 1 1 min(500px, 100%); margin: .4rem 0 }
figure { margin: 1rem 0; min-width: 0 } img { image-rendering: pixelated; max-width: 100% }
code, pre { font-size: .9rem }
"""
"""Of every page but the Turing test's."""

QUALITY = 90
"""Of WebP: a grid of 64 tiles takes some 100 kB instead of 400."""


def data_url(picture: Tiles) -> str:
    """`[H, W, C]` uint8 as a WebP in a data url; of other than one or three channels the first three, or the first."""
    shown = picture[:, :, :3] if picture.shape[2] >= 3 else picture[:, :, :1].repeat(3, axis=2)
    memory = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(memory, format="WEBP", quality=QUALITY)
    return _url("webp", memory.getvalue())


def png_url(raw: bytes) -> str:
    """A PNG's bytes as a data url: every pixel as it is."""
    return _url("png", raw)


def _url(kind: str, raw: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


def pixels_of(raw: bytes) -> Tiles:
    """A PNG or other image file as `[H, W, C]` uint8."""
    return np.atleast_3d(np.asarray(Image.open(io.BytesIO(raw))))


def document(title: str, style: str, body: str) -> str:
    """A whole page of a body."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{PAGE_STYLE}{style}</style><main>{body}</main></html>\n"
    )


def wide(table: str, about: str) -> str:
    """A table in a frame of its own, in which a phone scrolls it, by keyboard too."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(about)}">{table}</div>'
