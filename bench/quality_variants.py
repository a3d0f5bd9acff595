"""What is compared in `scripts/bench quality`: a plain DCGAN, `demo`, and `demo` with one part of the recipe changed.

All have the networks of the preset `demo`; those with smoothing layers have one more stride-1 layer at the end.
"""

from typing import Any, NamedTuple

Layers = dict[str, dict[str, Any]]


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


PLAIN: Layers = {
    "train": {"lanes": 1, "lane_batch": 64},
    "tiles": {"augment": "none"},
    "recipe": {
        "generator_learning_rate": 2e-4, "discriminator_learning_rate": 2e-4, "generator_updates": 1,
        "history_share": 0.0, "path_threshold": 1.0, "generator_l2": 0.0, "discriminator_l2": 0.0, "real_target": 1.0,
    },
}  # fmt: skip
"""As anybody would write it: the DCGAN paper's rates, one discriminator and one generator update per step."""

SMOOTHED: Layers = {"gan": {"smoothing_layers": 1}}
RECIPE: Layers = _merged(SMOOTHED, {"recipe": {"generator_updates": 2, "history_share": 0.3, "path_threshold": 0.5}})
"""All parts of the articles' recipe, at the batch, the rates and the label that so short a run of `demo` needs."""


def _demo(**options: Any) -> Variant:
    """`demo` with other options of its recipe; the label tells them."""
    told = ", ".join(f"{name} {value:g}" for name, value in options.items())
    return Variant(f"`demo`, {told.replace('_', ' ')}", {"recipe": options})


VARIANTS = {
    "plain": Variant("plain DCGAN", PLAIN, averaged=False),
    "demo": Variant("`demo` as it is", {}),
    "no-average": Variant("`demo`, raw generator", {}, averaged=False),
    "recipe": Variant("the recipe whole", RECIPE),
    "history": _demo(history_share=0.3),
    "paths": _demo(path_threshold=0.5),
    "second-update": _demo(generator_updates=2),
    "dihedral": Variant("`demo`, flips and turns", {"tiles": {"augment": "dihedral"}}),
    "no-l2": _demo(generator_l2=0.0, discriminator_l2=0.0),
    "smoothing": Variant("`demo`, a smoothing layer", SMOOTHED),
    "hard-label": _demo(real_target=1.0),
    "batch-64": Variant("`demo`, 2 lanes of 32", {"train": {"lane_batch": 32}}),
    "plain-32": Variant("plain DCGAN, batch 32", _merged(PLAIN, {"train": {"lane_batch": 32}}), averaged=False),
    "slow": _demo(generator_learning_rate=2e-4, discriminator_learning_rate=1.5e-4),
}
"""By name, the most telling first."""


def training_of(name: str) -> str:
    """The variant whose training a variant shares: raw and averaged generators come from one run."""
    return {"no-average": "demo"}.get(name, name)
