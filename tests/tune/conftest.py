"""A narrow base for sweeps of moments, as files of a command line."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.train.conftest import threads_put_back, tile_set

__all__ = ["threads_put_back", "tile_set"]  # fixtures

SMALL: dict[str, dict[str, Any]] = {
    "gan": {"size": 16, "filters": "8,8", "smoothing_layers": 0, "noise_size": 6, "kernel_size": 4, "dense_head": ""},
    "judge": {"tiles": 24},
    "tiles": {"connections": 2, "prefetch_steps": 2},
    "recipe": {"history_capacity": 6, "average_half_life_tiles": 8},
    "train": {
        "steps": 12, "lanes": 2, "lane_batch": 4, "threads_per_lane": 1, "precision": "float32", "log_steps": 2,
        "film_steps": 3, "checkpoint_steps": 4,
    },
}  # fmt: skip


@pytest.fixture
def small(tmp_path: Path) -> str:
    """Path of a --config file."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return str(path)


@pytest.fixture
def rates(tmp_path: Path) -> str:
    """Path of a space of two rates."""
    path = tmp_path / "rates.yaml"
    path.write_text("vary:\n  recipe.generator_learning_rate: [1.0e-3, 1.0e-2]\n")
    return str(path)
