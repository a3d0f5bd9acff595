"""The verbs `satgan submit train|sweep` and `satgan jobs list|show|stop|watch`: their options, and what they print."""

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from satgan.cluster.cluster_file import ClusterFile
from satgan.cluster.job_server import JobServer, cluster_file, job_server
from satgan.cluster.jobs import Job, check_end, find, follow, jobs_of, stop_job, submit_job
from satgan.cluster.prices import PRICES_DATE, PRICES_REGION, instances
from satgan.cluster.submission import Submission, head_price, submission, worker_price
from satgan.cluster.watch import watch
from satgan.config import load_config
from satgan.errors import ConfigError, nearest
from satgan.options import (
    DEFAULT_PRESET,
    Parser,
    add_config_options,
    config_from,
    file_named,
    forked_config_from,
    layers_from,
    train_parser,
)
from satgan.presets import PRESETS
from satgan.tiles.store import open_store
from satgan.train.watch import say_on_stderr

HEADINGS = ("job", "state", "run", "started (UTC)", "ended (UTC)")
SUBMITTED = ("train", "sweep")
ACTIONS = ("list", "show", "stop", "watch")
PRICES = ("head_price", "worker_price")
"""Those in the group `train`."""
DETACHED = "\nno longer followed; the job goes on: the same command follows it again, `satgan jobs stop {0}` stops it"


def submit(words: Sequence[str]) -> None:
    """Hands a run or a sweep in, and follows it."""
    parser = Parser(
        prog="satgan submit",
        usage="satgan submit [options] train|sweep …",
        description="train or sweep on a cluster. The job outlives this machine; the same command again follows it, or "
        "resumes the run when it has ended",
    )
    _add_cluster_options(parser)
    parser.add_argument("--prices", type=Path, metavar="FILE", help="YAML of instance types over the built-in table")
    parser.add_argument("--detach", action="store_true", help="do not follow the job")
    parser.add_argument("verb", choices=SUBMITTED, metavar="train|sweep", help="what, with its own options after it")
    place = next((number for number, word in enumerate(words) if word in SUBMITTED), len(words))
    given = parser.parse_all(words[: place + 1])
    what = _submission(given, words[place + 1 :])
    with _server(given) as server:
        job_id = submit_job(server, what, say_on_stderr)
        if given.detach:
            print(job_id)
        else:
            _follow(server, job_id)


def jobs(words: Sequence[str]) -> None:
    """Lists, shows, stops or watches jobs."""
    parser = Parser(prog="satgan jobs", description="a cluster's jobs: list them, show, stop or watch one")
    parser.add_argument("action", nargs="?", default="list", metavar="|".join(ACTIONS), help="default: list")
    parser.add_argument("job", nargs="?", metavar="JOB", help="a job's id, or the name or url of its run")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    _add_cluster_options(parser)
    given = parser.parse_all(words)
    if given.action not in ACTIONS:
        raise ConfigError(f"unknown: satgan jobs {given.action}", nearest(given.action, ACTIONS))
    if given.action != "list" and given.job is None:
        raise ConfigError(f"satgan jobs {given.action}: no JOB given", "give its id, or the name or url of its run")
    try:
        _act(given)
    except KeyboardInterrupt:
        say_on_stderr("\nno longer followed")


def _act(given: argparse.Namespace) -> None:
    url = given.job or ""
    if given.action != "watch" or "/" not in url:  # of a run's own url the store is all that is needed
        with _server(given) as server:
            known = jobs_of(server)
            if given.action == "list":
                print(json.dumps([job._asdict() for job in known], indent=2) if given.json else _table(known))
                return
            job = find(known, given.job)
            url = job.run
            if given.action == "show":
                _show(server, job, given.json)
            elif given.action == "stop":
                stop_job(server, job, say_on_stderr)
                ended = follow(server, job.id, _print, say_on_stderr)
                print(f"{ended.id} {ended.state}")
    if given.action == "watch":
        watch(open_store(url), print)


def train_submission(
    words: Sequence[str], cluster: Path | None = None, prices: Path | None = None,
    say: Callable[[str], None] = say_on_stderr,
) -> Submission:  # fmt: skip
    """The run that `satgan train WORDS` would train here, for a cluster.

    Args:
        words: after `train`.
        cluster: file with its machines, for the prices that neither `words` nor their --config name; None: no file.
        prices: file over the built-in table of instance types.
        say: told which prices were found, and which not.

    Raises:
        ConfigError: an option that cannot be, or not on a cluster.
    """
    parsed = train_parser(words).parse_all(words)
    if parsed.dry_run:
        raise ConfigError("--dry-run is not for a cluster", "give the same words to `satgan train`")
    words = [*words, *_price_options(parsed, cluster, prices, say)]
    parsed = train_parser(words).parse_all(words)
    config = forked_config_from(parsed)[0] if parsed.fork else config_from(parsed)
    train = config.train
    if train.workers is None:  # "one per GPU" would count the head's
        words = [*words, "--workers", "1" if train.lanes == 1 else f"1:{train.lanes}"]
    files = [parsed.config] if parsed.config else []
    return submission("train", words, train.store, train.name, config.tiles.source, files)


def sweep_submission(
    words: Sequence[str], cluster: Path | None = None, prices: Path | None = None,
    say: Callable[[str], None] = say_on_stderr,
) -> Submission:  # fmt: skip
    """The sweep that `satgan sweep WORDS` would make here, for a cluster; it looks at most of its words there.

    Args:
        words: after `sweep`.
        cluster, prices, say: see `train_submission`; a price is that of a whole GPU, of which a trial pays its share.

    Raises:
        ConfigError: no store, no space, or an option that cannot be on a cluster.
    """
    parser = Parser(prog="satgan sweep", add_help=False)
    parser.add_argument("--store", "--train.store", required=True)
    parser.add_argument("--tiles", "--tiles.source")
    parser.add_argument("--name", "--train.name")
    parser.add_argument("--config", type=Path)
    given, others = parser.parse_known_args(words)
    space = next((Path(word) for word in others if word.endswith((".yaml", ".yml"))), None)
    if space is None:
        raise ConfigError("satgan sweep: no space", "give its YAML file, such as tune/spaces/learning_rates.yaml")
    files = [space, given.config] if given.config else [space]
    if cluster is not None:
        words = [*words, *_price_options(_config_options(words), cluster, prices, say)]
    words = [*words, "--resume"]  # the same command again finishes it
    return submission("sweep", words, given.store, given.name or space.stem, given.tiles, files)


def _config_options(words: Sequence[str]) -> argparse.Namespace:
    """The preset and the options of the config tree among the words of a sweep."""
    parser = Parser(prog="satgan sweep", add_help=False)
    add_config_options(parser, words)
    found, _ = parser.parse_known_args(words)
    found.preset = next((word for word in words if word in PRESETS), DEFAULT_PRESET)  # others may stand at its place
    return found


def _submission(given: argparse.Namespace, words: Sequence[str]) -> Submission:
    file = cluster_file(given.address, given.cluster)
    if given.prices and file is None:
        raise ConfigError("--prices is for the machines of a cluster file", "leave it out")
    return (train_submission if given.verb == "train" else sweep_submission)(words, file, given.prices)


def _price_options(
    parsed: argparse.Namespace, cluster: Path | None, prices: Path | None, say: Callable[[str], None]
) -> list[str]:
    """Options for those prices that neither the words nor their --config name."""
    missing, has_budget = _unpriced(parsed)
    if cluster is None or not missing:
        return []
    file, table, found = ClusterFile(cluster), instances(prices), list[str]()
    by = f"{prices} over " if prices else ""
    for field in missing:
        option = f"--train.{field.replace('_', '-')}"
        try:
            is_head = field == "head_price"
            price = head_price(file, table) if is_head else worker_price(file, table, is_dearest=has_budget)
        except ConfigError as error:
            if has_budget:
                raise ConfigError(f"--budget, but no price: {error.found}", f"{error.remedy}, or {option}") from None
            say(f"no {option}: {error.found}; what the run costs is told without it. {error.remedy}, or {option}")
            continue
        if price:
            found += [option, f"{price.dollars_per_hour:g}"]
            say(f"{' '.join(found[-2:])}: {price.machine}, by {by}the prices of {PRICES_REGION} on {PRICES_DATE}")
    return found


def _unpriced(parsed: argparse.Namespace) -> tuple[list[str], bool]:
    """The prices that are not given, and whether there is a budget."""
    layers = layers_from(parsed)
    stand_in = {"train": dict.fromkeys(PRICES, 1)}  # a budget without a price is refused once they were looked for
    with file_named(parsed):
        budget = load_config(parsed.preset, stand_in, *layers).train.budget
    named = {field for layer in layers for field in layer.get("train", {})}
    return [field for field in PRICES if field not in named], budget is not None


def _add_cluster_options(parser: Parser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--cluster", type=Path, metavar="FILE", help="of `ray up`; an ssh tunnel leads there (default: cluster.yaml)"
    )
    where.add_argument(
        "--address", metavar="URL", help="of a job server that needs no tunnel, such as http://127.0.0.1:8265 "
        "(default: RAY_API_SERVER_ADDRESS, else the tunnel)",
    )  # fmt: skip


def _server(given: argparse.Namespace) -> AbstractContextManager[JobServer]:
    return job_server(given.address, given.cluster, say_on_stderr)


def _follow(server: JobServer, job_id: str) -> None:
    try:
        job = follow(server, job_id, _print, say_on_stderr)
    except KeyboardInterrupt:
        say_on_stderr(DETACHED.format(job_id))
        return
    check_end(job)


def _print(text: str) -> None:
    print(text, end="", flush=True)


def _show(server: JobServer, job: Job, as_json: bool) -> None:
    if as_json:
        print(json.dumps(job._asdict(), indent=2))
        return
    for name, value in job._asdict().items():
        if value:
            print(f"{name}: {value}")
    print(server.client().get_job_logs(job.id)[-3000:], end="")


def _table(known: list[Job]) -> str:
    rows = [HEADINGS, *((job.id, job.state, job.run, job.started, job.ended) for job in known)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
