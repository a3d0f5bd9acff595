"""The verb `satgan judge FAKES REALS`: its options, and what it prints."""

import json
from collections.abc import Sequence
from pathlib import Path

from satgan.errors import ConfigError
from satgan.options import Parser, seed_number

KINDS = "tile set, folder of images, or checkpoint or run: folder or s3://"


def judge(words: Sequence[str]) -> None:
    """Judges one side against the other and prints every score with its floor and ratio."""
    parser = Parser(prog="satgan judge", description="how good are tiles: scores beside their real-against-real floors")
    parser.add_argument("fakes", metavar="FAKES", help=f"what is judged; {KINDS}")
    parser.add_argument("reals", metavar="REALS", help="what it is compared with, of the same kinds")
    parser.add_argument(
        "--tiles-per-side", type=int, metavar="N", help="fakes, and half the reals (default: 2048, or what there is)"
    )
    parser.add_argument("--held-out", metavar="SET", help="reals that were not trained on, to see copies by")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the choice of tiles and the noise (default: 0)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="also write one HTML page with tiles and spectra")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)
    if given.page and given.page.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--page {given.page} is no name of a HTML file", "give a name that ends in .html")

    from satgan.gallery.judgement import compare
    from satgan.gallery.judgement_page import judgement_page
    from satgan.judge.judgement import Judgement
    from satgan.judge.score import about
    from satgan.tiles.store import open_store

    def table(judgement: Judgement) -> str:
        lines = [f"{'score':22}{'value':>10}{'floor':>10}{'ratio':>9}"]
        for name, score in judgement.scores.items():
            figures = f"{score.value:10.4g}{score.floor:10.4g}{score.ratio:9.2f}"
            lines.append(f"{name:22}{figures}  {about(name).meaning}")
        last = f"{judgement.tiles:,} tiles per side; lower is better, 1 is as far from the reals as reals are"
        return "\n".join([*lines, f"{'overall':22}{'':20}{judgement.score:9.2f}  {last}"])

    finding = compare(given.fakes, given.reals, given.tiles_per_side, given.held_out, given.seed)
    if given.page:
        page = judgement_page(finding, given.fakes, given.reals).encode()
        open_store(str(given.page.parent)).write(given.page.name, page)
    print(json.dumps(finding.judgement.as_dict(), indent=2) if given.json else table(finding.judgement))
