"""The verb `satgan turing`: a page for people to find the fakes on, and `satgan turing score` for what they found."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from satgan.options import Parser, seed_number

if TYPE_CHECKING:
    from satgan.gallery.turing_score import Pooled
    from satgan.judge.guesses import Estimate


def turing(words: Sequence[str]) -> None:
    """Writes a page, or with the word `score` adds up what people found."""
    if words[:1] == ["score"]:
        _score(words[1:])
    else:
        _write(words)


def _write(words: Sequence[str]) -> None:
    parser = Parser(
        prog="satgan turing",
        description="write a page on which people mark the fakes among real tiles, which is also a sheet to print, and "
        "the answers apart from it; `satgan turing score FILES…` adds up the answers that they downloaded",
    )
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT",
        help="a checkpoint, or a run: its best; or fakes drawn before: tile set or folder of images; s3:// too",
    )  # fmt: skip
    parser.add_argument("--tiles", required=True, metavar="SET", help="real tiles: tile set or folder of images")
    parser.add_argument("--pairs", type=int, default=32, help="fakes, and as many real tiles (default: 32)")
    parser.add_argument("--seed", type=seed_number, default=0, help="of noise, choice and order (default: 0)")
    parser.add_argument(
        "--out", default="turing", metavar="DIR",
        help="folder or s3:// prefix without an earlier test (default: turing)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)

    from satgan.gallery.turing import turing

    made = turing(given.checkpoint, given.tiles, given.pairs, given.seed, given.out)
    if given.json:
        print(json.dumps(made._asdict() | {"machine": made.machine and made.machine.as_dict()}, indent=2))
        return
    print(f"quiz: {made.quiz}\nanswers: {made.answers} (of page {made.page}; keep them apart)")
    print(_machine_line(made.machine))


def _score(words: Sequence[str]) -> None:
    parser = Parser(
        prog="satgan turing score", description="what people found on one page together, beside what a machine found"
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILES", help="answers downloaded from the page")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)

    from satgan.gallery.turing_score import pool

    pooled = pool(given.files)
    print(json.dumps(pooled.as_dict(), indent=2) if given.json else _table(pooled))


def _table(pooled: "Pooled") -> str:
    page = pooled.page
    return "\n".join([
        f"page {page.name}: fakes by {page.fakes}, real tiles from {page.reals}",
        *(f"{file}: {found} of {page.pairs} fakes found" for file, found in pooled.found.items()),
        f"people: {len(pooled.found)}, {_told(pooled.people)}",
        _machine_line(page.machine),
    ])  # fmt: skip


def _machine_line(machine: "Estimate | None") -> str:
    return f"machine: {_told(machine)}" if machine else "machine: too few real tiles for it to learn from"


def _told(estimate: "Estimate") -> str:
    return (
        f"{estimate.right:,} of {estimate.answers:,} right, {estimate.share:.1%} (95 %: {estimate.low:.1%} to "
        f"{estimate.high:.1%}; by guessing p = {estimate.p_value:.2g}). {estimate.verdict.value}"
    )
