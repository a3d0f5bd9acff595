"""The verb `satgan judge FAKES REALS`: its options, and what it prints."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satgan.bar import with_bar
from satgan.errors import ConfigError
from satgan.options import Parser, seed_number

if TYPE_CHECKING:
    from satgan.gallery.judgement import Finding
    from satgan.judge.inception_scores import InceptionJudgement
    from satgan.judge.judgement import Judgement

KINDS = "tile set, folder of images, or checkpoint or run: folder or s3://"
INCEPTION = (
    "also FID and KID, by the Inception weights in this file: pt_inception-2015-12-05-6726825d.pth of pytorch-fid. "
    "For 1,000 tiles per side or more, of 1 or 3 channels; about 110 CPU seconds per 1,000 tiles of any size (two "
    "cores, 64 and 256 pixels), of fakes and twice as many reals, those of a tile set once"
)


def judge(words: Sequence[str]) -> None:
    """Judges one side against the other and prints every score with its floor and ratio."""
    given = _parser().parse_all(words)
    if given.page:
        _refuse_page(given.page)
    if given.inception_sha256 and not given.inception:
        raise ConfigError("--inception-sha256 without --inception", "say which file has this hash: --inception FILE")

    from satgan.gallery.inception_file import open_extractor
    from satgan.gallery.judgement import compare
    from satgan.gallery.judgement_page import judgement_page

    extractor = open_extractor(given.inception, given.inception_sha256) if given.inception else None
    sides = given.fakes, given.reals, given.tiles_per_side, given.held_out, given.seed
    finding: Finding = with_bar(lambda bar: compare(*sides, extractor, bar))
    print(json.dumps(_as_dict(finding), indent=2) if given.json else _table(finding))
    if given.page:
        from satgan.tiles.store import open_store

        page = judgement_page(finding, given.fakes, given.reals).encode()
        open_store(str(given.page.parent)).write(given.page.name, page)


def _parser() -> Parser:
    parser = Parser(prog="satgan judge", description="how good are tiles: scores beside their real-against-real floors")
    parser.add_argument("fakes", metavar="FAKES", help=f"what is judged; {KINDS}")
    parser.add_argument("reals", metavar="REALS", help="what it is compared with, of the same kinds")
    parser.add_argument(
        "--tiles-per-side", type=int, metavar="N", help="fakes, and half the reals (default: 2048, or what there is)"
    )
    parser.add_argument("--held-out", metavar="SET", help="reals that were not trained on, to see copies by")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the choice of tiles and the noise (default: 0)")
    parser.add_argument("--inception", metavar="FILE", help=INCEPTION)
    parser.add_argument(
        "--inception-sha256", metavar="HEX", help="the file's, where other weights of that network are meant"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="also write one HTML page with tiles and spectra")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    return parser


def _refuse_page(page: Path) -> None:
    if page.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--page {page} is no name of a HTML file", "give a name that ends in .html")
    if not page.parent.is_dir():
        raise ConfigError(f"--page {page}: there is no folder {page.parent}", "make it, or give another")


def _as_dict(finding: "Finding") -> dict[str, Any]:
    found = finding.judgement.as_dict()
    return found if finding.inception is None else {**found, "inception": finding.inception.as_dict()}


def _table(finding: "Finding") -> str:
    lines = _own_lines(finding.judgement)
    return "\n".join(lines if finding.inception is None else [*lines, "", *_inception_lines(finding.inception)])


def _own_lines(judgement: "Judgement") -> list[str]:
    from satgan.judge.score import about

    lines = [f"{'score':22}{'value':>10}{'floor':>10}{'ratio':>9}"]
    for name, score in judgement.scores.items():
        figures = f"{score.value:10.4g}{score.floor:10.4g}{score.ratio:9.2f}"
        lines.append(f"{name:22}{figures}  {about(name).meaning}")
    last = f"{judgement.tiles:,} tiles per side; lower is better, 1 is as far from the reals as reals are"
    return [*lines, f"{'overall':22}{'':20}{judgement.score:9.2f}  {last}"]


def _inception_lines(judgement: "InceptionJudgement") -> list[str]:
    from satgan.judge.inception_scores import about_inception

    named = {f"{name} ({judgement.extractor.title})": score for name, score in judgement.scores.items()}
    width = max(map(len, named))
    lines = [
        f"{name:{width}}{score.value:12.4g}{score.floor:12.4g}" + ("" if score.ratio is None else f"{score.ratio:9.2f}")
        for name, score in named.items()
    ]
    return [f"{'by Inception':{width}}{'value':>12}{'floor':>12}{'ratio':>9}", *lines, about_inception(judgement.tiles)]
