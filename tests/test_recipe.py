"""The 45 rules: each has a place and a test that exist, and the presets keep those that are about their numbers."""

import ast
import re
from pathlib import Path

import pytest

from satgan.config import load_config
from satgan.doctor.rules import RULES
from satgan.gan.describe import describe
from satgan.gan.networks import ladder
from satgan.presets import PRESETS

ROOT = Path(__file__).parent.parent
CODES = [f"S{number:02d}" for number in range(1, 40)] + [f"G{number:02d}" for number in range(1, 7)]
ROW = re.compile(r"^\| ([SG]\d\d) [a-z0-9-]+ \| (\S+) \| (\S+)::(\S+) \|$", re.MULTILINE)
SLUGS = re.compile(r"^\| ([SG]\d\d) ([a-z0-9-]+) \|", re.MULTILINE)
ROWS = ROW.findall((ROOT / "CONTRIBUTING.md").read_text())


def test_every_rule_has_its_row() -> None:
    assert [code for code, *_ in ROWS] == CODES


@pytest.mark.parametrize(("code", "place", "path", "test"), ROWS, ids=[row[0] for row in ROWS])
def test_a_rules_place_and_test_exist(code: str, place: str, path: str, test: str) -> None:
    assert (ROOT / place).is_file()
    tree = ast.parse((ROOT / path).read_text())
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_doctor_has_the_same_rules_and_their_tests() -> None:
    assert [(rule.code, rule.slug) for rule in RULES] == SLUGS.findall((ROOT / "CONTRIBUTING.md").read_text())
    tests = {code: f"{path}::{test}" for code, _, path, test in ROWS}
    assert all(rule.test == tests[rule.code] for rule in RULES if rule.test)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_two_networks_of_a_preset_are_of_equal_power(preset: str) -> None:
    """S37: parameters within a quarter of each other."""
    described = describe(load_config(preset))
    counts = sorted(described[network]["parameters"] for network in ("generator", "discriminator"))
    assert counts[1] <= 1.3 * counts[0]


def test_digits_have_the_first_articles_filters() -> None:
    """G02: 32 > 16 > 8 > 1."""
    gan = load_config("digits").gan
    assert (*(rung.deep_filters for rung in ladder(gan)), gan.channels) == (32, 16, 8, 1)
