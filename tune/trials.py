"""From a space to trials: pure functions. A trial is a config with its seed, and its name follows from these alone."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from satgan.config import Config, load_config
from satgan.errors import ConfigError
from satgan.randomness import Purpose, generator
from tune.space import Parameter, Space, layer, of

NAME_CHARACTERS = 100
DRAWS_PER_TRIAL = 20
"""Draws after which a space of few values is taken to have no more of them."""

Given = dict[str, Any]
"""By option: a value or factor of the space; empty for the base setting."""


class Trial(NamedTuple):
    """One run of a sweep: `values` by option as its config has them."""

    name: str
    values: dict[str, Any]
    seed: int
    config: Config


class Base(NamedTuple):
    """What all trials share: a preset, and layers of options over it (see `load_config`), which are data."""

    preset: str
    layers: tuple[dict[str, dict[str, Any]], ...]

    def trial(self, space: Space, given: Mapping[str, Any], seed: int) -> Trial:
        """The trial of a setting and a seed.

        Raises:
            ConfigError: the values do not go together.
        """
        plain = {one.option: given[one.option] for one in space.parameters if one.option in given if not one.times_base}
        layers = (*self.layers, layer(plain))
        factors = [one for one in space.parameters if one.option in given and one.times_base]
        if factors:
            without = load_config(self.preset, *layers)
            scaled = {one.option: one.value(given[one.option], of(without, one.option)) for one in factors}
            layers = (*layers, layer(scaled))
        values = values_of(load_config(self.preset, *layers), space.options)
        return self.run(values, seed, trial_name(values, seed))

    def run(self, values: Mapping[str, Any], seed: int, name: str) -> Trial:
        """The trial of that name whose options have these values. Every checkpoint is written and judged: what a sweep
        finds shall depend on no clock."""
        train: dict[str, Any] = {"name": name, "seed": seed, "checkpoint_seconds": 0}
        last = {"train": train, "judge": {"wait": True}}
        return Trial(name, dict(values), seed, load_config(self.preset, *self.layers, layer(values), last))


def settings(space: Space, seed: int) -> list[Given]:
    """The settings of a grid, or so many drawn ones; first of all the base setting, with which all are compared.

    Args:
        space: whose search is grid, random or pbt.
        seed: of the drawing; more trials are the same ones and further ones.
    """
    if space.search == "grid":
        return [{}, *_grid(space.parameters)]
    drawn: dict[str, Given] = {}
    for number in range(space.trials * DRAWS_PER_TRIAL):
        given = _drawn(space.parameters, seed, number)
        drawn.setdefault(repr(given), given)
        if len(drawn) == space.trials:
            break
    return [{}, *drawn.values()]


def trials(base: Base, space: Space, all_settings: Sequence[Given], seeds: Sequence[int]) -> list[Trial]:
    """Every setting from every seed; all settings of the first seed come first. Equal ones are one trial.

    Raises:
        ConfigError: values of a setting do not go together.
    """
    found: dict[str, Trial] = {}
    for seed in seeds:
        for given in all_settings:
            try:
                trial = base.trial(space, given, seed)
            except ConfigError as error:
                shown = ", ".join(f"{option} = {value}" for option, value in given.items())
                raise ConfigError(f"the setting {shown or 'of the base'}: {error.found}", error.remedy) from None
            found.setdefault(trial.name, trial)
    return list(found.values())


def trial_name(values: Mapping[str, Any], seed: int) -> str:
    """Such as `glr_0.0003-dlr_0.0003-s1234`: options by their initials, where these tell them apart."""
    short = {option: _initials(option) for option in values}
    if len(set(short.values())) < len(short):
        short = {option: option.partition(".")[2] for option in values}
    text = "-".join(f"{short[option]}_{_text(value)}" for option, value in values.items())
    if len(text) > NAME_CHARACTERS:
        text = f"{text[:NAME_CHARACTERS]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return f"{text}-s{seed}"


def shown(value: Any) -> str:
    """A value for tables: `0.0003`, `192,96,48,24`."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def values_of(config: Config, options: Sequence[str]) -> dict[str, Any]:
    """The values that options have, as plain ones."""
    tree = config.model_dump(mode="json")
    return {option: tree[option.partition(".")[0]][option.partition(".")[2]] for option in options}


def _grid(parameters: Sequence[Parameter]) -> Iterator[Given]:
    options = [parameter.option for parameter in parameters]
    for point in product(*(parameter.numbers for parameter in parameters)):
        yield dict(zip(options, point, strict=True))


def _drawn(parameters: Sequence[Parameter], seed: int, number: int) -> Given:
    """In the order of the file; each number has its own stream, whatever the order there."""
    order = sorted(parameter.option for parameter in parameters)
    return {
        one.option: one.at(generator(seed, Purpose.SWEEP, step=number, lane=order.index(one.option)).random())
        for one in parameters
    }


def _initials(option: str) -> str:
    """glr of recipe.generator_learning_rate, gl2 of recipe.generator_l2."""
    return "".join(
        part if any(letter.isdigit() for letter in part) else part[0] for part in option.partition(".")[2].split("_")
    )


def _text(value: Any) -> str:
    text = ".".join(map(str, value)) if isinstance(value, list) else f"{value:.10g}" if isinstance(value, float) else ""
    return "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in text or str(value).lower())
