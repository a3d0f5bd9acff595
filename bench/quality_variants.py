"""What is compared in `scripts/bench quality`: a plain DCGAN, the recipe whole and without each of its parts.

All have the networks of the preset `demo`; those with smoothing layers have one more stride-1 layer at the end.
"""

from typing import Any, NamedTuple

Layers = dict[str, dict[str, Any]]

LANE_BATCH = 64
SHORT_RUN_RATE = 5e-4
"""Runs this short need more than the articles' rates."""


class Variant(NamedTuple):
    """One row: options over the preset `demo`, and whether its averaged generator is judged or the raw one."""

    label: str
    options: Layers
    averaged: bool = True


def _merged(*layers: Layers) -> Layers:
    merged: Layers = {}
    for layer in layers:
        for group, fields in layer.items():
            merged[group] = merged.get(group, {}) | fields
    return merged


ONE_LANE: Layers = {"train": {"lanes": 1, "lane_batch": LANE_BATCH}}

PLAIN: Layers = _merged(
    ONE_LANE,
    {
        "tiles": {"augment": "none"},
        "recipe": {
            "generator_learning_rate": 2e-4, "discriminator_learning_rate": 2e-4, "generator_updates": 1,
            "history_share": 0.0, "path_threshold": 1.0, "generator_l2": 0.0, "discriminator_l2": 0.0,
        },
    },
)  # fmt: skip
"""As anybody would write it: the DCGAN paper's rates, one discriminator and one generator update per step."""

RECIPE: Layers = _merged(
    ONE_LANE,
    {
        "gan": {"smoothing_layers": 1},
        "recipe": {
            "generator_learning_rate": SHORT_RUN_RATE, "discriminator_learning_rate": SHORT_RUN_RATE,
            "generator_updates": 2, "history_share": 0.3, "path_threshold": 0.5, "generator_l2": 1e-4,
            "discriminator_l2": 1e-4, "average_half_life_tiles": 10_000,
        },
    },
)  # fmt: skip
"""The articles' recipe, at the rates that so short a run needs."""

RATES = ("generator_learning_rate", "discriminator_learning_rate")


def _recipe(**options: Any) -> Layers:
    return _merged(RECIPE, {"recipe": options})


VARIANTS = {
    "plain": Variant("plain DCGAN", PLAIN, averaged=False),
    "demo": Variant("`demo` as it is", {}),
    "recipe": Variant("the recipe", RECIPE),
    "plain-fast": Variant(
        "plain DCGAN at 5e-4", _merged(PLAIN, {"recipe": dict.fromkeys(RATES, SHORT_RUN_RATE)}), averaged=False
    ),
    "recipe-slow": Variant(
        "the recipe at the articles' rates",
        _recipe(generator_learning_rate=2e-4, discriminator_learning_rate=1.5e-4),
    ),
    "no-history": Variant("the recipe without history", _recipe(history_share=0.0)),
    "no-paths": Variant("the recipe without path A", _recipe(path_threshold=1.0)),
    "no-second-update": Variant("the recipe with one generator update", _recipe(generator_updates=1)),
    "no-dihedral": Variant("the recipe without flips and turns", _merged(RECIPE, {"tiles": {"augment": "none"}})),
    "no-l2": Variant("the recipe without L2", _recipe(generator_l2=0.0, discriminator_l2=0.0)),
    "no-smoothing": Variant(
        "the recipe without the smoothing layer", _merged(RECIPE, {"gan": {"smoothing_layers": 0}})
    ),
    "no-average": Variant("the recipe's raw generator", RECIPE, averaged=False),
    "demo-no-l2": Variant("`demo` without L2", {"recipe": {"generator_l2": 0.0, "discriminator_l2": 0.0}}),
    "demo-no-dihedral": Variant("`demo` without flips and turns", {"tiles": {"augment": "none"}}),
    "demo-one-lane": Variant("`demo` in one lane of 64", ONE_LANE),
    "demo-no-average": Variant("`demo`'s raw generator", {}, averaged=False),
}
"""By name, the most telling first."""


def training_of(name: str) -> str:
    """The variant whose training a variant shares: raw and averaged generators come from one run."""
    return {"no-average": "recipe", "demo-no-average": "demo"}.get(name, name)
