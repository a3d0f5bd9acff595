"""The verbs `satgan train`, `satgan describe` and `satgan report`: their options, and what they print."""

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from satgan.errors import SatganError
from satgan.options import Parser, add_config_options, config_from, forked_config_from, print_result, train_parser

if TYPE_CHECKING:
    from satgan.groups import TrainConfig


def train(words: Sequence[str]) -> None:
    """Trains, or resumes; prints where everything lies."""
    parsed = train_parser(words).parse_all(words)
    config, parent = forked_config_from(parsed) if parsed.fork else (config_from(parsed), None)

    from satgan.train.device import decide
    from satgan.train.progress import ProgressLine
    from satgan.train.start import finished, hold, needs, place, prepare, start

    if parsed.dry_run:
        from satgan.train.tile_source import look

        _dry_run(config, look(config), needs(decide(config)), parsed.json)
        return
    config, _ = place(config, _say)
    line = ProgressLine()
    try:
        with hold(config, line.say) as lease:
            config, _ = prepare(config, _say, parent, check=lease.check_writing)
            outcome = finished(config, line.say)
            if outcome:
                _say(_nothing_left(config.train, outcome.step))
            else:
                _say_start(config)
                outcome = start(config, lease, line, line.say)
    finally:
        line.close()
    _print_outcome(outcome, _reported(outcome.run), parsed.json)


def _nothing_left(run: "TrainConfig", step: int) -> str:
    if step > run.steps:
        found = f"{run.name} has taken {step} steps, more than the {run.steps} asked for (train.steps)"
        return f"{found}: nothing was done; --train.steps N with N above {step} goes on, another --name begins anew"
    return f"{run.name} is complete after step {step}; --train.steps N with a larger N goes on"


def _reported(run: str) -> str | None:
    """Writes the run's report; that it cannot be written does not make the run a failure."""
    from satgan.gallery.report import write_report

    try:
        return write_report(run)
    except SatganError as error:
        _say(f"the report was not written: {error}\n  `satgan report {run}` tries again")
        return None


def _say_start(config: Any) -> None:
    from satgan.train.device import decide
    from satgan.train.start import needs

    _say(_heading(needs(decide(config))))
    _say_findings(config)
    if config.train.workers:
        _say(f"starting {config.train.workers} worker(s) under Ray Train …")


def _say_findings(config: Any) -> None:
    """What the doctor finds in a config before the run; of another machine, a cluster's, nothing can be said here."""
    from satgan.doctor.records import ConfigRecord
    from satgan.doctor.rules import OF_THE_MACHINE, choose, examine
    from satgan.train.device import this_machine

    codes = choose((), OF_THE_MACHINE if config.train.workers and "RAY_ADDRESS" in os.environ else ())
    for finding in examine([ConfigRecord(config, this_machine(config))], codes):
        _say(f"doctor: {finding.text()}")


def _print_outcome(outcome: Any, report: str | None, as_json: bool) -> None:
    told = outcome._asdict() | {"report": report}
    print_result(told if as_json else {name: value for name, value in told.items() if value is not None}, as_json)


def _dry_run(config: Any, tiles: Any, need: dict[str, Any], as_json: bool) -> None:
    import yaml

    tree = config.model_dump(mode="json")
    if as_json:
        print(json.dumps({"config": tree, "tiles": tiles and tiles._asdict(), "needs": need}, indent=2))
    else:
        print(yaml.safe_dump(tree, sort_keys=False))
        print("\n".join([_tiles_line(tiles), _heading(need), *need["notes"]]))


def _tiles_line(tiles: Any) -> str:
    if tiles is None:
        return "tiles: an embedded set"
    count = f"{tiles.tiles:,}" if tiles.packed else f"up to {tiles.tiles:,}, still to be packed,"
    return f"tiles: {count} of {tiles.size}×{tiles.size}, {tiles.channels} channel(s), in {tiles.where}"


def _heading(need: dict[str, Any]) -> str:
    parameters = f"{need['generator_parameters']:,} + {need['discriminator_parameters']:,} parameters"
    memory = f"{need['memory_bytes_per_lane'] / 1e6:,.0f} MB of memory a lane (estimate)"
    disk = f"{need['checkpoint_bytes'] / 1e6:,.0f} MB a checkpoint"
    return f"{parameters} · {need['tiles']:,} tiles · {need['flops']:.3g} FLOPs · {memory} · {disk}"


def describe(words: Sequence[str]) -> None:
    """Prints what the networks of a config are."""
    parser = Parser(prog="satgan describe", description="layers, parameters, FLOPs and memory of a preset's networks")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    add_config_options(parser, words)
    parsed = parser.parse_all(words)
    config = config_from(parsed)

    from satgan.gan.describe import describe as described_by
    from satgan.gan.describe import table
    from satgan.train.device import decide

    described = described_by(decide(config))  # as `train` would: memory depends on the machine's precision
    print(json.dumps(described, indent=2) if parsed.json else table(described))


def report(words: Sequence[str]) -> None:
    """Writes a run's page and prints where it lies."""
    parser = Parser(prog="satgan report", description="write a run's page: one HTML file that opens offline")
    parser.add_argument("run", metavar="RUN", help="folder or s3:// prefix of a run")
    parsed = parser.parse_all(words)

    from satgan.gallery.report import write_report

    print(write_report(parsed.run))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def version() -> str:
    """satgan's version and commit, and what it computes with."""
    from importlib import metadata

    from satgan.provenance import versions
    from satgan.train.device import fast_precision, training_device

    found = versions() | {"ray": metadata.version("ray")}
    device = training_device(deterministic=True)
    computes = f"{device.type} ({fast_precision()} where `train.precision` is auto)"
    return " · ".join([*(f"{name} {value}" for name, value in found.items()), computes])
