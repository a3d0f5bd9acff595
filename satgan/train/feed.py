"""What a worker's steps are fed with: its lanes' tiles and random choices, made ready while earlier steps compute."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from satgan.config import Config
from satgan.gan.noise import DRAWN_TENSORS, Draws, draw
from satgan.randomness import Purpose, generator
from satgan.tiles.batches import Batch
from satgan.tiles.cache import Cache, open_cache
from satgan.tiles.pixels import augment_dihedral, to_unit_range
from satgan.tiles.store import Patience
from satgan.tiles.stream import TileStream
from satgan.tiles.tile_set import TileSet, open_tile_set


class Feed:
    """The tile set of a run, its cache, and the stream of batches.

    Args:
        config: complete.
        lanes: numbers of this worker's lanes.
        device: where they are computed.

    Raises:
        StoreError, TilesError: the set cannot be opened.
        ConfigError: the cache asked for is impossible here.
    """

    def __init__(self, config: Config, lanes: Sequence[int], device: torch.device) -> None:
        tiles = config.tiles
        assert tiles.source is not None
        self._config, self._lanes, self._device = config, list(lanes), device
        patience = Patience(tiles.connect_timeout_seconds, tiles.read_timeout_seconds, tiles.attempts)
        self.tile_set: TileSet = open_tile_set(tiles.source, tiles.connections, patience)
        manifest = self.tile_set.manifest
        self.cache: Cache = open_cache(
            self.tile_set,
            tiles.cache,
            tiles.cache_folder,
            own_bytes=manifest.tile_count * manifest.tile_bytes * len(lanes) // config.train.lanes,
            memory_bytes=tiles.memory_megabytes * 10**6,
            device=device,
        )

    def stream(self, start_step: int, attempt: int) -> TileStream:
        """Batches from a step on; close it.

        The order of the tiles does not depend on the attempt: each epoch still shows each tile once.
        """
        tiles, train = self._config.tiles, self._config.train
        return TileStream(
            self.cache.source,
            lanes=train.lanes,
            my_lanes=self._lanes,
            lane_batch=train.lane_batch,
            seed=train.seed,
            start_step=start_step,
            prefetch_steps=tiles.prefetch_steps,
            connections=tiles.connections,
            memory_megabytes=tiles.memory_megabytes,
            keep=self.cache.kind != "none",
            device=self._device,
            on_device=self.cache.kind == "device",
            prepare=partial(self._draws, attempt),
        )

    def inputs(self, batch: Batch, place: int) -> tuple[Tensor, Draws]:
        """What one lane computes a step with, on the device.

        Args:
            batch: of the stream.
            place: of the lane among this worker's.

        Returns:
            Real tiles, augmented, `[B, C, H, W] float32` in [-1, 1], and the random choices.
        """
        tiles, draws = batch.tiles[place], batch.choices[place]
        draws = draws._replace(**{name: _moved(getattr(draws, name), self._device) for name in DRAWN_TENSORS})
        if self._config.tiles.augment == "dihedral":
            tiles = augment_dihedral(tiles, draws.dihedral)
        return to_unit_range(tiles), draws

    def reference(self) -> Tensor:
        """The reference batch of the discriminator's virtual batch norm: neighbours in the packed, shuffled order,
        from a place that follows from the seed (S23); `[R, C, H, W] float32` in [-1, 1]."""
        manifest, count = self.tile_set.manifest, self._config.gan.virtual_batch
        random = generator(self._config.train.seed, Purpose.REFERENCE_TILES)
        first = int(random.integers(manifest.tile_count - count + 1))
        pieces = range(first // manifest.piece_tiles, (first + count - 1) // manifest.piece_tiles + 1)
        tiles = np.concatenate([self.tile_set.read_piece(piece) for piece in pieces])
        start = first - pieces.start * manifest.piece_tiles
        return to_unit_range(torch.from_numpy(tiles[start : start + count]))

    def _draws(self, attempt: int, step: int) -> list[Draws]:
        """The choices of all lanes; called by the stream's thread."""
        draws = [draw(self._config, step, lane, attempt) for lane in self._lanes]
        return [_pinned(one) for one in draws] if self._device.type == "cuda" else draws


def _pinned(draws: Draws) -> Draws:
    return draws._replace(**{name: getattr(draws, name).pin_memory() for name in DRAWN_TENSORS})


def _moved(drawn: Tensor, device: torch.device) -> Tensor:
    return drawn.to(device, non_blocking=True)
