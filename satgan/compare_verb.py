"""The verb `satgan compare RUN RUN [RUN …]`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satgan.errors import ConfigError
from satgan.options import Parser, seed_number
from satgan.tiles.store import open_store

if TYPE_CHECKING:
    from satgan.gallery.comparison import Comparison


def compare(words: Sequence[str]) -> None:
    """Tells in what runs differ, and draws them side by side."""
    parser = Parser(
        prog="satgan compare",
        description="runs beside each other: settings that differ, losses and scores at equal steps, the first step at "
        "which their numbers differ, and tiles of the same noise",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="name in ./runs, or folder or s3:// prefix; two or more")
    parser.add_argument("--grid", type=Path, metavar="FILE", help="draw tiles of all runs side by side into a PNG")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write one HTML page with all of it")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the noise (default: 0)")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)
    for path, kind in ((given.grid, ".png"), (given.page, ".html")):
        if path and path.suffix.lower() != kind:
            raise ConfigError(f"{path} is no name of a {kind} file", f"give a name that ends in {kind}")

    from satgan.gallery.comparison import compare_runs, side_by_side
    from satgan.gallery.comparison_page import comparison_page

    found = compare_runs([_url(run) for run in given.runs], given.seed)
    print(json.dumps(found.as_dict(), indent=2) if given.json else _text(found))
    if given.grid:
        open_store(str(given.grid.parent)).write(given.grid.name, side_by_side(found))
    if given.page:
        open_store(str(given.page.parent)).write(given.page.name, comparison_page(found).encode())


def _url(run: str) -> str:
    """Of a run that is given by its name in ./runs, or by its place."""
    return f"runs/{run}" if "/" not in run and not Path(run).is_dir() else run


def _text(found: "Comparison") -> str:
    from satgan.gallery.comparison_page import UNLIKE, first_differences, scores_told

    lines = [*first_differences(found), "", *_table("set differently", found.names, found.settings)]
    lines += ["", *_table("took", found.names, found.took)]
    if found.scores:
        lines += ["", *_table("score after step", found.names, scores_told(found))]
        lines += [] if found.scores_compare else [UNLIKE]
    for loss, by_step in found.losses.items():
        lines += ["", *_table(f"{loss} in step", found.names, by_step)]
    return "\n".join(lines)


def _table(title: str, names: Sequence[str], rows: dict[Any, Any]) -> list[str]:
    from satgan.gallery.comparison_page import shown

    table = [[title, *names], *([str(name), *map(shown, row)] for name, row in rows.items())]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
