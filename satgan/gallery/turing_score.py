"""Answers that people downloaded from one Turing page, added up."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from satgan.errors import InputError
from satgan.gallery.turing_page import SealedPage
from satgan.judge.guesses import Estimate, marked
from satgan.kinds import refusal_of

DOWNLOADED = "give the files as the page's button “Download my answers” made them"


class Answers(BaseModel):
    """A file of answers: the page's text as it was, a random number of the visit, and the marked tiles from 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: str
    visit: str
    marked: tuple[int, ...]


class Pooled(NamedTuple):
    """What people found together.

    Attributes:
        page: what they all saw.
        found: fakes that each found, by file name.
        people: their estimate together.
    """

    page: SealedPage
    found: dict[str, int]
    people: Estimate

    def as_dict(self) -> dict[str, Any]:
        """Under names, for JSON."""
        machine = self.page.machine
        told = {"page": self.page.name, "fakes": self.page.fakes, "reals": self.page.reals, "pairs": self.page.pairs}
        return {**told, "found": self.found, "people": self.people.as_dict(), "machine": machine and machine.as_dict()}


def pool(files: Sequence[Path]) -> Pooled:
    """Adds up the answers in files.

    Raises:
        InputError: a file that holds no answers, answers to another page, or the same answers again.
    """
    read = {file: _read(file) for file in files}
    _refuse_others(read)
    page = _page(files[0], read[files[0]])
    found = {str(file): _found(file, answers, page) for file, answers in read.items()}
    return Pooled(page, found, marked(sum(found.values()), page.pairs, len(found)))


def _read(file: Path) -> Answers:
    try:
        return Answers.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}", DOWNLOADED) from None
    except ValidationError as error:
        raise InputError(f"{file} holds no answers: {_first(error)}", DOWNLOADED) from None


def _page(file: Path, answers: Answers) -> SealedPage:
    try:
        page = SealedPage.model_validate_json(answers.page)
    except ValidationError as error:
        raise InputError(f"{file} holds answers to no page that is known: {_first(error)}", DOWNLOADED) from None
    fakes = sum(page.is_fake(number) for number in range(1, len(page.digests) + 1))
    if len(page.digests) != 2 * page.pairs or fakes != page.pairs:
        found = f"{file} is of a page with {fakes} fakes among {len(page.digests)} tiles, not {page.pairs} pairs"
        raise InputError(found, DOWNLOADED)
    return page


def _first(error: ValidationError) -> str:
    told = error.errors()[0]
    place = ".".join(map(str, told["loc"]))
    return f"{place}: {refusal_of(told)}" if place else refusal_of(told)


def _refuse_others(read: dict[Path, Answers]) -> None:
    first = next(iter(read))
    seen: dict[str, Path] = {}
    for file, answers in read.items():
        if answers.page != read[first].page:
            found = f"{file} answers page {_name(answers)}, {first} page {_name(read[first])}"
            raise InputError(found, "score the answers to each page by themselves")
        if answers.visit in seen:
            raise InputError(f"{file} holds the same answers as {seen[answers.visit]}", "give each visit once")
        seen[answers.visit] = file


def _name(answers: Answers) -> str:
    return hashlib.sha256(answers.page.encode()).hexdigest()[:8]


def _found(file: Path, answers: Answers, page: SealedPage) -> int:
    """How many fakes are among the marked tiles."""
    numbers = set(answers.marked)
    if (
        len(answers.marked) != page.pairs
        or len(numbers) != page.pairs
        or not numbers <= {*range(1, 2 * page.pairs + 1)}
    ):
        found = f"{file} marks {len(numbers)} different tiles, {sorted(numbers)}"
        raise InputError(found, f"answers to this page mark {page.pairs} of the tiles 1 to {2 * page.pairs}")
    return sum(map(page.is_fake, numbers))
