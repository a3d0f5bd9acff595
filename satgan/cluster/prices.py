"""What instances can do and cost: a small dated table, and a file of the user's own over it.

Prices: those of AWS in eu-central-1 as the public skypilot-catalog (commit 00148f2) lists them, read on PRICES_DATE;
spot is the dearest zone's at that time. They change: `--prices FILE` overrides any of them. Capabilities: EC2's own
DescribeInstanceTypes (the network's baseline, not its "up to"). GPUs: peaks of dense matrix products by NVIDIA's data
sheets, links by those of PCIe 4 ×16 or NVLink; the H200's compute and memory as large products have reached them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from satgan.errors import ConfigError, nearest
from satgan.kinds import refusal_of

PRICES_DATE = "2026-11-22"
PRICES_REGION = "eu-central-1"
SHORTEST_SECONDS = 60
"""EC2 bills by the second, and this at least."""


class Gpu(NamedTuple):
    """Peaks of one GPU; `link_gigabytes_per_second` in one direction to the others of its machine."""

    bfloat16_teraflops: float
    memory_gigabytes_per_second: float
    link_gigabytes_per_second: float


class Instance(BaseModel):
    """One instance type. `network_gigabits_per_second` is what it may use all the time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vcpus: PositiveInt
    memory_gigabytes: PositiveFloat
    network_gigabits_per_second: PositiveFloat
    on_demand_dollars_per_hour: PositiveFloat
    spot_dollars_per_hour: PositiveFloat
    gpu: str | None = None
    gpus: int = 0
    gpu_memory_gigabytes: float = 0.0
    scratch_gigabytes: float = 0.0

    def dollars_per_hour(self, is_spot: bool) -> float:
        """The price on spot or on demand."""
        return self.spot_dollars_per_hour if is_spot else self.on_demand_dollars_per_hour


GPUS = {
    "L4": Gpu(121, 300, 32),
    "A10G": Gpu(70, 600, 32),
    "L40S": Gpu(362, 864, 32),
    "H200": Gpu(790, 4300, 450),
}
INSTANCES = {
    name: Instance(
        vcpus=vcpus, memory_gigabytes=memory, network_gigabits_per_second=network, on_demand_dollars_per_hour=demand,
        spot_dollars_per_hour=spot, gpu=gpu, gpus=gpus, gpu_memory_gigabytes=gpu_memory, scratch_gigabytes=scratch,
    )
    for name, vcpus, memory, network, demand, spot, gpu, gpus, gpu_memory, scratch in (
        ("m7i.large", 2, 8, 0.781, 0.12075, 0.0548, None, 0, 0, 0),
        ("g6.2xlarge", 8, 32, 5, 1.22249, 0.4618, "L4", 1, 24.0, 450),
        ("g5.2xlarge", 8, 32, 5, 1.5156, 0.7396, "A10G", 1, 24.0, 450),
        ("g6e.2xlarge", 8, 64, 5, 2.8035, 2.8035, "L40S", 1, 48.0, 450),
        ("g6e.24xlarge", 96, 768, 200, 18.83806, 12.3102, "L40S", 4, 48.0, 3800),
    )
}  # fmt: skip


def instances(path: Path | None = None) -> dict[str, Instance]:
    """The table, under the user's own YAML file: `{type: {field: value}}` for types that are in it or new ones.

    Raises:
        ConfigError: the file cannot be read, a field or value is none, or a new type lacks some.
    """
    if path is None:
        return INSTANCES
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--prices {path} cannot be read: {error}", "give a YAML file of instance types") from None
    if not isinstance(given, Mapping) or not all(isinstance(fields, Mapping) for fields in given.values()):
        remedy = "write `g6.2xlarge:` and below it `  spot_dollars_per_hour: 0.5`"
        raise ConfigError(f"--prices {path} holds no instance types with fields", remedy)
    return INSTANCES | {name: _overridden(path, name, dict(fields)) for name, fields in given.items()}


def _overridden(path: Path, name: str, fields: dict[str, Any]) -> Instance:
    base = INSTANCES[name].model_dump() if name in INSTANCES else {}
    try:
        instance = Instance.model_validate(base | fields)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {refusal_of(one)}" for one in error.errors())
        remedy = f"fields are {', '.join(Instance.model_fields)}"
        raise ConfigError(f"--prices {path}, {name}: {wrong}", remedy) from None
    if instance.gpus and instance.gpu not in GPUS:
        raise ConfigError(f"--prices {path}, {name}: unknown gpu {instance.gpu!r}", nearest(str(instance.gpu), GPUS))
    return instance


def instance_of(name: str, table: Mapping[str, Instance]) -> Instance:
    """One of the table.

    Raises:
        ConfigError: it is not there; the nearest is named.
    """
    if name not in table:
        remedy = f"{nearest(name, table)} Others: with all their fields in a file for --prices"
        raise ConfigError(f"unknown instance type {name!r}", remedy)
    return table[name]


def dollars(seconds: float, dollars_per_hour: float, machines: int = 1) -> float:
    """What so many machines cost that run for so long, billed by the second, each for a minute at least."""
    return machines * dollars_per_hour * max(seconds, SHORTEST_SECONDS) / 3600
