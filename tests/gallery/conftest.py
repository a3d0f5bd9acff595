"""What tests of the gallery draw from."""

import pytest

from tests.train.conftest import MakeConfig, make_config, run, threads_put_back, tile_set

__all__ = ["make_config", "threads_put_back", "tile_set"]  # fixtures


@pytest.fixture
def trained(make_config: MakeConfig) -> str:
    """Url of a finished run: 12 steps, checkpoints after 5, 10 and 12, tiles of 16 × 16 × 3, noise of 6 numbers."""
    return run(make_config()).run
