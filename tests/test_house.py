"""The rules of the house (CONTRIBUTING.md): who may import whom, and where a library may be used."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (
    ("errors", "randomness", "provenance", "presets", "scaling", "kinds"),
    ("groups",),
    ("config",),
    ("tiles", "gan"),
    ("judge", "doctor", "pictures"),
    ("train",),
    ("options", "bar"),
    ("gallery", "cluster"),
    ("verbs",),
    ("__main__",),
)
"""A room imports only from floors above its own, and from itself. Files …_verb and …_verbs are the room `verbs`."""

HOMES = {
    "boto3": ("satgan/tiles/store.py",),
    "botocore": ("satgan/tiles/store.py", "satgan/tiles/s3_errors.py", "satgan/cluster/check_nodes.py"),
    "rasterio": ("satgan/tiles/", "bench/cut.py"),
    "PIL": ("satgan/tiles/", "satgan/pictures/"),
    "mlflow": ("satgan/train/mlflow_logger.py",),
    "wandb": ("satgan/train/wandb_logger.py",),
    "ray": (
        "satgan/train/ray_", "satgan/cluster/", "tune/", "bench/tile_peers.py", "bench/faults_ray.py",
        "bench/bare_trainer.py", "bench/start.py",
    ),
    "optuna": ("tune/schedule.py",),
    "tune": ("tune/", "satgan/sweep_verbs.py"),
    "torch.distributed": ("satgan/train/ranks.py", "bench/exact_sum.py", "bench/scale_workers.py"),
}  # fmt: skip
"""Libraries with one place of use."""

NOWHERE = ("pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
"""Nothing is unpickled."""


def imports(source: str) -> Iterator[str]:
    """Every module that a source text imports, `from a import b` as a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor(room: str) -> int:
    """Number of a room's floor, 0 on top."""
    room = "verbs" if room.endswith(("_verb", "_verbs")) else room
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def breaches(path: str, source: str) -> list[str]:
    """What in a file (path from the root) breaks the rules."""
    found = []
    for name in imports(source):
        for library, homes in HOMES.items():
            if (name == library or name.startswith(f"{library}.")) and not path.startswith(homes):
                found.append(f"{path} imports {name}, which belongs in {', '.join(homes)}")
        if name.split(".")[0] in NOWHERE:
            found.append(f"{path} imports {name}: nothing is unpickled")
        found += _room_breach(path, name)
    return found


def _room_breach(path: str, name: str) -> list[str]:
    parts, imported = Path(path).with_suffix("").parts, name.split(".")
    if parts[0] != "satgan" or imported[0] != "satgan" or len(imported) < 2 or imported[1] == "__version__":
        return []
    room, other = parts[1], imported[1]
    if room == other or room == "__init__" or floor(other) < floor(room):
        return []
    return [f"{path} ({room}) imports {name}, which does not stand above it"]


def sources() -> list[str]:
    """Every source file of the package and the entry points, as a path from the root."""
    return sorted(
        str(path.relative_to(ROOT)) for folder in ("satgan", "tune", "bench") for path in (ROOT / folder).rglob("*.py")
    )


@pytest.mark.parametrize("path", sources())
def test_a_file_keeps_the_import_rules(path: str) -> None:
    assert breaches(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("satgan/gan/step.py", "import boto3"),
        ("satgan/gan/step.py", "from satgan.train import loop"),
        ("satgan/gan/step.py", "from satgan.tiles.plan import LanePlan"),
        ("satgan/train/loop.py", "import ray.train"),
        ("satgan/train/loop.py", "import torch.distributed as dist"),
        ("satgan/train/loop.py", "from satgan.gallery import sample"),
        ("satgan/gallery/sample.py", "from PIL import Image"),
        ("satgan/gallery/sample.py", "from tune.best import standings"),
        ("satgan/train/checkpoint.py", "import pickle"),
    ],
)
def test_a_breach_is_seen(path: str, source: str) -> None:
    assert len(breaches(path, source)) == 1


@pytest.mark.parametrize("path", sources())
def test_a_file_can_be_read_at_one_sitting(path: str) -> None:
    lines = (ROOT / path).read_text().count("\n")
    assert lines <= 300, f"{path} has {lines} lines: split it"


WEIGHTS_ALONE = "satgan/gallery/inception_file.py"
"""Reads a file that torch wrote; there is no other form of it."""


def test_torch_loads_nothing_but_weights_and_these_in_one_place() -> None:
    for path in sources():
        loads = re.findall(r"torch\.load\(.*", (ROOT / path).read_text())
        allowed = path == WEIGHTS_ALONE and len(loads) == 1 and "weights_only=True" in loads[0]
        assert allowed or not loads, f"{path}: torch.load can run code; use safetensors"


BROUGHT_ALONG = ("aiohttp", "botocore", "jsonschema", "pydantic_core", "urllib3")
"""By Ray, boto3 and pydantic, whose parts they are."""
FOR_TYPES, LOGGERS = ("mypy_boto3_s3",), ("mlflow", "wandb")
"""Never imported when it runs; and extras that are called as the option's values are."""


def test_what_is_imported_is_a_dependency_or_asked_for_by_its_extra() -> None:
    """Else a verb works for developers alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [(ROOT / path).read_text() for path in sources() if not path.startswith("bench/")]
    imported = {name.split(".")[0] for text in texts for name in imports(text)}
    asked = {found for text in texts for found in re.findall(r"require_extra\(\s*\"(\w+)\", \"(\w+)\"", text)}
    assert {"digits", "probe", "onnx", "optuna"} <= {extra for _, extra in asked}
    for package, extra in asked:
        assert set(packages_distributions()[package]) & {_name(one) for one in extras[extra]}, (package, extra)
        assert set(extras[extra]) <= set(extras["dev"]), f"{extra} is not tested"
    known = {_name(one).lower() for one in project["dependencies"]}
    known |= {*BROUGHT_ALONG, *FOR_TYPES, *LOGGERS, "satgan", "tune", *(package for package, _ in asked)}
    left = imported - set(sys.stdlib_module_names) - known
    assert {name for name in left if not {one.lower() for one in packages_distributions()[name]} & known} == set()


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=]", requirement)[0]
