"""The config tree: layers, presets, refusals."""

import math
import re
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from satgan.config import FREE_OPTIONS, Config, load_config, networks_for
from satgan.errors import ConfigError
from satgan.presets import NETWORKS, PRESETS
from satgan.scaling import STEMS


def test_later_layers_win() -> None:
    config = load_config("demo", {"train": {"steps": 7, "seed": 5}}, {"train": {"steps": "9"}})
    assert (config.train.steps, config.train.seed, config.train.lanes) == (9, 5, 2)


def test_networks_of_another_preset_replace_the_whole_group() -> None:
    config = load_config("demo", {"gan": {"preset": "digits"}}, {"gan": {"noise_size": 32}})
    assert (config.gan.size, config.gan.channels, config.gan.noise_size) == (28, 1, 32)
    assert config.train.name == "demo"


def test_a_saved_config_loads_as_it_was() -> None:
    for preset in PRESETS:
        config = load_config(preset, {"gan": {"noise_size": 50}, "train": {"lane_batch": 100}})
        assert load_config(config.gan.preset, config.model_dump(mode="json")) == config


ARTICLE: dict[str, object] = {
    "gan.size": 64,  # S31: "Image Resolution = 64 x 64"
    "gan.channels": 3,
    "train.lanes": 1,
    "train.lane_batch": 64,  # S31: "Mini Batch size = 64"
    "recipe.generator_learning_rate": 2e-4,  # S31: "Generator Learning Rate = 0.0002"
    "recipe.discriminator_learning_rate": 1.5e-4,  # S31: "Discriminator Learning Rate = 0.00015"
    "recipe.generator_l2": 1e-4,  # S25: "Generator Regularizer Scaling Constant = 0.0001"
    "recipe.discriminator_l2": 1e-4,  # S25: "Discriminator Regularizer Scaling Constant = 0.0001"
    "recipe.beta1": 0.5,  # S39: beta1 of Adam is set to 0.5
    "train.steps": 20_000,  # S30: 20,000 iterations are common
    "train.film_steps": 10,  # S10: a picture every 10 iterations
    "train.checkpoint_steps": 500,  # S09: a checkpoint every 500 iterations
    "train.seed": 1234,  # S06
    "recipe.history_share": 0.3,  # S33: history in 30 % of the main loop
    "recipe.path_threshold": 0.5,  # S39: path A when 50 % of one kind are misjudged
    "recipe.generator_updates": 2,  # S37: the generator is always trained twice
    "gan.kernel_size": 5,  # S19, S20: 5×5 filters
    "gan.filters": (1024, 512, 256, 128),  # S20: from 1024 filters at 4×4, halved as resolution doubles
    "gan.stem": 4,
    "gan.smoothing_layers": 2,  # S27: the 1×1-stride layers before tanh; six deconvolutions, gb1 to gb6
    "gan.generator_leak": 0.0,  # S22: those who succeeded in the end never used it
    "gan.discriminator_leak": 0.2,
    "gan.generator_norm": "batch",  # S23
    "gan.discriminator_norm": "batch",
    # What the article knows nothing of is off.
    "tiles.augment": "none",
    "recipe.real_target": 1.0,
    "recipe.instance_noise": 0.0,
    "recipe.differentiable_augmentation": (),
}
"""The second article's set-up, each number with its rule; tests/gan/test_networks.py has its parameter counts (S25)."""


@pytest.mark.parametrize("path", ARTICLE)
def test_article_is_the_articles(path: str) -> None:
    group, field = path.split(".")
    assert getattr(getattr(load_config("article"), group), field) == ARTICLE[path]


def rates(*layers: dict[str, Any], preset: str = "article") -> tuple[float, float]:
    """The generator's rate and the discriminator's."""
    recipe = load_config(preset, *layers).recipe
    return recipe.generator_learning_rate, recipe.discriminator_learning_rate


def test_rates_follow_the_global_batch_by_the_power_law() -> None:
    """S31: through the article's two points, straight on logarithmic scales, never above 1e-3."""
    batches = (8, 64, 128, 256, 512, 4096)
    found = {batch: rates({"train": {"lanes": batch // 8, "lane_batch": 8}}) for batch in batches}
    assert (found[64], found[512], found[4096]) == ((2e-4, 1.5e-4), (1e-3, 1e-3), (1e-3, 1e-3))
    for one, other in ((8, 64), (64, 128), (128, 256), (256, 512)):
        for network, at_64 in enumerate((2e-4, 1.5e-4)):
            slope = math.log(found[other][network] / found[one][network]) / math.log(other / one)
            assert slope == pytest.approx(math.log(1e-3 / at_64) / math.log(8), rel=1e-4)
    assert rates({"train": {"lanes": 4, "lane_batch": 32}}) == found[128]


def test_rates_that_are_given_stay_and_none_means_the_law() -> None:
    assert rates({"recipe": {"generator_learning_rate": 3e-4}, "train": {"lanes": 8}}) == (3e-4, 1e-3)
    assert rates({"train": {"lanes": 8}}, preset="demo") == (3e-4, 3e-4)
    given = {"generator_learning_rate": None, "discriminator_learning_rate": "none"}
    assert rates({"recipe": given, "train": {"lanes": 4}}, preset="demo") == (2e-4, 1.5e-4)
    config = load_config("article", {"train": {"lanes": 4}})
    again = load_config("article", config.model_dump(mode="json"), {"train": {"lane_batch": 8}})
    assert again.recipe == config.recipe, "a recorded config keeps its numbers"


def filters(preset: str, **gan: Any) -> tuple[int, ...]:
    """The generator's filters."""
    return load_config(preset, {"gan": gan}).gan.filters


def test_filters_follow_the_kernels_area() -> None:
    """S20: 1024 filters of 5×5 are 4096 of 11×11; the halving ladder stays one, and given filters stay."""
    assert filters("article", kernel_size=11) == (4096, 2048, 1024, 512)
    assert filters("article", kernel_size=5) == (1024, 512, 256, 128)
    first = [filters("article", kernel_size=kernel)[0] for kernel in range(3, 12)]
    assert first == sorted(first)
    for kernel, found in zip(range(3, 12), first, strict=True):
        assert 2**-0.5 <= found / (1024 * kernel**2 / 25) <= 2**0.5, kernel
    assert filters("article", kernel_size=11, filters="64,32,16,8") == (64, 32, 16, 8)


def test_filters_follow_the_size() -> None:
    for size, stem in ((32, 4), (64, 4), (128, 4), (256, 4), (28, 7), (56, 7), (112, 7)):
        for preset in NETWORKS:
            found = filters(preset, size=size, stem=stem)
            assert len(found) == load_config(preset, {"gan": {"size": size, "stem": stem}}).gan.doublings
            assert found[0] == NETWORKS[preset]["filters"][0]
            assert all(deep // 2 == shallow for deep, shallow in pairwise(found))


def refusal(stem: int | str, size: int) -> str:
    """What is said of networks; nothing where they are accepted."""
    try:
        load_config("dcgan", {"gan": {"stem": stem, "size": size}})
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("stem", STEMS)
def test_what_is_said_of_a_size_names_the_stem_that_makes_it(stem: int) -> None:
    """A refused config and tiles of another size are told the same, and it helps; no other stem is named in vain."""
    gan = load_config("dcgan", {"gan": {"stem": stem, "size": 8 * stem}}).gan
    named = list[int]()
    for size in range(1, 130):
        said = re.findall(r"--gan\.stem (\d)", networks_for(gan, size, 3))
        assert re.findall(r"--gan\.stem (\d)", refusal(stem, size)) == said
        for option in said:
            assert refusal(option, size) == ""
            named.append(size)
    (other,) = set(STEMS) - {stem}
    assert named == [size for size in range(1, 130) if size in (other * 2**n for n in range(1, 9))]


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ({"gan": {"size": 70}}, "70"),
        ({"gan": {"size": 4}}, "4"),
        ({"gan": {"size": 56}}, "--gan.stem 7"),
        ({"gan": {"filters": "8,8"}}, "such as 8,8,4,2"),
        ({"gan": {"filters": "64,32,16,8", "size": 128}}, "such as 64,32,16,8,4"),
        ({"gan": {"smoothing_layers": -1}}, "smoothing_layers"),
        ({"gan": {"generator_norm": "layer"}}, "'batch' or 'virtual'"),
        ({"gan": {"virtual_batch": 1}}, "virtual_batch"),
        ({"gan": {"filters": "8,x,8,8"}}, "x"),
        ({"gan": {"channels": 17}}, "17"),
        ({"gan": {"preset": "artcle"}}, "did you mean article"),
        ({"recipe": {"beta1": 1.5}}, "beta1"),
        ({"recipe": {"generator_learning_rate": 0}}, "generator_learning_rate = 0: give more than 0"),
        ({"recipe": {"discriminator_learning_rate": -1e-4}}, "discriminator_learning_rate = -0.0001"),
        ({"recipe": {"history_share": 1.2}}, "history_share = 1.2: give 1 or less"),
        ({"recipe": {"history_share": -0.1}}, "history_share = -0.1: give 0 or more"),
        ({"recipe": {"real_target": 0.5}}, "real_target"),
        ({"recipe": {"instance_noise": -1}}, "instance_noise"),
        ({"recipe": {"instance_noise_steps": 0}}, "instance_noise_steps"),
        ({"recipe": {"differentiable_augmentation": "color,flip"}}, "flip"),
        ({"train": {"workers": 3}}, "2 lane(s)"),
        ({"train": {"workers": "1:3"}}, "--workers 1:2"),
        ({"train": {"workers": "2:1"}}, "train.workers = '2:1'"),
        ({"train": {"workers": "0:2"}}, "MIN is at least 1"),
        ({"train": {"workers": "many"}}, "--workers 2:8"),
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


@pytest.mark.parametrize(("given", "ends"), [("2", (2, 2)), (2, (2, 2)), ("2:2", (2, 2)), ("1:2", (1, 2)), (0, (0, 0))])
def test_workers_are_a_number_or_a_range(given: int | str, ends: tuple[int, int]) -> None:
    config = load_config("demo", {"train": {"workers": given}})
    assert config.train.worker_range == ends
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_free_options_exist() -> None:
    tree = Config().model_dump()
    for path in FREE_OPTIONS:
        group, field = path.split(".")
        assert field in tree[group]


def test_the_stem_can_be_given_as_text() -> None:
    """As every option of the command line is."""
    assert load_config("dcgan", {"gan": {"size": "28", "stem": "7", "filters": "64,32"}}).gan.stem == 7
    with pytest.raises(ConfigError, match=r"gan\.stem = 5"):
        load_config("dcgan", {"gan": {"stem": "5"}})


WRONG: tuple[object, ...] = ("", "no such thing", "-1", "2.5", 1e9, [], {"a": 1})


def test_a_refusal_is_in_our_words_whatever_is_given() -> None:
    """For every option and values of several wrong kinds; pydantic's words are for programmers."""
    refused = set()
    for group, about in Config.model_fields.items():
        for field in about.annotation.model_fields:  # type: ignore[union-attr]
            for value in WRONG:
                with suppress(ConfigError):
                    load_config("demo", {group: {field: value}})
                    continue
                refused.add(_refusal(group, field, value))
    assert len(refused) > 150
    assert {text for text in refused if re.search(r"Input|should|valid |parse|occurred", text)} == set()


def _refusal(group: str, field: str, value: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config("demo", {group: {field: value}})
    return caught.value.found
