"""The command line: `satgan VERB …`. Exit status 0 done, 1 failed, 2 the user's input was refused.

Results go to stdout, progress and errors to stderr. Verbs import what they need when they are called.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from satgan.errors import ConfigError, SatganError, nearest


class Verb(NamedTuple):
    """A verb of the command line: words after it are parsed by its own parser."""

    about: str
    run: Callable[[Sequence[str]], None]


GREETING = """satgan trains a DCGAN on satellite tiles, on a laptop or on a Ray cluster.

  satgan train                              fakes of NASA's Blue Marble within minutes; then runs/demo/report.html
  satgan tiles cut aerial/*.tif tiles/mine  your own imagery as a tile set; then satgan train demo --tiles tiles/mine
  satgan doctor runs/demo                   what goes wrong with a config, a tile set or a run, and what to change

`satgan --help` lists everything, `satgan VERB --help` tells more; eval "$(satgan completion)" completes words."""


FILES_LEFT = "files that were finished stay"
LEFT = {
    "train": "the same command goes on from the newest checkpoint, or begins anew where none stands yet",
    "sweep": "the same command with --resume finishes it",
    "sample": "the same command goes on from the files that are there, or begins anew",
}
"""What a verb leaves that is interrupted."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit status."""
    words = sys.argv[1:] if words is None else words
    try:
        _dispatch(words)
    except SatganError as error:
        print(f"satgan: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print(f"\nsatgan: stopped before the end; {LEFT.get(next(iter(words), ''), FILES_LEFT)}", file=sys.stderr)
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
    if not words:
        print(GREETING)
    elif words[0] in ("-h", "--help"):
        print(_overview())
    elif words[0] == "--version":
        from satgan.train_verb import version

        print(version())
    elif words[0] in GROUPS:
        _dispatch_in(words[0], words[1:])
    elif words[0] in VERBS:
        VERBS[words[0]].run(words[1:])
    else:
        raise ConfigError(f"unknown verb: {words[0]}", nearest(words[0], [*VERBS, *GROUPS]))


def _dispatch_in(group: str, words: Sequence[str]) -> None:
    verbs = GROUPS[group]
    if words[:1] in ([], ["-h"], ["--help"]):
        print(_listed(f"usage: satgan {group} VERB …", verbs))
    elif words[0] in verbs:
        verbs[words[0]].run(words[1:])
    else:
        raise ConfigError(f"unknown verb: {group} {words[0]}", nearest(words[0], verbs))


def _overview() -> str:
    grouped = {f"{group} {name}": verb for group, verbs in GROUPS.items() for name, verb in verbs.items()}
    usage = "usage: satgan VERB …\n\nTrains a DCGAN on satellite tiles, on a laptop or on a Ray cluster."
    return _listed(usage, grouped | VERBS) + "\n\n`satgan VERB --help` tells more."


def _listed(head: str, verbs: dict[str, Verb]) -> str:
    width = max(map(len, verbs))
    return "\n".join([head, "", *(f"  {name:<{width}}  {verb.about}" for name, verb in verbs.items())])


def _parser(verb: str, table: dict[str, Verb], prog: str) -> Any:
    from satgan.options import Parser

    return Parser(prog=prog, description=table[verb].about)


def _completion(words: Sequence[str]) -> None:
    """Prints the shell's script; it asks `satgan VERB --help` for a verb's options, so it is never out of date."""
    _parser("completion", VERBS, "satgan completion").parse_all(words)
    groups = "".join(f"    {name}) told='{' '.join(verbs)}' ;;\n" for name, verbs in GROUPS.items())
    print(COMPLETION.format(verbs=" ".join([*VERBS, *GROUPS]), groups=groups, named="|".join(GROUPS)))


def _of(module: str, name: str) -> Callable[[Sequence[str]], None]:
    """A verb of `satgan.{module}`, imported when it is called."""

    def run(words: Sequence[str]) -> None:
        from importlib import import_module

        getattr(import_module(f"satgan.{module}"), name)(words)

    return run


COMPLETION = """[ -n "${{ZSH_VERSION:-}}" ] && autoload -U +X bashcompinit && bashcompinit
_satgan() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} verb=${{COMP_WORDS[1]}} told=
  if [ "$COMP_CWORD" = 1 ]; then
    told='{verbs} --help --version'
  elif [[ $word == -* ]]; then
    case $verb in {named}) verb="$verb ${{COMP_WORDS[2]}}" ;; esac
    told=$(satgan $verb --help 2>/dev/null | grep -oE -- '--[a-z0-9][a-z0-9.-]*' | sort -u)
  elif [ "$COMP_CWORD" = 2 ]; then
    case $verb in
{groups}    train|describe) told=$(satgan train --help 2>/dev/null | sed -n 's/^  PRESET  *//p' | tr -d ,) ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$told" -- "$word"))
}}
complete -o default -F _satgan satgan"""

TILES_VERBS = {
    "cut": Verb("cut rasters into a tile set", _of("tiles_verbs", "tiles_cut")),
    "pack": Verb("pack a folder of tiles, or IDX files, into a tile set", _of("tiles_verbs", "tiles_pack")),
    "inspect": Verb("judge the tiles of a set or folder, and draw them by reason", _of("tiles_verbs", "tiles_inspect")),
    "show": Verb("show what a tile set holds", _of("tiles_verbs", "tiles_show")),
}
CLUSTER_VERBS = {
    "check": Verb("what is wrong with a cluster file, before `ray up`", _of("cluster_verbs", "cluster_check")),
}
GROUPS = {"tiles": TILES_VERBS, "cluster": CLUSTER_VERBS}
VERBS = {
    "init": Verb("a folder for your own project: config, cluster file, spaces to search", _of("init_verb", "init")),
    "describe": Verb("layers, parameters, FLOPs and memory of a preset's networks", _of("train_verb", "describe")),
    "preflight": Verb(
        "what a run on a cluster will take: hours, bytes, memory, price", _of("cluster_verbs", "preflight")
    ),
    "train": Verb("train, or resume; without --tiles on embedded NASA Blue Marble imagery", _of("train_verb", "train")),
    "runs": Verb("list the runs of a store: state, step, best score, age, size", _of("runs_verbs", "runs")),
    "prune": Verb(
        "show, then remove, checkpoints that are neither newest nor best, unfinished or corrupt",
        _of("runs_verbs", "prune"),
    ),
    "sweep": Verb("try settings from several seeds with Ray Tune, and say which pay", _of("sweep_verbs", "sweep")),
    "best": Verb("rank the settings of a sweep: mean and spread over the seeds", _of("sweep_verbs", "best")),
    "pull": Verb(
        "fetch a checkpoint, verified: the generator for sampling, or all for resuming", _of("sweep_verbs", "pull")
    ),
    "submit": Verb(
        "train or sweep on a cluster: hand a job in, or follow the one that has the run", _of("jobs_verbs", "submit")
    ),
    "jobs": Verb("a cluster's jobs: list, show, stop, watch", _of("jobs_verbs", "jobs")),
    "sample": Verb("draw new tiles from a checkpoint", _of("gallery_verbs", "sample")),
    "walk": Verb("draw how tiles turn into others, as a moving picture or strips", _of("gallery_verbs", "walk")),
    "film": Verb("show the training of a run as a time lapse", _of("gallery_verbs", "film")),
    "mosaic": Verb("draw a large sheet of tiles", _of("gallery_verbs", "mosaic")),
    "export": Verb("write the generator as TorchScript, ONNX or safetensors", _of("gallery_verbs", "export")),
    "features": Verb("write what the discriminator sees in tiles", _of("gallery_verbs", "features")),
    "probe": Verb("how well classes of tiles are told by these features", _of("gallery_verbs", "probe")),
    "report": Verb("write a run's page: pictures, scores, losses, what happened, config", _of("train_verb", "report")),
    "judge": Verb("score tiles or a checkpoint against real tiles", _of("judge_verb", "judge")),
    "turing": Verb(
        "a page where people mark the fakes among real tiles; `turing score` adds up their answers",
        _of("turing_verb", "turing"),
    ),
    "doctor": Verb(
        "hold a config, a tile set or a run against the 45 rules; `doctor rules`, `doctor explain`",
        _of("doctor_verb", "doctor"),
    ),
    "log": Verb("the observation log of a store; `log show RUN`, `log add RUN`", _of("log_verbs", "log")),
    "note": Verb("add a note on a run to the log", _of("log_verbs", "note_verb")),
    "compare": Verb(
        "runs beside each other: settings, losses, scores, tiles of the same noise", _of("compare_verb", "compare")
    ),
    "todo": Verb("what to try: add, done, list", _of("log_verbs", "todo")),
    "completion": Verb('completes words in bash and zsh: eval "$(satgan completion)"', _completion),
}

if __name__ == "__main__":
    sys.exit(main())
