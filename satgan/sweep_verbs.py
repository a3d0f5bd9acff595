"""The verbs `satgan sweep SPACE`, `satgan best SWEEP` and `satgan pull PLACE`: their options, and what they print."""

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satgan.config import Config, load_config
from satgan.errors import ConfigError, InputError
from satgan.options import Parser, add_config_options, file_named, layers_from, seed_number
from satgan.train.watch import say_on_stderr

if TYPE_CHECKING:
    from tune.best import Standing
    from tune.plan import Plan
    from tune.table import Found

SEEDS = (1234, 1235, 1236)
PAGE_NAME, PARQUET_NAME = "sweep.html", "sweep.parquet"
TOP = 10


def sweep(words: Sequence[str]) -> None:
    """Runs a sweep, or what is missing of it; prints its ranking and where its page lies."""
    given = sweep_parser(words).parse_all(words)
    plan = plan_from(given)

    from tune.sweep import known_trials
    from tune.sweep import sweep as run

    if given.dry_run:
        for trial in known_trials(plan):
            print(trial.name)
        return
    found, stopped = run(plan, given.resume, given.max_concurrent, say_on_stderr)
    if stopped and all(row.score is None for row in found.rows):
        raise stopped
    write_results(found)
    _print_ranking(found, "score", TOP, given.json)
    if stopped:
        raise stopped


def best(words: Sequence[str]) -> None:
    """Ranks the settings of a sweep."""
    parser = Parser(prog="satgan best", description="rank the settings of a sweep: mean and spread over the seeds")
    parser.add_argument("sweep", metavar="SWEEP", help="folder or s3:// prefix of a sweep, or a store with one")
    parser.add_argument("--top", type=_count, metavar="K", help=f"so many settings (default: {TOP})", default=TOP)
    parser.add_argument(
        "--by", metavar="NAME", default="score",
        help="the best checkpoint's overall score; last: the last one's; or one of the judge's scores, as ratio, at "
        "the best checkpoint (default: score)",
    )  # fmt: skip
    parser.add_argument("--page", action="store_true", help=f"also write {PAGE_NAME} and {PARQUET_NAME} into the sweep")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)

    from tune.table import sweep_in

    found = sweep_in(given.sweep)
    if given.page:
        write_results(found)
    _print_ranking(found, given.by, given.top, given.json)


def pull(words: Sequence[str]) -> None:
    """Fetches a checkpoint into a local folder."""
    parser = Parser(prog="satgan pull", description="fetch a checkpoint: verified, whole or not there, resumable")
    parser.add_argument(
        "place", metavar="PLACE", help="a run, its best; with --best also a sweep or a store of runs; folder or s3://"
    )
    parser.add_argument(
        "--best",
        action="store_true",
        help="of a sweep the best setting's best trial, of a store the run of the best score",
    )
    parser.add_argument("--to", required=True, metavar="DIR", help="local folder; the same command again goes on")
    parser.add_argument(
        "--for", dest="purpose", choices=("sampling", "resuming"), default="sampling",
        help="sampling: the generator alone; resuming: a run that `satgan train` goes on with (default: sampling)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)

    from satgan.gallery.pull import pull as fetch

    run = _best_run(given.place) if given.best else given.place
    pulled = fetch(run, Path(given.to).expanduser(), given.purpose)
    print(json.dumps(pulled._asdict(), indent=2) if given.json else "\n".join(pulled.lines()))


def plan_from(given: Namespace) -> "Plan":
    """The plan that a command line gives: tiles and store are looked up, nothing is written into the sweep.

    Of a dry run nothing at all is written: folders and embedded tiles are not packed, and the plan is not to be run.

    Raises:
        SatganError: space, options, tiles or judge do not go together.
    """
    if getattr(given, "train.workers", None) is not None:
        raise ConfigError("--workers with a sweep", "say --workers-per-trial")
    from satgan.tiles.tile_set import open_tile_set
    from satgan.train.start import place
    from satgan.train.tile_source import look
    from tune.plan import Plan, check_can_judge, check_search
    from tune.space import check_space, read_space
    from tune.trials import Base

    space = read_space(given.space, given.search, given.trials)
    check_search(
        space, given.stop, given.seeds, given.workers_per_trial, given.max_concurrent, given.gpus_per_trial
    )  # fmt: skip
    workers = given.workers_per_trial if given.workers_per_trial > 1 else 0
    layers = (*layers_from(given), {"train": {"workers": workers}})
    with file_named(given):
        config = load_config(given.preset, *layers)
    try:
        check_space(space, given.preset, layers)
    except ConfigError as error:
        raise ConfigError(f"{given.space}: {error.found}", error.remedy) from None
    if given.dry_run:
        glance = look(config)
        found = glance.tiles if glance else config.judge.tiles * 2  # embedded sets have enough
    else:
        config, _ = place(config, say_on_stderr)
        found = open_tile_set(str(config.tiles.source)).manifest.tile_count
    check_can_judge(config, found)
    name = vars(given).get("train.name") or Path(given.space).stem
    tiles = {"source": config.tiles.source, "cache_folder": config.tiles.cache_folder}  # as absolute places
    train = {"store": _trials_store(config, name), "budget": None}  # it is the sweep's, not each trial's
    placed: dict[str, dict[str, Any]] = {"tiles": tiles, "train": train}
    return Plan(
        name, config, Base(given.preset, (*layers, placed)), space, tuple(given.seeds), config.train.seed, given.stop,
        given.gpus_per_trial, workers,
    )  # fmt: skip


def write_results(found: "Found") -> None:
    """Page and table into the sweep's folder; says where."""
    from satgan.tiles.store import open_store
    from tune.page import sweep_page
    from tune.parquet import parquet_bytes

    store = open_store(found.url)
    store.write(PARQUET_NAME, parquet_bytes(found))
    store.write(PAGE_NAME, sweep_page(found).encode())
    say_on_stderr(f"page: {found.url}/{PAGE_NAME}, table: {found.url}/{PARQUET_NAME}")


def sweep_parser(words: Sequence[str]) -> Parser:
    """The options of `satgan sweep`."""
    from tune.plan import STOPS
    from tune.space import DEFAULT_TRIALS, SEARCHES

    parser = Parser(
        prog="satgan sweep",
        description="try the settings of a space from several seeds, the base setting (preset and options) among them; "
        "each trial is an ordinary run in STORE/NAME/trials; --budget is of all trials together",
    )
    parser.add_argument("space", metavar="SPACE", type=Path, help="YAML file, such as tune/spaces/learning_rates.yaml")
    parser.add_argument(
        "--trials", type=_count, metavar="N",
        help=f"settings beside the base, from every seed; pbt: members (default: the space's, or {DEFAULT_TRIALS})",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=_seeds, default=SEEDS, metavar="N,N,…", help=f"(default: {','.join(map(str, SEEDS))})"
    )
    parser.add_argument("--search", choices=SEARCHES, help="in place of the space's; tpe takes Optuna")
    parser.add_argument(
        "--stop",
        choices=STOPS,
        default="none",
        help="what ends poor trials early, by the judge's score (default: none)",
    )
    parser.add_argument(
        "--gpus-per-trial", type=_share, metavar="X",
        help="how much of a GPU, and of its memory, a trial takes: 0.25 puts four on one (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--workers-per-trial", type=_count, default=1, metavar="N", help="above 1 under Ray Train (default: 1)"
    )
    parser.add_argument("--max-concurrent", type=_count, metavar="N", help="trials at a time (default: all with room)")
    parser.add_argument("--resume", action="store_true", help="finish a sweep, only what is missing; or begin it")
    parser.add_argument("--dry-run", action="store_true", help="check all, print the names of the trials, and stop")
    parser.add_argument("--json", action="store_true", help="the ranking as JSON")
    add_config_options(parser, words)
    return parser


def _trials_store(config: Config, name: str) -> str:
    from tune.plan import TRIALS_FOLDER

    return f"{config.train.store.rstrip('/')}/{name}/{TRIALS_FOLDER}"


def _best_run(url: str) -> str:
    """Of a sweep or of a store of runs."""
    from satgan.train.runs import about, runs_in
    from tune.best import standings
    from tune.table import sweep_in

    try:
        return standings(sweep_in(url))[0].trials[0].url
    except InputError as no_sweep:
        try:
            runs = [run for run in map(about, runs_in(url)) if run.score is not None]
        except InputError:
            raise no_sweep from None
    if not runs:
        raise InputError(f"no run of {url} was judged", "give the folder of a run, without --best")
    if len(numbers := {run.tiles for run in runs}) > 1:
        told = ", ".join(f"{run.name} {run.score:.2f} by {run.tiles} tiles" for run in runs)
        raise InputError(f"scores by {len(numbers)} different numbers of tiles do not compare: {told}", "name the run")
    return min(runs, key=lambda run: run.score or 0.0).url


def _print_ranking(found: "Found", by: str, top: int, as_json: bool) -> None:
    from tune.best import judged_by, standings, table, verdicts

    ranked = standings(found, by)
    if as_json:
        told = {"sweep": found.url, "by": by, "ranking": [_as_dict(one) for one in ranked[:top]]}
        print(json.dumps(told | {"verdicts": verdicts(found)}, indent=2))
        return
    print(table(ranked, found.options, top))
    print("\n".join(["", *filter(None, [judged_by(found)]), *verdicts(found)]))


def _as_dict(one: "Standing") -> dict[str, Any]:
    trials = [{"trial": row.trial, "run": row.url, "seed": row.seed, "state": row.state, "score": row.score,
               "judged_tiles": row.tiles, "best_step": row.best_step} for row in one.trials]  # fmt: skip
    mean = one.mean if one.scores else None
    return {"values": one.values, "mean": mean, "spread": one.spread, "whole": one.whole, "trials": trials}


def _count(text: str) -> int:
    if int(text) < 1:
        raise ValueError
    return int(text)


def _share(text: str) -> float:
    share = float(text)
    if not (0 <= share <= 1):
        raise ValueError
    return share


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(map(seed_number, text.split(","))))


_count.__name__, _share.__name__, _seeds.__name__ = "number (1 or more)", "share (0 to 1)", "list of seeds"
