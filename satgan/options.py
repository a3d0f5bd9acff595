"""The command line's options, made from the config tree: one name, one type, one text for each field."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from satgan.config import Config, load_config
from satgan.errors import ConfigError, nearest
from satgan.presets import PRESETS

SHORT_FORMS = {
    "tiles.source": "--tiles", "train.store": "--store", "train.name": "--name", "train.seed": "--seed",
    "train.workers": "--workers", "train.budget": "--budget",
    "recipe.auto_balance": "--auto-balance",
}  # fmt: skip
DEFAULT_PRESET = "demo"


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of exiting, takes no abbreviations and names the nearest known option."""

    def __init__(self, **about: Any) -> None:
        super().__init__(allow_abbrev=False, **about)

    def error(self, message: str) -> NoReturn:
        """Refuses the command line.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(message, f"see `{self.prog} --help`")

    def parse_all(self, words: Sequence[str]) -> argparse.Namespace:
        """Parses all words.

        Raises:
            ConfigError: an unknown option, with the nearest known one, or a value that does not fit.
        """
        parsed, left = self.parse_known_args(words)
        if left:
            name = left[0].split("=")[0]
            remedy = nearest(name, self._option_string_actions) if name.startswith("-") else f"see `{self.prog} --help`"
            raise ConfigError(f"unknown argument {left[0]!r} for {self.prog}", remedy)
        return parsed


def seed_number(text: str) -> int:
    """A seed as given on the command line: 0 to 2**64 - 1."""
    if not 0 <= int(text) < 2**64:
        raise ValueError
    return int(text)


seed_number.__name__ = "seed (0 to 2**64 - 1)"  # argparse names the type in its message


def add_config_options(parser: Parser, words: Sequence[str]) -> None:
    """Adds PRESET, --config and an option per field of the config tree; help shows the defaults of the preset that
    `words` names."""
    parser.add_argument("preset", nargs="?", default=DEFAULT_PRESET, metavar="PRESET", help=", ".join(PRESETS))
    parser.add_argument("--config", metavar="FILE", type=Path, help="YAML of options, between preset and options")
    defaults = load_config(next((word for word in words if word in PRESETS), DEFAULT_PRESET))
    for group, about in Config.model_fields.items():
        kind: Any = about.annotation
        section = parser.add_argument_group(group, (kind.__doc__ or "").split("\n")[0])
        for field, info in kind.model_fields.items():
            path = f"{group}.{field}"
            names = [f"--{group}.{field.replace('_', '-')}", *([SHORT_FORMS[path]] if path in SHORT_FORMS else [])]
            default = getattr(getattr(defaults, group), field)
            section.add_argument(
                *names, dest=path, default=argparse.SUPPRESS, metavar=_metavar(info), help=_help(info, default)
            )


def train_parser(words: Sequence[str]) -> Parser:
    """The parser of `satgan train`, whose help shows the defaults of the preset that `words` names."""
    parser = Parser(prog="satgan train", description="train, or resume; without --tiles on embedded imagery")
    parser.add_argument("--dry-run", action="store_true", help="print the complete config and what it needs, and stop")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    parser.add_argument(
        "--fork", metavar="NAME", help="go on from the newest checkpoint of the run --name as a new run, under "
        "the settings given here; the same command again resumes the new run",
    )  # fmt: skip
    add_config_options(parser, words)
    return parser


def config_from(parsed: argparse.Namespace) -> Config:
    """The config that preset, --config file and options make together, the later over the earlier.

    Raises:
        ConfigError: see `load_config`; or the file cannot be read.
    """
    with file_named(parsed):
        return load_config(parsed.preset, *layers_from(parsed))


@contextmanager
def file_named(parsed: argparse.Namespace) -> Iterator[None]:
    """A block in which a config is loaded: where it is refused for more than the options alone, the --config file is
    named."""
    try:
        yield
    except ConfigError as error:
        if parsed.config is None or str(parsed.config) in error.found or error.found == _refusal_without_file(parsed):
            raise
        raise ConfigError(f"--config {parsed.config}: {error.found}", error.remedy) from None


def _refusal_without_file(parsed: argparse.Namespace) -> str:
    try:
        load_config(parsed.preset, _options_of(parsed))
    except ConfigError as error:
        return error.found
    return ""


def layers_from(parsed: argparse.Namespace) -> tuple[dict[str, dict[str, Any]], ...]:
    """What lies over the preset: the --config file, and the options.

    Raises:
        ConfigError: the file cannot be read.
    """
    return _read_file(parsed.config), _options_of(parsed)


def _options_of(parsed: argparse.Namespace) -> dict[str, dict[str, Any]]:
    given: dict[str, dict[str, Any]] = {}
    for path, value in vars(parsed).items():
        group, dot, field = path.partition(".")
        if dot:
            given.setdefault(group, {})[field] = value
    return given


def forked_config_from(parsed: argparse.Namespace) -> tuple[Config, str]:
    """The config of the run that `--fork` names, and the name of the one that it is forked from."""
    child = argparse.Namespace(**vars(parsed) | {"train.name": parsed.fork})
    return config_from(child), config_from(parsed).train.name


def _read_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--config {path} cannot be read: {error}", "give a YAML file of options") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"--config {path} holds no groups of options", "write `train:` and below it `  steps: 2000`")
    tree.pop("about", None)  # what a run's own config.yaml adds
    return tree


def _metavar(info: FieldInfo) -> str:
    text = str(info.annotation)
    if get_origin(info.annotation) is tuple and "Literal" in text:
        return ",".join(get_args(get_args(info.annotation)[0]))
    for word, shown in (
        ("Literal", ""),
        ("tuple", "N,N,…"),
        ("int | str", "N|MIN:MAX"),
        ("float", "X"),
        ("bool", "yes|no"),
        ("int", "N"),
    ):
        if word in text:
            return shown or "|".join(str(value) for value in getattr(info.annotation, "__args__", ()))
    return "TEXT"


def _help(info: FieldInfo, default: Any) -> str:
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    return f"{info.description} (default: {shown})".replace("%", "%%")


def print_result(result: dict[str, Any], as_json: bool) -> None:
    """Prints what a verb found on stdout: a line per item, or JSON."""
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' ')}: {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        between = "; " if any(isinstance(part, (list, tuple)) for part in value.values()) else ", "
        return between.join(f"{name} {_shown(part)}" for name, part in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
