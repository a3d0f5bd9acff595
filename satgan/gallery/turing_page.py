"""The pages of a Turing test: the quiz, which hides its answers, and the answers. Each needs nothing but its file."""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from satgan.judge.guesses import MARGIN, Estimate, fewest_people, marked
from satgan.pictures.grid import png, sheet
from satgan.pictures.web import png_url

Tiles = NDArray[np.uint8]

COLUMNS = 8
SHOWN_PIXELS = 128
"""Tiles smaller than this are enlarged to about it, by whole numbers."""

DIGEST_DIGITS = 32
NAME_DIGITS = 8


class SealedPage(BaseModel):
    """All that a page knows, in the form in which it travels with the answers given to it.

    Attributes:
        pairs: fakes on it, and as many real tiles.
        fakes: what drew the fakes.
        reals: where the real tiles are from.
        salt: of the digests.
        digests: one per tile in the page's order: of the salt, the tile's number from 1, and what it is.
        machine: what the classifier found, if it had enough tiles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    pairs: int = Field(ge=1)
    fakes: str
    reals: str
    salt: str
    digests: tuple[str, ...]
    machine: Estimate | None

    @field_validator("machine")
    @classmethod
    def _has_answers(cls, machine: Estimate | None) -> Estimate | None:
        if machine and not 0 <= machine.right <= machine.answers != 0:
            raise ValueError(f"{machine.right} of {machine.answers} answers right")
        return machine

    @property
    def text(self) -> str:
        """As JSON; a page's identity, byte for byte."""
        return self.model_dump_json()

    @property
    def name(self) -> str:
        """The first digits of the text's digest, for people."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:NAME_DIGITS]

    def is_fake(self, number: int) -> bool:
        """Whether tile `number`, from 1, is a fake."""
        return self.digests[number - 1] == _digest(self.salt, number, True)


def _digest(salt: str, number: int, is_fake: bool) -> str:
    """Also in turing.js."""
    text = f"{salt} {number} {'fake' if is_fake else 'real'}"
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]


def seal(tiles: Tiles, is_fake: Sequence[bool], fakes: str, reals: str, machine: Estimate | None) -> SealedPage:
    """The page of tiles `[2N, S, S, C] uint8`.

    Digests keep the answers from whoever looks at the source, not from whoever writes a program for it: the page has
    to find out for itself, offline.
    """
    salt = hashlib.sha256(tiles.tobytes()).hexdigest()[:DIGEST_DIGITS]
    digests = tuple(_digest(salt, number, fake) for number, fake in enumerate(is_fake, start=1))
    return SealedPage(pairs=len(tiles) // 2, fakes=fakes, reals=reals, salt=salt, digests=digests, machine=machine)


def quiz_page(page: SealedPage, tiles: Tiles) -> str:
    """The quiz. All tiles lie in one picture, so that no tile's length or name says anything."""
    return _rendered(
        "turing.html", page, tiles,
        text=page.text,
        sheet=png_url(png(sheet(tiles, COLUMNS, gap_pixels=0))),
        outcomes=[_told(marked(found, page.pairs)) for found in range(page.pairs + 1)],
        machine=_told(page.machine),
        fewest=fewest_people(page.pairs),
        guessing=[0.5 - MARGIN, 0.5 + MARGIN],
    )  # fmt: skip


def answers_page(page: SealedPage, tiles: Tiles) -> str:
    """The answers, to print or to look at."""
    fakes = [number for number in range(1, len(tiles) + 1) if page.is_fake(number)]
    return _rendered("turing_answers.html", page, tiles, fakes=fakes, pictures=[png_url(png(tile)) for tile in tiles])


def _told(estimate: Estimate | None) -> dict[str, Any] | None:
    return estimate and estimate.as_dict() | {"said": estimate.verdict.value}


def _rendered(template: str, page: SealedPage, tiles: Tiles, **more: Any) -> str:
    size = tiles.shape[1]
    pages = Environment(
        loader=PackageLoader("satgan", "gallery"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = size * max(1, round(SHOWN_PIXELS / size))
    return pages.get_template(template).render(page=page, size=size, shown=shown, columns=COLUMNS, **more)
