"""`satgan doctor` as a user meets it: subjects, selection, exit statuses, rules and their pages."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from satgan.__main__ import main
from satgan.doctor.finding import LEVELS
from satgan.doctor.limits import LIMITS
from satgan.doctor.pages import PARTS, pages
from satgan.doctor.rules import RULES
from satgan.errors import StoreUnreachable
from satgan.tiles.store import Store, open_store
from tests.train.conftest import MakeConfig, make_config, run, threads_put_back, tile_set

__all__ = ["make_config", "threads_put_back", "tile_set"]  # fixtures

Doctor = Callable[..., tuple[int, str, str]]
HIGH = ("--recipe.generator-learning-rate", "0.1", "--recipe.history-share", "0")


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["doctor", *words])
        return status, *capsys.readouterr()

    return call


def test_a_config_is_held_against_the_rules(doctor: Doctor) -> None:
    assert doctor("demo")[0] == 0
    status, told, said = doctor("dcgan", *HIGH)
    assert status == 1
    assert "S31 error: generator learning rate 0.1" in told
    assert "what to do: --recipe.generator-learning-rate 0.0002" in told
    assert "S33 warning" in told
    assert "1 finding(s) of level error" in said


def test_only_rules_that_look_at_such_a_thing_are_counted(doctor: Doctor, tile_set: str) -> None:
    for subject, kind in (("dcgan", "config"), (tile_set, "tiles")):
        looking = [rule.code for rule in RULES if kind in rule.when.split(", ")]
        assert 0 < len(looking) < len(RULES)
        assert f"; {len(looking)} of 45 rules asked" in doctor(subject)[1]
    assert "; 1 of 45 rules asked" in doctor("dcgan", "--select", "S31,S17")[1], "S17 is so by construction"


def test_a_newest_checkpoint_that_is_corrupt_is_seen_and_touched_by_nobody(
    doctor: Doctor, make_config: MakeConfig, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S09: in a folder as in a bucket, and from where the run will go on."""
    store = open_store(run(make_config(train={"store": place})).run)
    select = ("--select", "S09")
    assert doctor(store.url, *select)[0] == 0
    for damage, found, then in (
        (_flip_a_byte, "step-00000012/optimizers.safetensors has", "the run goes on from step 10, whose every file"),
        (_cut_short, "step-00000010/history/lane-003.safetensors has", "the run goes on from step 5, whose every file"),
        (_remove, "step-00000005 lacks the file discriminator.safetensors", "none of the 3 checkpoint(s)"),
    ):
        damage(store)
        left = store.list()
        status, told, _ = doctor(store.url, *select)
        assert status == 1
        assert "S09 error: the newest checkpoint is corrupt" in told
        assert found in told
        assert then in told
        assert store.list() == left
    monkeypatch.setattr(type(store), "read_range_into", _away)
    status, told, said = doctor(store.url, *select)
    assert (status, told) == (1, ""), "what could not be read is not called whole"
    assert "no answer" in said
    assert doctor(store.url, "--select", "S10")[0] == 0, "nor read where nobody asks"


def _flip_a_byte(run: Store) -> None:
    key = "checkpoints/step-00000012/optimizers.safetensors"
    raw = bytearray(run.read(key))
    raw[-1] ^= 1
    run.write(key, bytes(raw))


def _cut_short(run: Store) -> None:
    key = "checkpoints/step-00000010/history/lane-003.safetensors"
    run.write(key, run.read(key)[:-1])


def _remove(run: Store) -> None:
    run.delete("checkpoints/step-00000005/discriminator.safetensors")


def _away(*_: object) -> None:
    raise StoreUnreachable("no answer", "wait")


@pytest.mark.parametrize(
    ("words", "status", "rules"),
    [
        ((), 1, ["S31", "S33"]),
        (("--select", "S33"), 0, ["S33"]),
        (("--select", "S33", "--fail-on", "warning"), 1, ["S33"]),
        (("--ignore", "S31"), 0, ["S33"]),
        (("--ignore", "S31,S33", "--fail-on", "warning"), 0, []),
    ],
)
def test_rules_are_selected_and_the_exit_status_is_a_linters(
    doctor: Doctor, words: tuple[str, ...], status: int, rules: list[str]
) -> None:
    found_status, told, _ = doctor("dcgan", *HIGH, *words, "--json")
    findings = json.loads(told)["findings"]
    assert (found_status, [finding["rule"] for finding in findings]) == (status, rules)
    assert all(finding["action"].startswith("--recipe.") for finding in findings)


def test_a_file_and_its_tile_set_are_looked_at(doctor: Doctor, tmp_path: Path, tile_set: str) -> None:
    """150 tiles are few."""
    file = tmp_path / "mine.yaml"
    file.write_text(f"tiles: {{source: {tile_set}}}\nrecipe: {{generator_l2: 0}}\n")
    found = [finding["rule"] for finding in json.loads(doctor(str(file), "--json")[1])["findings"]]
    assert found == ["S07", "S24"]
    assert [finding["rule"] for finding in json.loads(doctor(tile_set, "--json")[1])["findings"]] == ["S07"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere",), "nothing to examine at 'nowhere'"),
        (("dcgan", "--select", "S3"), "did you mean"),
        (("explain", "S99"), "no rule has the code 'S99'"),
        (("demo", "--fail-on", "never"), "--fail-on"),
    ],
)
def test_what_cannot_be_examined_is_refused(doctor: Doctor, words: tuple[str, ...], told: str) -> None:
    status, _, said = doctor(*words)
    assert status == 2
    assert told in said


def test_an_option_does_not_go_with_a_tile_set(doctor: Doctor, tile_set: str) -> None:
    status, _, said = doctor(tile_set, "--train.steps", "3")
    assert status == 2
    assert "train.steps" in said


def test_all_rules_are_listed_with_what_they_look_at(doctor: Doctor) -> None:
    listed = json.loads(doctor("rules", "--json")[1])
    assert len(listed) == 45
    assert all((rule["when"] == "by construction") == bool(rule["test"]) for rule in listed)
    assert doctor("rules")[1].count("\n") == 45
    assert sum(len(rule["limits"]) for rule in listed) == len(LIMITS)
    told = doctor("rules", "--limits")[1]
    assert told.count("\n") == 45 + len(LIMITS)
    assert all(limit.about in told and limit.source in told for limit in LIMITS.values())


def test_every_rule_has_its_page(doctor: Doctor) -> None:
    assert list(pages()) == [rule.code for rule in RULES]
    for rule in RULES:
        assert tuple(pages()[rule.code]) == PARTS, rule.code
        told = doctor("explain", rule.code)[1]
        assert told.startswith(f"{rule.code} {rule.slug} (")
        assert rule.test in told


def test_every_limit_is_a_rules_and_says_where_it_comes_from() -> None:
    looked_at = {rule.code for rule in RULES if not rule.test}
    assert {code for code, _ in LIMITS} <= looked_at
    assert all(limit.source and any(limit.of(level) is not None for level in LEVELS) for limit in LIMITS.values())
