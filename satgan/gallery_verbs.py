"""The verbs on what comes out of a checkpoint: sample, walk, film, mosaic, export, features, probe."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from satgan.bar import with_bar
from satgan.options import Parser, print_result, seed_number

if TYPE_CHECKING:
    from satgan.gallery.draw import Choice
    from satgan.gallery.probe import Probed

CHECKPOINT = "a checkpoint, or a run: its best; s3:// too"
TILES = "tile set, or folder or s3:// prefix of images"
DEVICE = "auto (the GPU where there is one), cpu or cuda (default: auto)"


def sample(words: Sequence[str]) -> None:
    """`satgan sample CHECKPOINT`."""
    parser = _parser("sample", "draw new tiles from a checkpoint")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT)
    parser.add_argument("--count", type=int, default=64, metavar="N", help="tiles to draw (default: 64)")
    parser.add_argument(
        "--out", default="samples", metavar="DIR", help="folder or s3:// prefix; empty, new or where the "
        "same command was interrupted, but for --grid and --npy, which replace their file (default: samples)",
    )  # fmt: skip
    forms = parser.add_mutually_exclusive_group()
    for form, about in {
        "grid": "one sheet, grid.png, instead of a file each",
        "npy": "one array, tiles.npy, [N, height, width, channels] of bytes, which np.load opens",
        "set": "a tile set, which `satgan tiles`, `judge` and `train` take",
    }.items():
        forms.add_argument(f"--{form}", dest="form", action="store_const", const=form, default="files", help=about)
    _add_choice(parser)
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)

    from satgan.gallery.sample import sample

    choice = _choice(given)
    url = with_bar(lambda bar: sample(given.checkpoint, given.count, given.out, given.form, choice, bar))
    print_result({"written": url, "tiles": given.count}, given.json)


def walk(words: Sequence[str]) -> None:
    """`satgan walk CHECKPOINT`."""
    parser = _parser("walk", "draw how tiles turn into others: noise goes along arcs from stop to stop, and back")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT)
    parser.add_argument(
        "--out", default="walk.webp", metavar="FILE",
        help=".webp, .gif or (with ffmpeg) .mp4 to watch, .png for strips; s3:// too (default: walk.webp)",
    )  # fmt: skip
    parser.add_argument("--stops", type=int, default=4, metavar="N", help="noise vectors that it visits (default: 4)")
    parser.add_argument(
        "--frames", type=int, default=16, metavar="N", help="from stop to stop; a second has 20 (default: 16)"
    )
    parser.add_argument("--walks", type=int, default=16, metavar="N", help="walks side by side (default: 16)")
    _add_choice(parser)
    given = parser.parse_all(words)

    from satgan.gallery.walk import walk

    ways = {"stops": given.stops, "frames": given.frames, "walks": given.walks}
    choice = _choice(given)
    print(with_bar(lambda bar: walk(given.checkpoint, given.out, choice, **ways, progress=bar)))


def film(words: Sequence[str]) -> None:
    """`satgan film RUN`."""
    parser = _parser("film", "show the training of a run as a time lapse, made of its film strips")
    parser.add_argument("run", metavar="RUN", help="folder or s3:// prefix of a run")
    parser.add_argument(
        "--out", default="film.webp", metavar="FILE",
        help=".webp, .gif or (with ffmpeg) .mp4; s3:// too (default: film.webp)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=20.0, metavar="X", help="it lasts no longer than this (default: 20)"
    )
    given = parser.parse_all(words)

    from satgan.gallery.film import film

    print(film(given.run, given.out, given.seconds))


def mosaic(words: Sequence[str]) -> None:
    """`satgan mosaic CHECKPOINT`."""
    parser = _parser("mosaic", "draw a large sheet without gaps, on which neighbouring tiles are alike")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT)
    parser.add_argument("--out", default="mosaic.png", metavar="FILE", help="PNG; s3:// too (default: mosaic.png)")
    parser.add_argument("--rows", type=int, default=25, metavar="N", help="of tiles (default: 25)")
    parser.add_argument("--columns", type=int, default=40, metavar="N", help="of tiles (default: 40)")
    _add_choice(parser)
    given = parser.parse_all(words)

    from satgan.gallery.mosaic import mosaic

    choice, shape = _choice(given), {"rows": given.rows, "columns": given.columns}
    print(with_bar(lambda bar: mosaic(given.checkpoint, given.out, choice, **shape, progress=bar)))


def export(words: Sequence[str]) -> None:
    """`satgan export CHECKPOINT`."""
    parser = _parser("export", "write the generator for use without satgan: noise in, tiles as bytes out")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT)
    parser.add_argument(
        "--format", choices=("torchscript", "onnx", "safetensors"), default="onnx",
        help="generator.pt, generator.onnx, or its weights alone in generator.safetensors (default: onnx)",
    )  # fmt: skip
    parser.add_argument("--out", default="export", metavar="DIR", help="folder or s3:// prefix (default: export)")
    _add_raw(parser)
    given = parser.parse_all(words)

    from satgan.gallery.export import export

    print(export(given.checkpoint, given.out, given.format, given.raw))


def features(words: Sequence[str]) -> None:
    """`satgan features CHECKPOINT TILES`."""
    parser = _parser("features", "write what the discriminator sees in tiles: its maps, max-pooled to 4×4 by layer")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT)
    parser.add_argument("tiles", metavar="TILES", help=TILES)
    parser.add_argument(
        "--out", default="features.parquet", metavar="FILE",
        help=".parquet with tile, name, label, features, or .npy with these alone; s3:// too "
        "(default: features.parquet)",
    )  # fmt: skip
    _add_device(parser)
    given = parser.parse_all(words)

    from satgan.gallery.features import write_features

    print(with_bar(lambda bar: write_features(given.checkpoint, given.tiles, given.out, given.device, bar)))


def probe(words: Sequence[str]) -> None:
    """`satgan probe CHECKPOINT TILES`."""
    parser = _parser(
        "probe",
        "how well a linear classifier tells classes by the discriminator's features, beside raw pixels and an "
        "untrained network",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT)
    parser.add_argument("tiles", metavar="TILES", help=f"to train on: {TILES}, the classes as its first folders")
    parser.add_argument("--test", metavar="TILES", help="to test on (default: the last quarter of each class by name)")
    parser.add_argument(
        "--by", choices=("label", "source"), default="label",
        help="column of the set's tiles.parquet that says the class (default: label)",
    )  # fmt: skip
    parser.add_argument("--labels", metavar="FILE", help="Parquet or CSV with the columns name and label, instead")
    parser.add_argument(
        "--count",
        type=int,
        default=10_000,
        metavar="N",
        help="tiles to train on at most; to test on as many with --test, else a third as many (default: 10000)",
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="of the untrained network (default: 0)")
    _add_device(parser)
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)

    from satgan.gallery.probe import probe

    options = {"test": given.test, "by": given.by, "table": given.labels, "count": given.count, "seed": given.seed}
    found: Probed = with_bar(
        lambda bar: probe(given.checkpoint, given.tiles, **options, device=given.device, progress=bar)
    )
    print(json.dumps(_as_dict(found), indent=2) if given.json else _table(found))


def _parser(verb: str, about: str) -> Parser:
    return Parser(prog=f"satgan {verb}", description=about)


def _add_choice(parser: Parser) -> None:
    parser.add_argument("--seed", type=seed_number, default=0, help="of the noise (default: 0)")
    parser.add_argument(
        "--truncation", type=float, metavar="X",
        help="draw numbers of the noise beyond X deviations again: more ordinary tiles, fewer kinds (default: none)",
    )  # fmt: skip
    _add_raw(parser)
    _add_device(parser)


def _add_raw(parser: Parser) -> None:
    parser.add_argument("--raw", action="store_true", help="the generator as trained instead of the averaged one")


def _add_device(parser: Parser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=DEVICE)


def _choice(given: Any) -> "Choice":
    from satgan.gallery.draw import Choice

    return Choice(given.seed, given.truncation, given.raw, given.device)


def _as_dict(found: "Probed") -> dict[str, Any]:
    return {**found._asdict(), "measured": {name: one._asdict() for name, one in found.measured.items()}}


def _table(found: "Probed") -> str:
    """Text of a probe's outcome."""
    width = max(map(len, found.measured))
    lines = [f"{'features':{width}}{'numbers':>10}{'accuracy':>11}   95 % interval"]
    for name, one in found.measured.items():
        lines.append(f"{name:{width}}{one.features:10,}{one.accuracy:11.2%}   {one.low:.2%} to {one.high:.2%}")
    numbers = ", ".join(f"{name} {count:,}" for name, count in found.training.items())
    trained, tested = sum(found.training.values()), sum(found.test.values())
    without = f"; {found.unlabelled:,} tiles without a class were left out" if found.unlabelled else ""
    return "\n".join([*lines, f"trained on {trained:,} tiles ({numbers}), tested on {tested:,}{without}"])
