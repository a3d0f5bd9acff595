"""What a sweep varies: a short YAML file, checked against the config tree before anything starts.

search: random                     # grid, random, tpe or pbt; without it grid where all are lists, else random
trials: 12                         # settings that are tried; a grid has its own number
vary:
  recipe.generator_l2: [0, 1.0e-5, 1.0e-4]
  recipe.path_threshold: {uniform: [0.4, 1.0]}
  recipe.generator_learning_rate: {log_uniform: [0.25, 8], times: base}
  gan.filters: {values: [0.5, 1, 2], times: base}

With `times: base` the numbers are factors on what the option has without it: by preset, --config and options; a rate
that these leave open follows the trial's global batch (S31), filters that they leave open its kernel (S20).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import yaml

from satgan.config import FREE_OPTIONS, Config, load_config
from satgan.errors import ConfigError, nearest

Search = Literal["grid", "random", "tpe", "pbt"]
Kind = Literal["values", "uniform", "log_uniform"]
SEARCHES: tuple[Search, ...] = get_args(Search)
KINDS: tuple[Kind, ...] = get_args(Kind)
DIGITS = 4
"""Numbers that are drawn or multiplied are rounded to so many digits, so that names and tables tell them exactly."""

DEFAULT_TRIALS = 12


class Parameter(NamedTuple):
    """One option that is varied.

    option      `group.field` of the config tree
    kind        of `numbers`: a list to choose from, or the two ends of a range
    numbers     values, factors, or the ends
    times_base  whether they are factors
    """

    option: str
    kind: Kind
    numbers: tuple[Any, ...]
    times_base: bool = False

    def at(self, share: float) -> Any:
        """What lies at a share, from 0 to below 1, of the way through."""
        if self.kind == "values":
            return self.numbers[int(share * len(self.numbers))]
        low, high = self.numbers
        if self.kind == "log_uniform":
            return rounded(math.exp(math.log(low) + share * (math.log(high) - math.log(low))))
        return rounded(low + share * (high - low))

    def given(self, coordinate: Any) -> Any:
        """What a searcher's coordinate stands for: the place in a list, or a number of the range."""
        if self.kind == "values":
            return self.numbers[int(coordinate)]
        return rounded(min(max(float(coordinate), self.numbers[0]), self.numbers[1]))

    def value(self, given: Any, base: Any) -> Any:
        """The option's value, where `base` is the one that it has by itself."""
        if not self.times_base:
            return given
        if isinstance(base, (tuple, list)):
            return [max(1, round(given * entry)) for entry in base]
        return round(given * base) if isinstance(base, int) else rounded(given * base)


class Space(NamedTuple):
    """A space file."""

    search: Search
    trials: int
    parameters: tuple[Parameter, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """What is varied."""
        return tuple(parameter.option for parameter in self.parameters)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a sweep's record."""
        vary = {one.option: {"kind": one.kind, "numbers": list(one.numbers), "times_base": one.times_base}
                for one in self.parameters}  # fmt: skip
        return {"search": self.search, "vary": vary}


def rounded(number: float) -> float:
    """In four digits."""
    return float(f"{number:.{DIGITS}g}")


def read_space(path: Path, search: str | None = None, trials: int | None = None) -> Space:
    """The space of a file.

    Args:
        path: of the file.
        search: in place of the file's.
        trials: in place of the file's.

    Raises:
        ConfigError: it cannot be read, is empty, or says what no option or search has; the nearest name is told.
    """
    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the space {path} cannot be read: {error}", "give a YAML file like tune/spaces/*") from None
    if not isinstance(tree, dict) or not tree.get("vary"):
        found = f"the space {path} varies nothing"
        raise ConfigError(found, "write `vary:` and below it options with lists or ranges, as in tune/spaces/*.yaml")
    given = tree | {name: value for name, value in (("search", search), ("trials", trials)) if value is not None}
    try:
        return space_from(given)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.found}", error.remedy) from None


def space_from(tree: Mapping[str, Any]) -> Space:
    """The space that a file's tree tells.

    Raises:
        ConfigError: as `read_space`.
    """
    for name in tree:
        if name not in ("search", "trials", "vary"):
            raise ConfigError(f"unknown entry {name!r}", nearest(str(name), ("search", "trials", "vary")))
    if not isinstance(tree["vary"], Mapping):
        raise ConfigError(f"vary = {tree['vary']!r}", "write an option and its values on each line below `vary:`")
    parameters = tuple(_parameter(str(option), about) for option, about in tree["vary"].items())
    search = tree.get("search") or ("grid" if _all_lists(parameters) else "random")
    if search not in SEARCHES:
        raise ConfigError(f"unknown search {search!r}", nearest(str(search), SEARCHES))
    if search == "grid" and not _all_lists(parameters):
        ranges = ", ".join(one.option for one in parameters if one.kind != "values")
        raise ConfigError(f"a grid of ranges: {ranges}", "give lists of values, or search: random")
    if search == "grid" and tree.get("trials"):
        raise ConfigError("a grid has all its settings: trials is not for it", "leave trials out, or search: random")
    trials = tree.get("trials", DEFAULT_TRIALS)
    if not isinstance(trials, int) or trials < 1:
        raise ConfigError(f"trials = {trials!r}", "give a number of settings, 1 or more")
    return Space(search, trials, parameters)


def check_space(space: Space, preset: str, layers: Sequence[Mapping[str, Any]]) -> None:
    """Every option with its first and last values must be one that the config tree takes.

    Raises:
        ConfigError: it does not.
    """
    base = load_config(preset, *layers)
    for parameter in space.parameters:
        for given in dict.fromkeys(map(_hashable, parameter.numbers)):
            value = list(given) if isinstance(given, tuple) else given
            load_config(preset, *layers, layer({parameter.option: parameter.value(value, of(base, parameter.option))}))


def layer(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"group.field": value}` as a layer of the config."""
    tree: dict[str, dict[str, Any]] = {}
    for option, value in values.items():
        group, _, field = option.partition(".")
        tree.setdefault(group, {})[field] = value
    return tree


def of(config: Config, option: str) -> Any:
    """The value that an option has."""
    group, _, field = option.partition(".")
    return getattr(getattr(config, group), field)


def _all_lists(parameters: Sequence[Parameter]) -> bool:
    return all(parameter.kind == "values" for parameter in parameters)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _parameter(option: str, about: Any) -> Parameter:
    _check_option(option)
    if isinstance(about, list):
        about = {"values": about}
    if not isinstance(about, Mapping):
        raise ConfigError(f"{option}: {about!r}", "give a list of values, or a range such as {log_uniform: [1, 10]}")
    for name in about:
        if name not in (*KINDS, "times"):
            raise ConfigError(f"{option}: unknown {name!r}", nearest(str(name), (*KINDS, "times")))
    kinds = [kind for kind in KINDS if kind in about]
    if len(kinds) != 1 or not isinstance(about[kinds[0]], list) or not about[kinds[0]]:
        raise ConfigError(f"{option}: {dict(about)!r}", f"give one of {', '.join(KINDS)} with a list in brackets")
    if about.get("times", "base") != "base":
        raise ConfigError(f"{option}: times: {about['times']!r}", "write `times: base`, or leave it out")
    numbers = tuple(_number(entry) for entry in about[kinds[0]])
    parameter = Parameter(option, kinds[0], numbers, "times" in about)
    _check_numbers(parameter)
    return parameter


def _check_option(option: str) -> None:
    known = [f"{group}.{field}" for group, about in Config.model_fields.items()
             for field in about.annotation.model_fields]  # type: ignore[union-attr]  # fmt: skip
    if option not in known:
        raise ConfigError(f"unknown option {option}", nearest(option, known))
    if option in FREE_OPTIONS or option == "train.seed":
        why = "seeds are given with --seeds" if option == "train.seed" else "no number of a run depends on it"
        raise ConfigError(f"{option} cannot be varied: {why}", "vary options of gan, recipe, or train.lane_batch")


def _check_numbers(parameter: Parameter) -> None:
    option, kind, numbers, times_base = parameter
    needs_numbers = kind != "values" or times_base
    if needs_numbers and not all(isinstance(entry, (int, float)) and entry is not True for entry in numbers):
        raise ConfigError(f"{option}: {list(numbers)!r} are not all numbers", "ranges and factors are numbers")
    if kind == "values":
        return
    if len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise ConfigError(f"{option}: {kind} {list(numbers)!r}", "give the lower and the upper end")
    if kind == "log_uniform" and numbers[0] <= 0:
        raise ConfigError(f"{option}: log_uniform from {numbers[0]}", "the lower end must be above 0")


def _number(entry: Any) -> Any:
    """YAML takes 1e-4, without a point, for text."""
    if isinstance(entry, list):
        return [_number(part) for part in entry]
    try:
        return float(entry) if isinstance(entry, str) else entry
    except ValueError:
        return entry
