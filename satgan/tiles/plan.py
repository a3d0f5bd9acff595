"""Who reads which tile at which step: pure arithmetic on (seed, epoch, lane), no I/O, no state.

Lane l of L owns the packed tiles [l·N//L, (l+1)·N//L). Its stream of samples is endless: sample s lies at position
s % n of epoch s // n, where n is the number of tiles that the lane owns, and step t takes the lane_batch samples from
t · lane_batch on. Each epoch is a permutation of the lane's tiles; a batch may span epochs; nothing is dropped.

An epoch is shuffled on three levels, so that few pieces are needed at a time and no level grows with the set:
the lane's range, cut at the borders of pieces, into *blocks* (the first and the last may be partial pieces);
`SECTION_PIECES` neighbouring blocks are a *section*. Sections are permuted, then the blocks of a section, and each
`WINDOW_PIECES` blocks in that order are a *window*, whose tiles are permuted. Sets below 65,536 pieces (some 500 GB)
have a single section per lane. The packed order is already a global shuffle; this one keeps epochs from being alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from satgan.errors import TilesError
from satgan.randomness import Purpose, generator

WINDOW_PIECES = 8
SECTION_PIECES = 2**16


@dataclass(frozen=True)
class LanePlan:
    """The order in which one lane reads its tiles.

    Args:
        tile_count: N, tiles of the packed set.
        piece_tiles: tiles of a piece.
        lanes: L, lanes of the run.
        lane: l, 0 to L - 1.
        lane_batch: tiles of the lane in one step.
        seed: the run's seed, 0 to 2**64 - 1 (S06).

    Raises:
        TilesError: more lanes than tiles, so that a lane would own none.
    """

    tile_count: int
    piece_tiles: int
    lanes: int
    lane: int
    lane_batch: int
    seed: int

    def __post_init__(self) -> None:
        assert 0 <= self.lane < self.lanes, self
        assert min(self.piece_tiles, self.lane_batch) > 0, self
        if self.tile_count < self.lanes:
            raise TilesError(
                f"the tile set has {self.tile_count} tile(s), fewer than the run has lanes: {self.lanes}",
                f"take a larger tile set, or at most {self.tile_count} lanes (--train.lanes)",
            )

    @property
    def first_tile(self) -> int:
        """Number of the lane's first tile in the packed order."""
        return self.lane * self.tile_count // self.lanes

    @property
    def stop_tile(self) -> int:
        """One more than the number of the lane's last tile."""
        return (self.lane + 1) * self.tile_count // self.lanes

    @property
    def own_tiles(self) -> int:
        """n, the number of tiles that the lane owns: the length of its epoch."""
        return self.stop_tile - self.first_tile

    @property
    def piece_count(self) -> int:
        """Pieces that the lane's tiles lie in."""
        return -(-self.stop_tile // self.piece_tiles) - self.first_tile // self.piece_tiles

    def tiles(self, step: int) -> NDArray[np.int64]:
        """The lane's tiles of one step: packed tile numbers, `[lane_batch] int64`."""
        parts: list[NDArray[np.int64]] = []
        missing = self.lane_batch
        for window in self.windows(step):
            parts.append(window[:missing])
            missing -= len(parts[-1])
            if not missing:
                break
        return np.concatenate(parts)

    def windows(self, step: int) -> Iterator[NDArray[np.int64]]:
        """The lane's stream from the first tile of `step` on, endless, one window at a time.

        Yields:
            packed tile numbers in reading order, `[1 to WINDOW_PIECES · piece_tiles] int64`, from at most
            WINDOW_PIECES pieces; the first window lacks what earlier steps have read of it.
        """
        assert step >= 0, step
        epoch, position = divmod(step * self.lane_batch, self.own_tiles)
        for number in count(epoch):
            yield from self._epoch(number, position)
            position = 0

    def _epoch(self, epoch: int, skip: int) -> Iterator[NDArray[np.int64]]:
        """The windows of an epoch without its first `skip` tiles."""
        first_piece, stop_piece = self.first_tile // self.piece_tiles, -(-self.stop_tile // self.piece_tiles)
        sections = -(-(stop_piece - first_piece) // SECTION_PIECES)
        # Blocks draw from parts 0 to sections - 1, so the order of sections has the next part to itself.
        for section in generator(self.seed, Purpose.PIECE_ORDER, epoch, self.lane, sections).permutation(sections):
            first = first_piece + int(section) * SECTION_PIECES
            stop = min(first + SECTION_PIECES, stop_piece)
            size = self._clipped(stop * self.piece_tiles) - self._clipped(first * self.piece_tiles)
            if skip < size:
                yield from self._section(epoch, int(section), range(first, stop), skip)
            skip = max(0, skip - size)

    def _section(self, epoch: int, section: int, pieces: range, skip: int) -> Iterator[NDArray[np.int64]]:
        """The windows of a section, which has these pieces, without its first `skip` tiles."""
        random = generator(self.seed, Purpose.PIECE_ORDER, epoch, self.lane, section)
        order = pieces.start + random.permutation(len(pieces))
        starts = np.maximum(order * self.piece_tiles, self.first_tile)
        stops = np.minimum((order + 1) * self.piece_tiles, self.stop_tile)
        ends = np.cumsum(np.add.reduceat(stops - starts, np.arange(0, len(order), WINDOW_PIECES)))
        begun = int(np.searchsorted(ends, skip, side="right"))
        skip -= int(ends[begun - 1]) if begun else 0
        for window in range(begun, len(ends)):
            blocks = slice(window * WINDOW_PIECES, (window + 1) * WINDOW_PIECES)
            ranges = zip(starts[blocks].tolist(), stops[blocks].tolist(), strict=True)
            tiles = np.concatenate([np.arange(start, stop) for start, stop in ranges])
            part = section * (SECTION_PIECES // WINDOW_PIECES) + window
            yield generator(self.seed, Purpose.WINDOW_ORDER, epoch, self.lane, part).permutation(tiles)[skip:]
            skip = 0

    def _clipped(self, tile: int) -> int:
        """The tile number, moved to the nearest end of the lane's range when it lies outside."""
        return min(max(tile, self.first_tile), self.stop_tile)
