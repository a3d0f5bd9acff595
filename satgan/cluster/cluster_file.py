"""A cluster file of Ray's, with the lines that its parts stand on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from satgan.errors import ConfigError

Path_ = Sequence[str | int]
"""Where a value stands: keys and numbers from the top."""

COMMANDS = (
    "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands",
)  # fmt: skip
SPOT_FIRST = "satgan.cluster.provider.SpotFirst"
"""The provider that takes machines on demand where there are no spot ones."""
ON_DEMAND_INSTEAD = "on_demand_instead"
"""Of the cluster file's `provider`: so many machines may run on demand in place of spot ones."""


class Finding(NamedTuple):
    """What is wrong with a cluster file. A note is worth a look and refuses nothing."""

    file: str
    line: int
    where: str
    found: str
    remedy: str
    is_note: bool = False

    def __str__(self) -> str:
        note = " (note)" if self.is_note else ""
        return f"{self.file}:{self.line}: {self.where}: {self.found}{note}\n  what to do: {self.remedy}"


class Command(NamedTuple):
    """A command that Ray runs on a machine. `rest` is what stands behind it in its last line and Ray does not see."""

    where: tuple[str, int]
    text: str
    rest: str


class ClusterFile:
    """A parsed cluster file.

    Args:
        path: of the file.

    Raises:
        ConfigError: it cannot be read, or is no cluster file.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            self.text = path.read_text()
            self.tree: Any = yaml.safe_load(self.text)
            self._root: Any = yaml.compose(self.text, Loader=yaml.SafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path} cannot be read: {error}", "give a cluster file of Ray's") from None
        if not isinstance(self.tree, dict) or not isinstance(self.tree.get("available_node_types"), dict):
            raise ConfigError(
                f"{path} has no available_node_types", "give a cluster file of Ray's, such as cluster.yaml"
            )

    @property
    def on_demand_instead(self) -> int:
        """How many machines may come on demand in place of spot ones (satgan/cluster/provider.py).

        Raises:
            ConfigError: what stands there is no such number.
        """
        provider = self.tree.get("provider") or {}
        is_ours = (provider.get("type"), provider.get("module")) == ("external", SPOT_FIRST)  # else Ray reads neither
        most = provider.get(ON_DEMAND_INSTEAD, 0)
        if type(most) is not int or most < 0:
            where = ("provider", ON_DEMAND_INSTEAD)
            found = f"{self.name}:{self.line(where)}: {'.'.join(where)} = {most!r}"
            raise ConfigError(found, "give a whole number, 0 for none")
        return most if is_ours else 0

    def finding(self, where: Path_, found: str, remedy: str, is_note: bool = False) -> Finding:
        """A finding about the value that stands there."""
        return Finding(self.name, self.line(where), ".".join(map(str, where)), found, remedy, is_note)

    def line(self, where: Path_) -> int:
        """The line of a value, or of the nearest part above it that is written out; from 1."""
        node = self._root
        for key in where:
            below = _child(node, key)
            if below is None:
                break
            node = below
        return int(node.start_mark.line) + 1

    def node_configs(self) -> Iterator[tuple[Path_, dict[str, Any]]]:
        """Where each type of machine is described to EC2, and how."""
        for name, kind in self.tree["available_node_types"].items():
            config = kind.get("node_config") if isinstance(kind, dict) else None
            if isinstance(config, dict):
                yield ("available_node_types", name, "node_config"), config

    def commands(self, *names: str) -> Iterator[Command]:
        """The commands of these lists, of all where none is named."""
        lines = self.text.splitlines()
        for name in names or COMMANDS:
            listed = _child(self._root, name)
            for number, node in enumerate(listed.value if isinstance(listed, yaml.SequenceNode) else []):
                end = node.end_mark
                # The mark of a block stands at the line after it.
                plain = node.style not in ("|", ">") and end.line < len(lines)
                yield Command((name, number), str(node.value), lines[end.line][end.column :].strip() if plain else "")

    def scalars(self) -> Iterator[tuple[int, str]]:
        """Line and text of every value that is no command."""
        for key, node in self._root.value:
            if key.value not in COMMANDS:
                yield from _scalars(node)


def _child(node: Any, key: str | int) -> Any:
    """The part of a node under a key, merged ones (`<<`) included; None where there is none."""
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key]
    if not isinstance(node, yaml.MappingNode):
        return None
    for name, below in node.value:
        if name.value == key:
            return below
    merged = [below for name, below in node.value if name.value == "<<"]
    return next((found for below in merged if (found := _child(below, key)) is not None), None)


def _scalars(node: Any) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.ScalarNode):
        yield int(node.start_mark.line) + 1, str(node.value)
    for part in node.value if isinstance(node, (yaml.SequenceNode, yaml.MappingNode)) else ():
        for below in part if isinstance(part, tuple) else (part,):
            yield from _scalars(below)
