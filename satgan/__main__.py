"""The command line: `satgan VERB …`. Exit status 0 done, 1 failed, 2 the user's input was refused.

Results go to stdout, progress and errors to stderr. Verbs import what they need when they are called.
"""

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from satgan import __version__
from satgan.errors import ConfigError, SatganError, nearest


class Verb(NamedTuple):
    """A verb of the command line: words after it are parsed by its own parser."""

    about: str
    run: Callable[[Sequence[str]], None]


def main(words: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit status."""
    words = sys.argv[1:] if words is None else words
    try:
        _dispatch(words)
    except SatganError as error:
        print(f"satgan: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        left = "the same command goes on from the last checkpoint" if words[:1] == ["train"] else "nothing was finished"
        print(f"\nsatgan: stopped; {left}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our results has seen enough
        sys.stderr.close()
    except OSError as error:  # none is expected here: a message all the same, and the place for whoever mends it
        place = traceback.extract_tb(error.__traceback__)[-1]
        print(f"satgan: {error} (at {place.filename}:{place.lineno})", file=sys.stderr)
        print("  what to do: check permissions and free space of the files named", file=sys.stderr)
        return 1
    return 0


def _dispatch(words: Sequence[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
    elif words[0] == "--version":
        print(f"satgan {__version__}")
    elif words[0] == "tiles" and len(words) > 1 and words[1] in TILES_VERBS:
        TILES_VERBS[words[1]].run(words[2:])
    elif words[0] == "tiles" and words[1:2] in ([], ["-h"], ["--help"]):
        print(_listed("usage: satgan tiles VERB …", TILES_VERBS))
    elif words[0] == "tiles":
        raise ConfigError(f"unknown verb: tiles {words[1]}", nearest(words[1], TILES_VERBS))
    elif words[0] in VERBS:
        VERBS[words[0]].run(words[1:])
    else:
        raise ConfigError(f"unknown verb: {words[0]}", nearest(words[0], [*VERBS, "tiles"]))


def _overview() -> str:
    tiles = {f"tiles {name}": verb for name, verb in TILES_VERBS.items()}
    usage = "usage: satgan VERB …\n\nTrains a DCGAN on satellite tiles, on a laptop or on a Ray cluster."
    return _listed(usage, tiles | VERBS) + "\n\n`satgan VERB --help` tells more."


def _listed(head: str, verbs: dict[str, Verb]) -> str:
    width = max(map(len, verbs))
    return "\n".join([head, "", *(f"  {name:<{width}}  {verb.about}" for name, verb in verbs.items())])


def _parser(verb: str, table: dict[str, Verb], prog: str) -> Any:
    from satgan.options import Parser

    return Parser(prog=prog, description=table[verb].about)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _train(words: Sequence[str]) -> None:
    from satgan.options import add_config_options, config_from, forked_config_from

    parser = _parser("train", VERBS, "satgan train")
    parser.add_argument("--dry-run", action="store_true", help="print the complete config and what it needs, and stop")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    parser.add_argument(
        "--fork", metavar="NAME", help="go on from the newest checkpoint of the run --name as a new run, under "
        "the settings given here; the same command again resumes the new run",
    )  # fmt: skip
    add_config_options(parser, words)
    parsed = parser.parse_all(words)
    config, parent = forked_config_from(parsed) if parsed.fork else (config_from(parsed), None)

    from satgan.train.device import decide
    from satgan.train.progress import ProgressLine
    from satgan.train.start import finished, hold, needs, place, prepare, start

    if parsed.dry_run:
        _dry_run(config, needs(decide(config)), parsed.json)
        return
    config, _ = place(config, _say)
    line = ProgressLine()
    try:
        with hold(config, line.say) as lease:
            config, step = prepare(config, _say, parent)
            outcome = finished(config)
            if outcome:
                _say(f"{config.train.name} is complete after step {step}; --train.steps N with a larger N goes on")
            else:
                _say_start(config, step)
                outcome = start(config, lease, line, line.say)
    finally:
        line.close()
    _print_outcome(outcome, parsed.json)


def _say_start(config: Any, step: int) -> None:
    from satgan.train.device import decide
    from satgan.train.start import needs

    _say(_heading(needs(decide(config))))
    if step:
        _say(f"resuming {config.train.name} after step {step} of {config.train.steps}")
    if config.train.workers:
        _say(f"starting {config.train.workers} worker(s) under Ray Train …")


def _print_outcome(outcome: Any, as_json: bool) -> None:
    from satgan.options import print_result

    told = outcome._asdict()
    print_result(told if as_json else {name: value for name, value in told.items() if value is not None}, as_json)


def _dry_run(config: Any, need: dict[str, Any], as_json: bool) -> None:
    import yaml

    tree = config.model_dump(mode="json")
    if as_json:
        print(json.dumps({"config": tree, "needs": need}, indent=2))
    else:
        print(yaml.safe_dump(tree, sort_keys=False))
        print("\n".join([_heading(need), *need["notes"]]))


def _heading(need: dict[str, Any]) -> str:
    parameters = f"{need['generator_parameters']:,} + {need['discriminator_parameters']:,} parameters"
    memory = f"{need['memory_bytes_per_lane'] / 1e6:,.0f} MB of memory a lane (estimate)"
    disk = f"{need['checkpoint_bytes'] / 1e6:,.0f} MB a checkpoint"
    return f"{parameters} · {need['tiles']:,} tiles · {need['flops']:.3g} FLOPs · {memory} · {disk}"


def _describe(words: Sequence[str]) -> None:
    from satgan.options import add_config_options, config_from

    parser = _parser("describe", VERBS, "satgan describe")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    add_config_options(parser, words)
    parsed = parser.parse_all(words)
    config = config_from(parsed)

    from satgan.gan.describe import describe, table

    described = describe(config)
    print(json.dumps(described, indent=2) if parsed.json else table(described))


def _verb(module: str, name: str) -> Callable[[Sequence[str]], None]:
    """A verb of one of the modules of verbs, imported when it is called."""

    def run(words: Sequence[str]) -> None:
        getattr(import_module(f"satgan.{module}"), name)(words)

    return run


TILES_VERBS = {
    "cut": Verb("cut rasters into a tile set", _verb("tiles_verbs", "tiles_cut")),
    "pack": Verb("pack a folder of tiles, or IDX files, into a tile set", _verb("tiles_verbs", "tiles_pack")),
    "inspect": Verb(
        "judge the tiles of a set or folder, and draw them by reason", _verb("tiles_verbs", "tiles_inspect")
    ),
    "show": Verb("show what a tile set holds", _verb("tiles_verbs", "tiles_show")),
}
VERBS = {
    "describe": Verb("layers, parameters, FLOPs and memory of a preset's networks", _describe),
    "train": Verb("train, or resume; without --tiles on embedded NASA Blue Marble imagery", _train),
    "runs": Verb("list the runs of a store: state, step, best score, age, size", _verb("runs_verbs", "runs")),
    "prune": Verb(
        "show, then remove, checkpoints that are neither newest nor best, unfinished or corrupt",
        _verb("runs_verbs", "prune"),
    ),
    "sample": Verb("draw new tiles from a checkpoint", _verb("gallery_verbs", "sample")),
    "walk": Verb("draw how tiles turn into others, as a moving picture or strips", _verb("gallery_verbs", "walk")),
    "film": Verb("show the training of a run as a time lapse", _verb("gallery_verbs", "film")),
    "mosaic": Verb("draw a large sheet of tiles", _verb("gallery_verbs", "mosaic")),
    "export": Verb("write the generator as TorchScript, ONNX or safetensors", _verb("gallery_verbs", "export")),
    "judge": Verb("score tiles or a checkpoint against real tiles", _verb("judge_verb", "judge")),
    "features": Verb("write what the discriminator sees in tiles", _verb("gallery_verbs", "features")),
    "probe": Verb("how well classes of tiles are told by these features", _verb("gallery_verbs", "probe")),
}

if __name__ == "__main__":
    sys.exit(main())
