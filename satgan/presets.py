"""The named presets: their networks, and what else they set (satgan/config.py has the other defaults)."""

from typing import Any

NETWORKS: dict[str, dict[str, Any]] = {
    # The article's own pair, solved from its published parameter counts 19,154,627 and 19,616,609 (S25).
    "article": {
        "size": 64, "channels": 3, "noise_size": 100, "stem": 4, "kernel_size": 5,
        "filters": (1024, 512, 256, 128), "smoothing_layers": 2, "biases": True, "affine_norm": False,
        "dense_head": (128, 16),
    },
    # The DCGAN paper's (arXiv 1511.06434) as pytorch/examples builds it: 3,576,704 and 2,765,568 parameters.
    "dcgan": {
        "size": 64, "channels": 3, "noise_size": 100, "stem": 4, "kernel_size": 4,
        "filters": (512, 256, 128, 64), "smoothing_layers": 0, "biases": False, "affine_norm": True, "dense_head": (),
    },
    # The first article's handwritten digits: 32 > 16 > 8 > 1 (G02, G05). The dense layer mirrors the projection (S37).
    "digits": {
        "size": 28, "channels": 1, "noise_size": 100, "stem": 7, "kernel_size": 5,
        "filters": (32, 16), "smoothing_layers": 1, "biases": False, "affine_norm": True, "dense_head": (100,),
    },
    # Narrow enough for two CPU cores; the short noise keeps the projection, and so the pair, in balance (S37).
    "demo": {
        "size": 64, "channels": 3, "noise_size": 32, "stem": 4, "kernel_size": 4,
        "filters": (192, 96, 48, 24), "smoothing_layers": 0, "biases": False, "affine_norm": True, "dense_head": (),
    },
}  # fmt: skip

# Chosen over runs of minutes: networks this narrow need the higher rates, and in so short a run a discriminator
# that leads does more for them than history, path A and a second generator update.
NARROW = {
    "generator_learning_rate": 1e-3, "discriminator_learning_rate": 1e-3, "generator_updates": 1,
    "history_share": 0.0, "path_threshold": 1.0,
}  # fmt: skip

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "article": {"train": {"name": "article"}, "tiles": {"augment": "none"}},
    "dcgan": {"train": {"name": "dcgan"}},
    # Legible after some 2,000 steps. Two lanes, as in `demo`: at one thread each they keep two cores busy.
    "digits": {
        "train": {"name": "digits", "steps": 5_000, "lanes": 2, "lane_batch": 32},
        "recipe": NARROW | {"average_half_life_tiles": 20_000},
        "tiles": {"augment": "none"},
    },
    "demo": {
        "train": {"name": "demo", "steps": 6_400, "lanes": 2, "lane_batch": 16, "checkpoint_steps": 800},
        # By the judge, at equal tiles (`scripts/bench quality`): batches of 32 beat 64, these rates 2e-4 and 5e-4 taken
        # over all sets, a smoothed label steadies them, and a half-life of 5,000 tiles beats 3,000 and 10,000.
        "recipe": NARROW | {
            "generator_learning_rate": 3e-4, "discriminator_learning_rate": 3e-4, "average_half_life_tiles": 5_000,
            "real_target": 0.9,
        },
        # Without flips and turns the judge finds it better on two of three sets, as good on one; houses have walls.
        "tiles": {"augment": "none"},
        "judge": {"tiles": 256},
    },
}  # fmt: skip
