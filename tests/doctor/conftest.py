"""Machines, records and configs for the doctor's tests."""

from typing import Any

from satgan.config import load_config
from satgan.doctor.finding import Finding
from satgan.doctor.records import ConfigRecord, Machine, TilesRecord

GPU = Machine("cuda", 15, 80 * 10**9, "bfloat16")
LAPTOP = Machine("cpu", 2, 8 * 10**9, "bfloat16")


def config_record(preset: str, machine: Machine = GPU, digits: bool | None = None, **groups: Any) -> ConfigRecord:
    """A preset with some options changed; keywords are groups."""
    return ConfigRecord(load_config(preset, groups), machine, digits)


def tiles_record(tiles: int = 5000, lowest: float = 3, highest: float = 250, **reasons: int) -> TilesRecord:
    """A set; `reasons` are counts of tiles that an inspection rejects, `_` for `-`."""
    return TilesRecord("tiles/mine", tiles, {name.replace("_", "-"): n for name, n in reasons.items()}, lowest, highest)


def codes(findings: list[Finding]) -> list[str]:
    """Of the rules that found something, in order, each once."""
    return list(dict.fromkeys(finding.rule for finding in findings))
