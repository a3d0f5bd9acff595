"""The config tree: layers, presets, refusals."""

from typing import Any

import pytest

from satgan.config import FREE_OPTIONS, Config, load_config
from satgan.errors import ConfigError
from satgan.presets import PRESETS


def test_later_layers_win() -> None:
    config = load_config("demo", {"train": {"steps": 7, "seed": 5}}, {"train": {"steps": "9"}})
    assert (config.train.steps, config.train.seed, config.train.lanes) == (9, 5, 2)


def test_networks_of_another_preset_replace_the_whole_group() -> None:
    config = load_config("demo", {"gan": {"preset": "digits"}}, {"gan": {"noise_size": 32}})
    assert (config.gan.size, config.gan.channels, config.gan.noise_size) == (28, 1, 32)
    assert config.train.name == "demo"


def test_a_saved_config_loads_as_it_was() -> None:
    for preset in PRESETS:
        config = load_config(preset, {"gan": {"filters": "96,48,24,12"}})
        assert load_config(config.gan.preset, config.model_dump(mode="json")) == config


def test_article_is_the_articles() -> None:
    config = load_config("article")
    assert (config.train.lane_batch, config.train.lanes, config.train.steps, config.train.seed) == (64, 1, 20_000, 1234)
    recipe = config.recipe
    assert (recipe.generator_learning_rate, recipe.discriminator_learning_rate) == (2e-4, 1.5e-4)
    assert (recipe.generator_l2, recipe.discriminator_l2, recipe.beta1) == (1e-4, 1e-4, 0.5)
    assert (config.train.film_steps, config.train.checkpoint_steps, recipe.history_share) == (10, 500, 0.3)


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ({"gan": {"size": 70}}, "70"),
        ({"gan": {"size": 4}}, "4"),
        ({"gan": {"filters": "8,8"}}, "doublings"),
        ({"gan": {"filters": "8,x,8,8"}}, "x"),
        ({"gan": {"channels": 17}}, "17"),
        ({"gan": {"preset": "artcle"}}, "did you mean article"),
        ({"recipe": {"beta1": 1.5}}, "beta1"),
        ({"recipe": {"generator_learning_rate": 0}}, "generator_learning_rate"),
        ({"recipe": {"history_share": 1.2}}, "history_share"),
        ({"train": {"workers": 3}}, "2 lane(s)"),
        ({"train": {"lane": 3}}, "did you mean lanes"),
        ({"train": {"name": "../up"}}, "name"),
        ({"train": {"seed": -1}}, "seed"),
        ({"trian": {}}, "did you mean train"),
        ({"train": 3}, "train"),
    ],
)
def test_what_cannot_be_is_refused_with_its_value(layer: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("demo", layer)
    assert told in str(caught.value)


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean article"):
        load_config("artikle")


def test_digest_follows_the_numbers_only() -> None:
    digest = load_config("demo").digest()
    assert load_config("demo", {"train": {"steps": 5, "store": "x", "workers": 2}}).digest() == digest
    assert load_config("demo", {"train": {"seed": 5}}).digest() != digest
    assert load_config("demo", {"recipe": {"beta2": 0.99}}).digest() != digest


def test_free_options_exist() -> None:
    tree = Config().model_dump()
    for path in FREE_OPTIONS:
        group, field = path.split(".")
        assert field in tree[group]
