"""Everything that can be known about a cluster file without a network: what `ray up` would refuse or, worse, do."""

import copy
import io
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from satgan.cluster.check_commands import check_commands
from satgan.cluster.check_nodes import check_nodes
from satgan.cluster.cluster_file import ClusterFile, Finding
from satgan.cluster.prices import instances
from satgan.errors import ConfigError

SECRETS = {
    "an AWS access key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "an AWS secret": r"(?i)aws_(secret_access_key|session_token)\W{1,3}\S{8,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a token": r"(?i)RAY_AUTH_TOKEN=\S+|\b[0-9a-f]{64}\b",
}
PRIVATE = ("/.aws", ".pem", "/.ssh", "id_ed25519", "id_rsa", "credentials")
"""Parts of names that no file mount has: machines have roles, and Ray brings its key itself."""


def check(path: Path, prices: Path | None = None) -> list[Finding]:
    """What is wrong with a cluster file, by line; what is not filled in first.

    Args:
        path: of the file.
        prices: a file over the built-in table of instance types.

    Raises:
        ConfigError: one of the files cannot be read.
    """
    file = ClusterFile(path)
    places = list(_places(file))
    others = [
        *_schema(file), *_provider(file), *_secrets(file), *_mounts(file), *_token(file),
        *check_nodes(file, instances(prices)), *check_commands(file),
    ]  # fmt: skip
    filled = {found.line for found in places}
    return places + sorted({found for found in others if found.line not in filled}, key=lambda found: found.line)


def refuse(path: Path, findings: list[Finding]) -> None:
    """Ends with an error where something is wrong.

    Raises:
        ConfigError: there are findings that are no notes.
    """
    wrong = sum(not found.is_note for found in findings)
    if wrong:
        raise ConfigError(f"{path}: {wrong} thing(s) to mend before `ray up`", "see above")


def _places(file: ClusterFile) -> Iterator[Finding]:
    for line, text in sorted(set(file.scalars())):
        place = re.search(r"<[^<>\n]+>", text)
        if place:
            yield Finding(file.name, line, "to fill in", f"{place[0]} stands there still", "put the value in its place")


def _schema(file: ClusterFile) -> Iterator[Finding]:
    """Ray's own schema and defaults; it says nothing about node_config."""
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    # It warns of fields that it puts there itself for an external provider.
    logging.getLogger("ray.autoscaler._private.util").setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):  # Ray warns there of mounts that are files
            validate_config(prepare_config(copy.deepcopy(file.tree)))
    except ValidationError as error:
        yield file.finding(tuple(error.absolute_path), f"Ray refuses it: {error.message}", "see Ray's cluster YAML")
    except Exception as error:  # Ray's own code stumbles over what its schema would have named
        found = f"Ray refuses it: {type(error).__name__}: {error}"
        yield file.finding(("available_node_types",), found, "see Ray's cluster YAML")


def _provider(file: ClusterFile) -> Iterator[Finding]:
    provider: dict[str, Any] = file.tree.get("provider") or {}
    if provider.get("cache_stopped_nodes", True):
        found = "stopped machines are kept: spot ones cannot be, and the disks of the others are paid for"
        yield file.finding(("provider",), found, "cache_stopped_nodes: false")
    zones = str(provider.get("availability_zone", "")).split(",")
    if len(zones) != 1 or not zones[0]:
        found = "workers may come up in several zones: what they send each other is then billed, both ways"
        yield file.finding(("provider", "availability_zone"), found, "name one zone", True)
    elif not zones[0].startswith(str(provider.get("region"))):
        found = f"the zone {zones[0]} is not of the region {provider.get('region')}"
        yield file.finding(("provider", "availability_zone"), found, "name a zone of the region")
    if not file.tree.get("idle_timeout_minutes"):
        yield file.finding(("idle_timeout_minutes",), "no idle_timeout_minutes", "10 gives idle GPUs back")


def _secrets(file: ClusterFile) -> Iterator[Finding]:
    for number, line in enumerate(file.text.splitlines(), start=1):
        if line.lstrip().startswith("#"):
            continue
        for what, pattern in SECRETS.items():
            if re.search(pattern, line):
                remedy = "take it out, and make a new one: whoever has read the file has it. Machines have roles"
                yield Finding(file.name, number, "the file", f"this looks like {what}", remedy)
        if re.search(r"\b0\.0\.0\.0/0|::/0", line):
            yield Finding(file.name, number, "the file", "open to the whole internet", "name your own address, /32")


def _mounts(file: ClusterFile) -> Iterator[Finding]:
    for remote, local in (file.tree.get("file_mounts") or {}).items():
        where = ("file_mounts", remote)
        if any(part in str(local) for part in PRIVATE):
            remedy = "leave it out: machines have roles, and Ray brings its own key"
            yield file.finding(where, f"{local} would be copied to every machine", remedy)
        elif not Path(local).expanduser().exists() and "auth_token" not in str(local):
            remedy = "`ray up` runs in the root of the repository; correct the path"
            yield file.finding(where, f"there is no {local} here", remedy)


def _token(file: ClusterFile) -> Iterator[Finding]:
    """The token's own file, where file_mounts name one."""
    for remote, local in (file.tree.get("file_mounts") or {}).items():
        if "auth_token" not in str(local):
            continue
        token, where = Path(local).expanduser(), ("file_mounts", remote)
        if not token.exists():
            yield file.finding(where, f"there is no {local} yet", f"ray get-auth-token --generate; chmod 600 {local}")
        elif token.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            found = f"others on this machine can read {local} ({stat.filemode(token.stat().st_mode)})"
            yield file.finding(where, found, f"chmod 600 {local}")
        elif token.stat().st_uid != os.getuid():
            yield file.finding(where, f"{local} is somebody else's", "make a token of your own")
