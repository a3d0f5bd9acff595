"""Memory that batches are gathered into: a few buffers used in turn, pinned and copied aside where there is a GPU."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[np.uint8]


class Batch(NamedTuple):
    """What a step computes with. `tiles` stay as they are until the next batch is asked for.

    step     its number
    tiles    `[lanes, lane_batch, H, W, C] uint8` on the stream's device, one row per lane of this process
    choices  what the stream's `prepare` gave for this step
    """

    step: int
    tiles: Tensor
    choices: Any


def side_stream(device: torch.device) -> torch.cuda.Stream | None:
    """A GPU's stream beside the caller's, for copies into memory that the caller takes next; None on the CPU, where
    nothing runs aside."""
    if device.type != "cuda":
        return None
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream(device))  # which may still use what it has given back
    return side


class BatchBuffer:
    """Memory of one batch. It goes round: begin, filled, ship (gathering thread), arrive, leave (consumer).

    Args:
        shape: `[lanes, lane_batch, H, W, C]`.
        device: where the consumer wants the tiles.
        side: as `side_stream(device)` gave it.

    Attributes:
        rows: host memory, `[lanes, lane_batch, H · W · C] uint8`; on the CPU the very memory of `tiles`.
        tiles: the batch on the device.
    """

    def __init__(self, shape: Sequence[int], device: torch.device, side: torch.cuda.Stream | None) -> None:
        self._side = side
        self._host = torch.empty(tuple(shape), dtype=torch.uint8, pin_memory=side is not None)
        self.rows: Pixels = self._host.flatten(2).numpy()
        self.tiles = self._host if side is None else torch.empty_like(self._host, device=device)
        self._shipped: torch.cuda.Event | None = None
        self._left: torch.cuda.Event | None = None

    def begin(self) -> None:
        """Wait until the last copy from `rows` is through, and let the side stream wait until `tiles` were used."""
        if self._shipped is not None:
            self._shipped.synchronize()
        if self._side is not None and self._left is not None:
            self._side.wait_event(self._left)

    def ship(self, from_host: bool) -> None:
        """Copy `rows` to the device, aside; with `from_host` False the tiles are there (or on their way) already."""
        if self._side is not None:
            with torch.cuda.stream(self._side):
                if from_host:
                    self.tiles.copy_(self._host, non_blocking=True)
                self._shipped = self._side.record_event()

    def arrive(self) -> None:
        """Let the consumer's stream wait for the copy."""
        if self._shipped is not None:
            torch.cuda.current_stream(self.tiles.device).wait_event(self._shipped)

    def leave(self) -> None:
        """Note how far the consumer's stream is: what it still computes reads `tiles`."""
        if self._side is not None:
            self._left = torch.cuda.current_stream(self.tiles.device).record_event()
