"""The verbs `satgan tiles cut|pack|inspect|show`: their options, their progress, what they print and draw."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from satgan.bar import with_bar
from satgan.errors import ConfigError
from satgan.options import Parser, print_result, seed_number
from satgan.tiles import commands
from satgan.tiles.inspect import LIMITS, Limits, limits_from
from satgan.tiles.look import CutOptions
from satgan.tiles.samples import Sample
from satgan.tiles.store import open_store
from satgan.tiles.stretch import parse_stretch


def tiles_cut(words: Sequence[str]) -> None:
    """`satgan tiles cut SOURCE… DEST`."""
    parser = Parser(prog="satgan tiles cut", description="cut rasters into a tile set")
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="rasters, folders of them, s3:// objects, prefixes"
    )
    parser.add_argument("destination", metavar="DEST", help="tile set to make: folder or s3:// prefix")
    parser.add_argument("--size", type=int, default=64, help="tile height and width [pixels] (default: 64)")
    parser.add_argument("--stride", type=int, help="from tile to tile [pixels] (default: the size, no overlap)")
    parser.add_argument(
        "--resolution", type=float, metavar="METRES", help="ground size of a pixel (default: the file's)"
    )
    parser.add_argument(
        "--bands", metavar="N,N,…", help="bands to keep, from 1, in this order (default: all but alpha)"
    )
    parser.add_argument(
        "--stretch", metavar="LOW,HIGH",
        help="percentiles of each band that become 0 and 255, or values:LOW,HIGH "
        "(default: 2,98 for 16 bits and float; 8 bits stay as they are)",
    )  # fmt: skip
    parser.add_argument("--skip-unreadable", action="store_true", help="list rasters that cannot be cut, and go on")
    _add_common(parser)
    given = parser.parse_all(words)
    options = CutOptions(
        given.size,
        given.size if given.stride is None else given.stride,
        given.resolution,
        _bands(given.bands),
        parse_stretch(given.stretch) if given.stretch else None,
    )
    limits = _limits(given.limit)
    report = with_bar(
        lambda bar: commands.cut(
            given.sources, given.destination, options, given.seed, limits, given.skip_unreadable, bar
        )
    )
    _report(report, given)


def tiles_pack(words: Sequence[str]) -> None:
    """`satgan tiles pack SOURCE DEST`."""
    parser = Parser(prog="satgan tiles pack", description="pack a folder of tiles, or IDX files, into a tile set")
    parser.add_argument("source", metavar="SOURCE", help="folder or s3:// prefix of tiles, in class folders or not")
    parser.add_argument("destination", metavar="DEST", help="tile set to make: folder or s3:// prefix")
    parser.add_argument(
        "--format", choices=("images", "idx"), default="images",
        help="PNG, JPEG, WebP and BMP files, or IDX as MNIST has (default: images)",
    )  # fmt: skip
    _add_common(parser)
    given = parser.parse_all(words)
    limits = _limits(given.limit)
    report = with_bar(lambda bar: commands.pack(given.source, given.destination, given.seed, limits, given.format, bar))
    _report(report, given)


def tiles_inspect(words: Sequence[str]) -> None:
    """`satgan tiles inspect SET|FOLDER`."""
    parser = Parser(prog="satgan tiles inspect", description="judge tiles; nothing is changed where they are")
    parser.add_argument("source", metavar="SET|FOLDER", help="tile set, or folder or s3:// prefix of tiles")
    parser.add_argument("--rejected", type=Path, metavar="FILE", help="list every rejected tile in this Parquet file")
    _add_inspection(parser)
    given = parser.parse_all(words)
    limits = _limits(given.limit)
    found = with_bar(lambda bar: commands.inspect(given.source, limits, given.rejected, bar))
    _draw(given.contact_sheet, found.samples, {"accepted": found.accepted, **found.rejected})
    about = {name: getattr(found, name) for name in ("tiles", "accepted", "rejected")}
    print_result(about | {"figures" if given.json else "figures (least, mean, most)": found.figures}, given.json)


def tiles_show(words: Sequence[str]) -> None:
    """`satgan tiles show SET`."""
    parser = Parser(prog="satgan tiles show", description="show what a tile set holds")
    parser.add_argument("source", metavar="SET", help="tile set: folder or s3:// prefix")
    parser.add_argument("--page", type=Path, metavar="FILE", help="also draw a sheet of tiles into this PNG")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)
    if given.page and given.page.suffix.lower() != ".png":
        raise ConfigError(f"--page {given.page} is no name of a PNG file", "give a name that ends in .png")
    about, tiles = commands.show(given.source)
    if given.page:
        from satgan.pictures.grid import grid_png

        open_store(str(given.page.parent)).write(given.page.name, grid_png(tiles, columns=8))
    print_result(about, given.json)


def _add_common(parser: Parser) -> None:
    parser.add_argument("--seed", type=seed_number, default=1234, help="of the global shuffle (default: 1234)")
    _add_inspection(parser)


def _add_inspection(parser: Parser) -> None:
    limits = "; ".join(f"{reason} {limit.default:g}" for reason, limit in LIMITS.items())
    parser.add_argument(
        "--limit", action="append", default=[], metavar="REASON=VALUE",
        help=f"change a limit of the inspection, or switch it off: sea=off (defaults: {limits}; and duplicate)",
    )  # fmt: skip
    parser.add_argument(
        "--contact-sheet", type=Path, metavar="FILE", help="draw accepted and rejected tiles into a PNG"
    )
    parser.add_argument("--json", action="store_true", help="results as JSON")


def _bands(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(band) for band in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(f"--bands {text} are no numbers", "write them from 1, with commas: 4,3,2") from None


def _limits(given: Sequence[str]) -> Limits:
    pairs = [text.partition("=") for text in given]
    for reason, sign, _ in pairs:
        if not sign:
            raise ConfigError(f"--limit {reason} says no value", f"write --limit {reason}=0.9, or {reason}=off")
    return limits_from({reason: value for reason, _, value in pairs})


def _report(report: Any, given: Any) -> None:
    _draw(given.contact_sheet, report.samples, {"accepted": report.accepted, **report.rejected})
    print_result({"tile_set": report.url, "accepted": report.accepted, "rejected": report.rejected}, given.json)


def _draw(path: Path | None, samples: Mapping[str, Sequence[Sample]], counts: Mapping[str, int]) -> None:
    """The contact sheet: accepted tiles, then those of each reason with their figures."""
    if path is None:
        return
    from satgan.pictures.contact import Group, Shown, contact_sheet_png

    groups = []
    for reason, chosen in samples.items():
        about = f", {LIMITS[reason].about}" if reason in LIMITS else ""
        shown = [Shown(sample.pixels, "" if sample.figure is None else f"{sample.figure:.3g}") for sample in chosen]
        groups.append(Group(f"{reason}: {counts.get(reason, 0):,}{about}", shown))
    open_store(str(path.parent)).write(path.name, contact_sheet_png(groups))
