"""Options that touch the numbers, for the tests that compare runs bit for bit."""

from typing import Any

OPTIONS: list[dict[str, dict[str, Any]]] = [
    {},
    {"train": {"precision": "bfloat16"}},
    {"recipe": {"history_share": 0.0}, "tiles": {"augment": "none"}},
    {"gan": {"generator_norm": "virtual", "discriminator_norm": "virtual", "virtual_batch": 7, "generator_leak": 0.2}},
    {
        "recipe": {
            "real_target": 0.9, "instance_noise": 0.1, "instance_noise_steps": 8,
            "differentiable_augmentation": "color,translation,cutout",
        }
    },
    {"recipe": {"auto_balance": 3, "discriminator_learning_rate": 0.1}},
]  # fmt: skip
"""Every option that touches the numbers stands in one of them."""

BALANCED = OPTIONS[-1]
"""Its rates move after steps 6, 9 and 12."""

TOGETHER: dict[str, dict[str, Any]] = {
    "gan": OPTIONS[3]["gan"] | {"smoothing_layers": 1},
    "recipe": OPTIONS[4]["recipe"],
}
