"""Every rule that reads a config: what passes, and one departure that this rule alone sees."""

import shlex
from typing import Any

import pytest

from satgan.config import Config
from satgan.doctor.config_rules import CONFIG_CHECKS
from satgan.doctor.records import ConfigRecord
from satgan.doctor.rules import examine
from satgan.presets import PRESETS
from tests.doctor.conftest import GPU, LAPTOP, codes, config_record

BROKEN: dict[str, list[ConfigRecord]] = {
    "S01": [
        config_record("dcgan", gan={"filters": "512,512,512,512"}),
        config_record("dcgan", gan={"filters": "512,330,105,64"}),
    ],
    "S02": [
        config_record("dcgan", GPU._replace(memory_bytes=5 * 10**8)),
        config_record("dcgan", LAPTOP, train={"budget_hours": 1}),
    ],
    "S03": [config_record("article", LAPTOP)],
    "S06": [config_record("dcgan", train={"deterministic": False})],
    "S09": [
        config_record("dcgan", train={"checkpoint_steps": 1000}),
        config_record("article", train={"keep_checkpoints": 200}),
    ],
    "S10": [config_record("dcgan", train={"film_steps": 500})],
    "S20": [
        config_record("article", gan={"kernel_size": 11, "filters": "1024,512,256,128"}),
        config_record("digits", gan={"filters": "256,128"}),
    ],
    "S22": [config_record("dcgan", gan={"discriminator_leak": 0})],
    "S23": [config_record("dcgan", train={"lane_batch": 4, "lanes": 16})],
    "S24": [config_record("dcgan", recipe={f"{network}_l2": 0}) for network in ("generator", "discriminator")],
    "S27": [config_record("dcgan", gan={"kernel_size": 5})],
    "S28": [config_record("demo", LAPTOP, train={"threads_per_lane": 4})],
    "S30": [
        config_record(preset, train={"steps": steps})
        for preset, steps in (("dcgan", 700), ("digits", 600), ("demo", 20))
    ],
    "S31": [
        config_record("dcgan", recipe={"generator_learning_rate": 3e-4}),
        config_record("dcgan", recipe={"discriminator_learning_rate": 1e-3}),
    ],
    "S33": [config_record("dcgan", recipe={"history_share": 0})],
    "S37": [
        config_record("dcgan", gan={"dense_head": "512"}),
        config_record("dcgan", gan={"noise_size": 2000}),
        config_record("dcgan", recipe={"generator_updates": 20}),
    ],
    "S39": [
        config_record("dcgan", recipe={"path_threshold": 1.0}),
        config_record("dcgan", recipe={"beta1": 0.9}),
    ],
    "G05": [config_record("dcgan", digits=False, tiles={"source": "tiles/mine"})],
    "G06": [config_record("dcgan", judge={"tiles": 0})],
}


def test_every_check_of_a_config_has_its_broken_case() -> None:
    assert {code: len(checks) for code, checks in CONFIG_CHECKS.items()} | {
        "S01": 2,
        "S20": 2,
        "S24": 2,
        "S30": 3,
        "S31": 2,
        "S37": 3,
    } == {code: len(records) for code, records in BROKEN.items()}


@pytest.mark.parametrize("machine", [GPU, LAPTOP])
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_pass(preset: str, machine: Any) -> None:
    found = examine([config_record(preset, machine, digits=True)])
    assert codes(found) == (["S03"] if (preset, machine) == ("article", LAPTOP) else [])


@pytest.mark.parametrize(("code", "record"), [(code, record) for code, records in BROKEN.items() for record in records])
def test_a_departure_is_seen_by_its_rule_alone(code: str, record: ConfigRecord) -> None:
    findings = examine([record])
    assert codes(findings) == [code]
    assert len(findings) == 1


@pytest.mark.parametrize(("code", "record"), [(code, record) for code, records in BROKEN.items() for record in records])
def test_the_action_ends_the_finding(code: str, record: ConfigRecord) -> None:
    """Where it is an option it can be pasted, and then the rule is content."""
    (finding,) = examine([record])
    if not finding.action.startswith("--"):
        assert finding.action.startswith("satgan ")
        return
    words = shlex.split(finding.action)
    changes: dict[str, dict[str, str]] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        group, field = name.removeprefix("--").split(".")
        changes.setdefault(group, {})[field.replace("-", "_")] = value
    assert code not in codes(examine([record._replace(config=changed(record.config, changes))]))


def changed(config: Config, changes: dict[str, dict[str, str]]) -> Config:
    tree = config.model_dump(mode="json")
    for group, fields in changes.items():
        tree[group] |= fields
    return Config.model_validate(tree)


@pytest.mark.parametrize(("preset", "steps"), [("article", 5000), ("dcgan", 5000), ("digits", 1250), ("demo", 1600)])
def test_few_steps_are_the_same_part_of_every_presets_own(preset: str, steps: int) -> None:
    """S30: a quarter of them, which for the article's is 5,000."""
    assert codes(examine([config_record(preset, train={"steps": steps})])) == []
    assert codes(examine([config_record(preset, train={"steps": steps - 1})])) == ["S30"]


@pytest.mark.parametrize(("rate", "level"), [(2e-4, None), (2.5e-4, "warning"), (9e-4, "warning"), (1e-3, "error")])
def test_the_articles_own_rate_that_unsettled_it_is_an_error(rate: float, level: str | None) -> None:
    """S31: 1e-3 at a batch of 64 is; at 512 it is the law's."""
    found = examine([config_record("dcgan", recipe={"generator_learning_rate": rate})])
    assert [finding.level for finding in found] == ([level] if level else [])
    assert examine([config_record("dcgan", train={"lane_batch": 512}, recipe={"generator_learning_rate": rate})]) == []
