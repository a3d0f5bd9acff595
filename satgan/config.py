"""One validated tree of options. Layers, the later wins: preset, `--config` file, options.

The options themselves, group by group, are in satgan/groups.py.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, model_validator

from satgan.errors import ConfigError, nearest
from satgan.groups import GanConfig, Group, JudgeConfig, RecipeConfig, TilesConfig, TrainConfig
from satgan.kinds import MOST_CHANNELS, refusal_of
from satgan.presets import NETWORKS, PRESETS
from satgan.scaling import RATES_AT_64, STEMS, doublings, filters_for, ladder_of, learning_rate, stem_of


class Config(Group):
    """The whole tree."""

    tiles: TilesConfig = TilesConfig()
    gan: GanConfig = GanConfig()
    recipe: RecipeConfig = RecipeConfig()
    train: TrainConfig = TrainConfig()
    judge: JudgeConfig = JudgeConfig()

    @model_validator(mode="after")
    def _history_fits(self) -> "Config":
        recipe, batch = self.recipe, self.train.lane_batch
        if recipe.history_share and recipe.history_capacity < batch:
            raise ValueError(
                f"recipe.history_capacity = {recipe.history_capacity} is less than train.lane_batch = {batch}, so no "
                f"batch of past fakes could be picked: take --recipe.history-capacity {8 * batch}, or "
                "--recipe.history-share 0"
            )
        return self

    @model_validator(mode="after")
    def _budget_has_a_price(self) -> "Config":
        if self.train.budget is not None and not self.train.worker_price + self.train.head_price:
            raise ValueError(
                f"train.budget = {self.train.budget:g} USD, but no price: give --train.worker-price (USD per hour and "
                "worker); `satgan submit --cluster FILE` finds it"
            )
        return self

    def numbers(self) -> dict[str, Any]:
        """The part that the run's numbers follow from: everything but where, how long, how fast and how often shown."""
        tree = self.model_dump(mode="json")
        for path in FREE_OPTIONS:
            group, field = path.split(".")
            del tree[group][field]
        return tree

    def digest(self) -> str:
        """sha256 of `numbers()`, in hex."""
        return hashlib.sha256(json.dumps(self.numbers(), sort_keys=True).encode()).hexdigest()


FREE_OPTIONS = (
    "tiles.source", "tiles.prefetch_steps", "tiles.connections", "tiles.memory_megabytes",
    "tiles.cache", "tiles.cache_folder",
    "tiles.connect_timeout_seconds", "tiles.read_timeout_seconds", "tiles.attempts", "gan.preset",
    "train.name", "train.store", "train.steps", "train.budget_hours", "train.workers",
    "train.restarts", "train.hang_seconds", "train.start_seconds", "train.resize_seconds",
    "train.log_steps", "train.film_steps", "train.loggers",
    "train.checkpoint_steps", "train.checkpoint_seconds", "train.keep_checkpoints", "train.keep_best", "train.on_nan",
    "train.rollbacks", "train.worker_price", "train.head_price", "train.budget", "judge.tiles", "judge.wait",
)  # fmt: skip
"""Options that may differ when a run is resumed: no number of any step depends on them, until a run that diverged is
rolled back; from there on the numbers depend on which checkpoint it went back to, too."""


def by_name(tree: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every option of a config's tree by its name, `group.field`."""
    return {f"{group}.{field}": value for group, fields in tree.items() for field, value in fields.items()}


def changes(
    before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[Any, Any]]:
    """Options that `now` has with another value, by name: (before, now); None for one that was not there."""
    first, second = by_name(before), by_name(now)
    return {name: (first.get(name), value) for name, value in second.items() if first.get(name) != value}


def load_config(preset: str, *layers: Mapping[str, Mapping[str, Any]]) -> Config:
    """The complete, validated config.

    Args:
        preset: name of a preset; it names the run, the networks and their training.
        layers: `{group: {field: value}}`, the later wins: the `--config` file, then the options. `gan.preset` in a
            layer puts that preset's networks under the layer's other fields.

    Raises:
        ConfigError: unknown preset, group or field (the nearest name is suggested), or an impossible value.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}", nearest(preset, PRESETS))
    merged: dict[str, dict[str, Any]] = {group: {} for group in Config.model_fields}
    for layer in ({"gan": {"preset": preset}}, PRESETS[preset], *layers):
        for group, fields in _checked_names(layer).items():
            networks = str(fields["preset"]) if group == "gan" and "preset" in fields else None
            if networks is not None and networks not in NETWORKS:
                raise ConfigError(f"unknown networks: gan.preset = {networks!r}", nearest(networks, NETWORKS))
            named = {} if networks is None else NETWORKS[networks] | {"filters": ()}
            merged[group] |= {**named, **fields}
    for name in RATES_AT_64:
        if merged["recipe"].get(name) in (None, "none"):
            merged["recipe"].pop(name, None)
    try:
        return _with_rates(Config.model_validate(merged))
    except ValidationError as error:
        raise ConfigError(_told(error), "correct it; `satgan train --help` lists every option") from None


def networks_for(gan: GanConfig, size: int, channels: int) -> str:
    """What to do where tiles are of another size or other channels than the networks make: options, or a preset."""
    stem = stem_of(size)
    if stem is None:
        sizes = " or ".join(f"{stem} · 2ⁿ" for stem in STEMS)
        return f"cut the tiles anew, or enlarge them: networks make sizes of {sizes} pixels, such as --size 64"
    if channels > MOST_CHANNELS:
        return f"cut the tiles anew with fewer bands (--bands): networks take 1 to {MOST_CHANNELS} channels"
    base = NETWORKS[gan.preset]
    own_filters = gan.filters != filters_for(base["filters"], base["kernel_size"], gan.kernel_size, gan.doublings)
    options = f"--gan.size {size} --gan.channels {channels}"
    if stem != gan.stem:
        exact = [name for name, one in NETWORKS.items() if (one["size"], one["channels"]) == (size, channels)]
        is_as_named = all(getattr(gan, name) == base[name] for name in ("size", "channels", "stem"))
        if exact and is_as_named and not own_filters:
            return f"take the preset {' or '.join(exact)} instead of {gan.preset}"
        options = f"--gan.stem {stem} {options}"
    if own_filters:
        options += f" --gan.filters {','.join(map(str, ladder_of(gan.filters, doublings(size, stem))))}"
    wider = "the preset demo instead of digits, with " if stem != gan.stem and gan.preset == "digits" else ""
    return f"take {wider}{options}, or cut the tiles anew"


def _with_rates(config: Config) -> Config:
    """The config with the rates that were not given, by the law (S31), so that what is recorded has numbers."""
    batch = config.train.lanes * config.train.lane_batch
    missing = RATES_AT_64.keys() - config.recipe.model_fields_set
    rates = {name: learning_rate(name, batch) for name in missing}
    return config.model_copy(update={"recipe": config.recipe.model_copy(update=rates)})


def _checked_names(layer: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """The layer itself, once its group and field names are known ones."""
    groups = Config.model_fields
    for group, fields in layer.items():
        if group not in groups:
            raise ConfigError(f"unknown group {group!r} in the config", nearest(str(group), groups))
        if not isinstance(fields, Mapping):
            raise ConfigError(f"group {group!r} holds {fields!r}", "write fields and their values below the group")
        known = groups[group].annotation.model_fields  # type: ignore[union-attr]
        for field in fields:
            if field not in known:
                raise ConfigError(f"unknown option {group}.{field}", nearest(str(field), known))
    return layer


def _told(error: ValidationError) -> str:
    """pydantic's findings as lines `group.field = value: what is wrong`."""
    lines = []
    for found in error.errors():
        path = ".".join(str(part) for part in found["loc"])
        text = refusal_of(found)
        shown = "" if isinstance(found["input"], dict) else f" = {found['input']!r}"
        lines.append(f"{path}{shown}: {text}" if path else text)  # a rule on several groups names them itself
    return "\n".join(lines)
