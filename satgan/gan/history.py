"""Past fakes of one lane (S33). One fake of each step's batch enters (S34), as the network made it (S35)."""

import torch
from torch import Tensor

from satgan.config import Config


def history_slots(config: Config) -> int:
    """Past fakes that a lane keeps; none where no step trains on them."""
    return config.recipe.history_capacity if config.recipe.history_share else 0


class History:
    """A fixed number of slots for tiles `[C, S, S]` in [-1, 1].

    How many are filled follows from the step (one per step), so nothing but the tiles has to be saved. They are
    stored in the generator's own output type, so that a kept tile gets the same logit as when it was made.

    Args:
        capacity: slots.
        tile_shape: (C, S, S).
        dtype: the generator's output type.
        device: where the networks are.
    """

    def __init__(self, capacity: int, tile_shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device):
        self.tiles = torch.zeros((capacity, *tile_shape), dtype=dtype, device=device)

    def put(self, slot: int, tile: Tensor) -> None:
        """Keeps `tile` `[C, S, S]` in `slot`, over what was there."""
        self.tiles[slot].copy_(tile)

    def pick(self, slots: Tensor) -> Tensor:
        """Tiles `[B, C, S, S]` of the slots `[B]`, `channels_last`."""
        return self.tiles[slots].contiguous(memory_format=torch.channels_last)
