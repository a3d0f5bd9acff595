"""The verbs `satgan cluster check` and `satgan preflight`: their options, and what they print."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from satgan.options import Parser, add_config_options, config_from


def cluster_check(words: Sequence[str]) -> None:
    """Checks a cluster file without a network, and prints what was found.

    Raises:
        ConfigError: it is not fit to be started.
    """
    parser = Parser(prog="satgan cluster check", description="what is wrong with a cluster file, before `ray up`")
    parser.add_argument(
        "file", nargs="?", type=Path, default=Path("cluster.yaml"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--prices", type=Path, metavar="FILE", help="YAML of instance types over the built-in table")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)

    from satgan.cluster.check import check, refuse

    findings = check(given.file, given.prices)
    if given.json:
        print(json.dumps([found._asdict() for found in findings], indent=2))
    else:
        print("\n".join(map(str, findings)) or f"{given.file}: nothing found")
    refuse(given.file, findings)


def speed(text: str) -> float:
    """A number above 0."""
    if not 0 < float(text) < math.inf:
        raise ValueError
    return float(text)


def preflight(words: Sequence[str]) -> None:
    """Prints what a run on a cluster will take."""
    parser = Parser(
        prog="satgan preflight",
        description="what a run on a cluster will take: tiles/s, hours, bytes, memory, price, and what bounds it",
    )
    parser.add_argument(
        "--instance", default="g6.2xlarge", metavar="TYPE", help="of the workers (default: %(default)s)"
    )
    parser.add_argument("--head", default="m7i.large", metavar="TYPE", help="of the head (default: %(default)s)")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="YAML of instance types over the built-in table")
    parser.add_argument(
        "--worker-tiles-per-second", type=speed, metavar="X", help="measured, of one worker; none: by the GPU's peak"
    )
    parser.add_argument("--json", action="store_true", help="results as JSON")
    add_config_options(parser, words)
    given = parser.parse_all(words)
    config = config_from(given)

    from satgan.cluster.preflight import as_json, as_text, forecast
    from satgan.cluster.prices import PRICES_DATE, PRICES_REGION, instance_of, instances
    from satgan.tiles.tile_set import open_tile_set

    table = instances(given.prices)
    machine, head = instance_of(given.instance, table), instance_of(given.head, table)
    tiles = open_tile_set(config.tiles.source).manifest.tile_count if config.tiles.source else None
    found = forecast(config, machine, head, tiles, given.worker_tiles_per_second)
    if given.json:
        print(
            json.dumps({"instance": given.instance, "prices": [PRICES_DATE, PRICES_REGION], **as_json(found)}, indent=2)
        )
    else:
        print(as_text(found, given.instance, given.preset))
        print(f"prices of {PRICES_REGION} on {PRICES_DATE}; --prices FILE changes them")
