"""A sweep as it is planned and recorded: STORE/NAME/sweep.yaml, beside the trials, which are ordinary runs."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import yaml

from satgan.config import Config
from satgan.errors import CheckpointError, ConfigError, InputError, require_extra
from satgan.judge.description import SMALLEST_SIZE
from satgan.kinds import FEWEST_JUDGED
from satgan.provenance import versions
from satgan.tiles.store import Store, open_store
from satgan.tiles.tile_set import open_tile_set
from tune.space import Space
from tune.trials import Base, Trial

SWEEP_NAME, TRIALS_FOLDER = "sweep.yaml", "trials"
EARLY_STOP_NAME = "stopped_early.json"
"""In the folder of a trial that was ended early: at which step, and by which rule."""

Stop = Literal["none", "asha", "median"]
STOPS: tuple[Stop, ...] = get_args(Stop)


class Plan(NamedTuple):
    """All that a sweep follows from.

    name         its folder in the store
    base_config  the setting that is compared with, complete: tile set and store stand in it as absolute places
    base         the same as preset and layers, on which trials are put
    seeds        of the trials
    seed         of what is drawn
    stop         the rule that ends poor trials early
    gpus         how much of a GPU a trial computes on; 0: on the CPU; None: one where the cluster has any
    cpus         cores that are set aside for a trial's process
    workers      under Ray Train, of each trial; 0: the trial's own process computes
    """

    name: str
    base_config: Config
    base: Base
    space: Space
    seeds: tuple[int, ...]
    seed: int
    stop: Stop
    gpus: float | None
    workers: int
    cpus: float = 1.0

    @property
    def url(self) -> str:
        """Folder or prefix of the sweep."""
        return f"{self.base_config.train.store.rstrip('/')}/{self.name}"

    @property
    def trials_url(self) -> str:
        """The store of its trials."""
        return f"{self.url}/{TRIALS_FOLDER}"

    @property
    def is_adaptive(self) -> bool:
        """Whether what happens depends on the scores of other trials."""
        return self.stop != "none" or self.space.search in ("tpe", "pbt")

    def trial(self, given: Mapping[str, Any], seed: int) -> Trial:
        """The trial of a setting and a seed."""
        return self.base.trial(self.space, given, seed)


def check_can_judge(config: Config, found: int) -> None:
    """A sweep ranks by the judge's score: it must have one.

    Args:
        config: of the base setting.
        found: tiles that there are.

    Raises:
        InputError: nothing would be judged.
    """
    tiles = min(config.judge.tiles, found // 2)
    if tiles < FEWEST_JUDGED:
        raise InputError(
            f"a sweep ranks trials by the judge's score, which takes {FEWEST_JUDGED} tiles a side; --judge.tiles is "
            f"{config.judge.tiles}, and half of {config.tiles.source} has {found // 2}",
            f"give --judge.tiles {FEWEST_JUDGED} or more, and a larger tile set",
        )
    if config.gan.size < SMALLEST_SIZE:
        found_size = f"tiles of {config.gan.size} pixels; the judge takes {SMALLEST_SIZE} or more"
        raise InputError(found_size, "sweep over larger tiles: a sweep ranks trials by the judge's score")


def record(plan: Plan, trials: Sequence[str], resume: bool) -> bool:
    """Writes sweep.yaml, or compares with the one that is there; returns whether there was one.

    Args:
        plan: what is to be done.
        trials: names of those that are known in advance.
        resume: whether a sweep of this name may be there.

    Raises:
        InputError: there is one, and `resume` was not given.
        CheckpointError: it was started with other settings; every difference is listed.
        StoreError: it cannot be written.
    """
    store = open_store(plan.url)
    there = store.exists(SWEEP_NAME)
    if there and not resume:
        raise InputError(f"there is a sweep in {plan.url}", "--resume finishes it; or give another --name")
    now = _identity(plan)
    if there:
        before = read_record(store)["settings"]
        changed = [f"  {name}: {before.get(name)} before, {now[name]} now" for name in now
                   if before.get(name) != now[name]]  # fmt: skip
        if changed:
            listed = "\n".join(changed)
            found = f"{plan.url} was started with other settings:\n{listed}"
            raise CheckpointError(found, "give the former ones to finish it, or another --name for a new sweep")
    about = {"settings": now, "trials": list(trials), "steps": plan.base_config.train.steps, "versions": versions()}
    store.write(SWEEP_NAME, yaml.safe_dump(about, sort_keys=False, allow_unicode=True).encode())
    return there


def read_record(store: Store) -> dict[str, Any]:
    """What sweep.yaml tells: settings, trials (names that were known in advance), steps, versions.

    Raises:
        CheckpointError: it is none.
    """
    try:
        told: dict[str, Any] = yaml.safe_load(store.read(SWEEP_NAME))
        _ = told["settings"]["options"], told["trials"], int(told["steps"])
        return told
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        found = f"{store.url}/{SWEEP_NAME} is not a sweep's record: {type(error).__name__} {error}"
        raise CheckpointError(found, "restore the file, or sweep anew under another --name") from None


def check_search(
    space: Space, stop: Stop, seeds: Sequence[int], workers: int, most_at_once: int | None, gpus: float | None
) -> None:  # fmt: skip
    """Some ways to search do not go together.

    Raises:
        ConfigError: with the reason.
        InputError: the package of a search is not installed.
    """
    if space.search == "tpe":
        require_extra("optuna", "optuna", "search: tpe", "take --search random")
    if workers > 1 and gpus is not None:
        found = f"--gpus-per-trial {gpus:g} with {workers} workers per trial: each of them takes a GPU of its own"
        raise ConfigError(found, "leave --gpus-per-trial out, or take --workers-per-trial 1")
    if space.search == "pbt" and workers > 1:
        raise ConfigError(
            f"population based training with {workers} workers per trial: Ray Tune holds no checkpoint of trials that "
            "run under Ray Train, and skips every exploit without a word",
            "take --workers-per-trial 1, or --search random, tpe or grid",
        )
    if space.search == "pbt" and stop != "none":
        raise ConfigError(f"--stop {stop} with population based training", "leave --stop out: it replaces poor members")
    if space.search == "pbt" and most_at_once:
        found = f"--max-concurrent {most_at_once} with population based training"
        raise ConfigError(found, "leave it out: its members take turns on what room there is")
    fixed = [option for option in space.options if not option.startswith("recipe.") or "history" in option]
    if space.search == "pbt" and fixed:
        found = f"population based training cannot change {', '.join(fixed)} amid a run: the weights would not fit"
        raise ConfigError(found, "vary other options of recipe, or take --search random, tpe or grid")
    if space.search == "tpe" and stop != "none" and len(seeds) > 1:
        raise ConfigError(
            f"--stop {stop} with TPE and {len(seeds)} seeds: TPE learns from the mean over the seeds, which is none "
            "where some were stopped early",
            "give one seed, or leave --stop out",
        )


def _identity(plan: Plan) -> dict[str, Any]:
    """Flat, so that differences can be listed."""
    config = plan.base_config
    numbers = config.numbers()
    base = {f"{group}.{field}": value for group, fields in numbers.items() for field, value in fields.items()}
    space = plan.space.as_dict()
    assert config.tiles.source is not None
    return {
        "options": list(plan.space.options), "search": space["search"], "vary": space["vary"], "stop": plan.stop,
        "seeds": list(plan.seeds), "tile set": open_tile_set(config.tiles.source).digest,
        "train.steps": config.train.steps, "train.checkpoint_steps": config.train.checkpoint_steps,
        "judge.tiles": config.judge.tiles, **base, "train.seed": plan.seed,
    }  # fmt: skip
