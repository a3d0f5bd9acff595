"""Spaces are checked before anything starts; trials follow from space, base and seeds alone."""

from pathlib import Path
from typing import Any

import pytest

from satgan.config import load_config
from satgan.errors import ConfigError
from satgan.scaling import learning_rate
from tune.plan import check_search
from tune.space import check_space, read_space, space_from
from tune.trials import Base, settings, trials

SPACES = sorted(Path("tune/spaces").glob("*.yaml"))
BASE = Base("demo", ({},))
RANGE = {"recipe.generator_l2": {"log_uniform": [1e-6, 1e-2]}, "recipe.path_threshold": {"uniform": [0.4, 1.0]},
         "recipe.generator_updates": [1, 2, 3]}  # fmt: skip


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_the_spaces_that_come_along_are_whole(path: Path) -> None:
    space = read_space(path)
    for preset in ("demo", "article"):
        check_space(space, preset, ())
        assert len(trials(Base(preset, ()), space, settings(space, 1), [1, 2])) > len(space.parameters)


def test_there_are_the_spaces_that_the_readme_names() -> None:
    assert {path.stem for path in SPACES} == {"learning_rates", "filters", "regularizers", "balance", "recipe"}


@pytest.mark.parametrize(
    ("tree", "found", "remedy"),
    [
        ({"vary": {"recipe.generator_lerning_rate": [1]}}, "generator_lerning_rate", "generator_learning_rate"),
        ({"vary": {"recipe.generator_l2": [-1]}}, "recipe.generator_l2 = -1", "correct it"),
        ({"vary": {"recipe.generator_l2": {"loguniform": [1, 2]}}}, "loguniform", "log_uniform"),
        ({"vary": {"recipe.generator_l2": {"log_uniform": [0, 1]}}}, "log_uniform from 0", "above 0"),
        ({"vary": {"recipe.generator_l2": {"uniform": [1, 0]}}}, r"uniform \[1, 0\]", "lower and the upper"),
        ({"vary": {"recipe.generator_l2": []}}, r"\[\]", "list in brackets"),
        ({"vary": {"recipe.generator_l2": {"values": ["a"], "times": "base"}}}, "not all numbers", "numbers"),
        ({"vary": {"recipe.generator_l2": 3}}, "3", "list of values"),
        ({"vary": {"train.workers": [1, 2]}}, "train.workers cannot be varied", "gan, recipe"),
        ({"vary": {"train.seed": [1, 2]}}, "--seeds", "gan, recipe"),
        ({"vary": {"recipe.generator_l2": [0]}, "serach": "grid"}, "serach", "search"),
        ({"vary": {"recipe.generator_l2": [0]}, "search": "gird"}, "gird", "grid"),
        ({"vary": RANGE, "search": "grid"}, "grid of ranges", "random"),
        ({"vary": {"recipe.generator_l2": [0]}, "trials": 3}, "grid has all", "leave trials out"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_the_way_out(tree: dict[str, Any], found: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=found) as raised:
        check_space(space_from(tree), "demo", ())
    assert remedy in raised.value.remedy


def test_an_empty_space_is_refused(tmp_path: Path) -> None:
    for text in ("", "vary:\n", "vary: {}\n", "[1, 2]\n", "search: [\n"):
        (tmp_path / "space.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"space\.yaml"):
            read_space(tmp_path / "space.yaml")


def test_a_trial_is_the_config_with_its_values_and_seed() -> None:
    space = space_from({"vary": RANGE})
    for trial in trials(BASE, space, settings(space, 7), [5, 6]):
        given = {option.partition(".")[2]: value for option, value in trial.values.items()}
        alone = load_config("demo", {"recipe": given, "train": {"seed": trial.seed}})
        assert trial.config.numbers() == alone.numbers()
        assert trial.config.train.name == trial.name


def test_drawn_settings_follow_from_the_seed_and_more_are_the_same_and_further_ones() -> None:
    few, many = (settings(space_from({"vary": RANGE, "trials": count}), 7) for count in (5, 40))
    assert many[:6] == few
    assert few[0] == {}
    assert settings(space_from({"vary": RANGE, "trials": 5}), 8) != few
    drawn = many[1:]
    assert len({str(given) for given in drawn}) == 40
    assert all(1e-6 <= given["recipe.generator_l2"] <= 1e-2 for given in drawn)
    assert 10 < sum(given["recipe.generator_l2"] < 1e-4 for given in drawn) < 30, "a log-uniform range has two halves"
    assert {given["recipe.generator_updates"] for given in drawn} == {1, 2, 3}
    turned = space_from({"vary": dict(reversed(RANGE.items())), "trials": 5})
    assert [dict(sorted(one.items())) for one in settings(turned, 7)] == [dict(sorted(one.items())) for one in few]


def test_a_grid_has_every_point_once_and_the_base() -> None:
    space = space_from({"vary": {"recipe.generator_l2": [0, 1e-4], "recipe.generator_updates": [1, 2]}})
    found = trials(BASE, space, settings(space, 1), [1, 2])
    base = load_config("demo").recipe
    points = {(trial.values["recipe.generator_l2"], trial.values["recipe.generator_updates"]) for trial in found}
    assert (base.generator_l2, base.generator_updates) in points
    assert len(points) == 4
    assert len({trial.name for trial in found}) == len(found) == 8
    assert found[0].values["recipe.generator_l2"] == base.generator_l2


def test_names_tell_values_apart_and_do_not_depend_on_other_trials() -> None:
    space = space_from({"vary": {"gan.generator_leak": [0, 0.1], "gan.generator_norm": ["batch"]}})
    names = {trial.name for trial in trials(BASE, space, settings(space, 1), [1])}
    assert names == {"gl_0-gn_batch-s1", "gl_0.1-gn_batch-s1"}
    other = space_from({"vary": {"gan.generator_leak": [0.1, 0.2], "gan.generator_norm": ["virtual", "batch"]}})
    assert len(names & {trial.name for trial in trials(BASE, other, settings(other, 2), [1, 9])}) == 2
    alike = space_from(
        {"vary": {"recipe.generator_l2": [0], "gan.generator_leak": [0], "gan.generator_norm": ["batch"]}}
    )
    (name,) = {trial.name for trial in trials(BASE, alike, settings(alike, 1)[1:], [1])}
    assert name == "gl2_0-gl_0-gn_batch-s1"


def test_factors_on_the_base_follow_the_batch_and_the_kernel() -> None:
    vary = {"recipe.generator_learning_rate": {"values": [2], "times": "base"}, "train.lane_batch": [64, 512],
            "gan.kernel_size": [5], "gan.filters": {"values": [0.5], "times": "base"}}  # fmt: skip
    space = space_from({"vary": vary})
    found = trials(Base("dcgan", ()), space, settings(space, 1)[1:], [1])
    rates = {trial.config.train.lane_batch: trial.config.recipe.generator_learning_rate for trial in found}
    law = {batch: 2 * learning_rate("generator_learning_rate", batch) for batch in (64, 512)}
    assert rates == pytest.approx(law)
    assert found[0].config.gan.filters == (512, 256, 128, 64), "twice by the kernel's area (S20), half by the factor"


def test_searches_that_do_not_go_together_are_refused_with_the_reason() -> None:
    rates = space_from({"vary": RANGE, "search": "pbt"})
    with pytest.raises(ConfigError, match="holds no checkpoint"):
        check_search(rates, "none", [1], 2, None, None)
    with pytest.raises(ConfigError, match="--stop asha"):
        check_search(rates, "asha", [1], 1, None, None)
    with pytest.raises(ConfigError, match=r"gan\.filters"):
        check_search(space_from({"vary": {"gan.filters": [[8, 8]]}, "search": "pbt"}), "none", [1], 1, None, None)
    with pytest.raises(ConfigError, match="2 seeds"):
        check_search(space_from({"vary": RANGE, "search": "tpe"}), "asha", [1, 2], 1, None, None)
    check_search(space_from({"vary": RANGE, "search": "tpe"}), "asha", [1], 2, None, None)
