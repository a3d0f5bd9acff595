"""Cutting: rasters are read by threads, a panel of rows at a time, and fall into tiles.

Up to eight sources are read at the same time, each by a thread that keeps a little ahead; their panels come in turn.
So the order of tiles follows from the sources alone, not from cores or speed.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from satgan.errors import TilesError
from satgan.tiles.inspect import WRONG_SIZE, Rejection
from satgan.tiles.look import CutOptions, TooSmall, look
from satgan.tiles.raster import Panel, Raster, RasterPlan, Valid
from satgan.tiles.records import Place, Tile, Transform
from satgan.tiles.sources import find_sources
from satgan.tiles.window import read_panel, turned

Item = TypeVar("Item")

PANEL_BYTES = 8 * 2**20
READ_AHEAD = 2
SOURCES_AT_ONCE = 8


def cut_raster(path: Path, size: int, stride: int) -> Iterator[Tile]:
    """The tiles of one local raster in this thread, with its own resolution, all its bands, the usual stretch.

    Raises:
        StoreMissing: no such file.
        TilesError: see `look`.
    """
    (source,) = find_sources([str(path)])
    options = CutOptions(size, stride)
    for panel in _panels(look(source, options), options):
        yield from panel


def cut_tiles(plans: Sequence[RasterPlan], options: CutOptions, skip_unreadable: bool = False) -> Iterator[Tile]:
    """The tiles of all rasters, in an order that follows from the plans.

    Tiles lie in rows from the top left; what is left over at the right and at the bottom is not used.

    Args:
        plans: of the rasters.
        options: size and stride; the rest is in the plans.
        skip_unreadable: whether a raster that breaks on the way ends there, with a rejected tile that says so.

    Raises:
        TilesError: a raster that breaks on the way.
        StoreError: a source that cannot be reached any more.
    """
    waiting = iter(plans)
    readers: deque[ReadAhead[list[Tile]]] = deque()
    try:
        while True:
            while len(readers) < SOURCES_AT_ONCE and (plan := next(waiting, None)):
                panels = _panels(plan, options)
                readers.append(ReadAhead(_until_broken(plan, panels, skip_unreadable)))
            if not readers:
                return
            panel = readers[0].take()
            if panel is None:
                readers.popleft().close()
            else:
                readers.rotate(-1)
                yield from panel
    finally:
        for reader in readers:
            reader.close()


def _until_broken(plan: RasterPlan, panels: Iterator[list[Tile]], skip_unreadable: bool) -> Iterator[list[Tile]]:
    try:
        yield from panels
    except TilesError as error:
        if not skip_unreadable:
            raise skippable(error) from error
        yield [set_aside(plan.source.name, error)]


def set_aside(name: str, error: TilesError) -> Tile:
    """The entry among rejected tiles for a raster that is smaller than a tile, or cannot be read to its end."""
    if isinstance(error, TooSmall):
        return Tile(name, Rejection(WRONG_SIZE, error.side, error.size, error.found))
    return Tile(name, Rejection("undecodable", detail=error.found))


def skippable(error: TilesError) -> TilesError:
    """The error of a raster among others, with the option that leaves such ones out."""
    return TilesError(error.found, f"{error.remedy}; --skip-unreadable lists such rasters and cuts what it can")


class ReadAhead(Generic[Item]):
    """An iterator that is run by a thread of its own, a few items ahead of who takes them."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[Item | None]] = deque()
        for _ in range(READ_AHEAD):
            self._ask()

    def _ask(self) -> None:
        self._waiting.append(self._pool.submit(next, self._items, None))

    def take(self) -> Item | None:
        """The next item, or what was raised instead; None when there are no more."""
        item = self._waiting.popleft().result()
        self._ask()
        return item

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown(cancel_futures=True)


def tile_count(plan: RasterPlan, options: CutOptions) -> int:
    """How many tiles a raster gives before any inspection."""
    return len(_starts(plan.height, options)) * len(_starts(plan.width, options))


def _starts(length: int, options: CutOptions) -> range:
    return range(0, length - options.size + 1, options.stride)


def _panels(plan: RasterPlan, options: CutOptions) -> Iterator[list[Tile]]:
    """Lists of tiles that lie side by side. Rows that two lists share are read once."""
    raster = Raster(plan.source)
    try:
        for columns in _column_runs(plan, options):
            for row, panel in _rows(raster, plan, options, columns):
                yield [_tile(plan, options.size, panel, row, column, column - columns[0]) for column in columns]
    finally:
        raster.close()


def _column_runs(plan: RasterPlan, options: CutOptions) -> Iterator[range]:
    """Runs of tile columns, narrow enough that what is read at once has about PANEL_BYTES, where the file lets us."""
    columns = _starts(plan.width, options)
    row_bytes = len(plan.bands) * (1 if plan.stretch is None else 4) * round(plan.steps[0] * plan.steps[1])
    widest = PANEL_BYTES // (row_bytes * (options.size + plan.block_height))
    each = len(columns) if plan.whole_rows else max(1, (widest - options.size) // options.stride + 1)
    for first in range(0, len(columns), each):
        yield columns[first : first + each]


def _rows(raster: Raster, plan: RasterPlan, options: CutOptions, columns: range) -> Iterator[tuple[int, Panel]]:
    """(first row, panel) for each row of tiles below the other, all `columns` wide.

    What is read at once ends where the file's blocks end, so every block is decoded once.
    """
    left, width = columns[0], columns[-1] + options.size - columns[0]
    start, kept = 0, Panel(np.empty((0, width, plan.channels), np.uint8), None)
    for row in _starts(plan.height, options):
        kept, start = _from_row(kept, row - start), row
        have = start + len(kept.pixels)
        if have < row + options.size:
            first = max(have, row)
            end = min(plan.height, -(-(row + options.size) // plan.block_height) * plan.block_height)
            fresh = read_panel(raster, plan, first, left, end - first, width)
            kept = _below(kept, fresh) if len(kept.pixels) else fresh
        yield row, Panel(kept.pixels[: options.size], None if kept.valid is None else kept.valid[: options.size])


def _from_row(panel: Panel, row: int) -> Panel:
    return Panel(panel.pixels[row:], None if panel.valid is None else panel.valid[row:])


def _below(upper: Panel, lower: Panel) -> Panel:
    both = None
    if upper.valid is not None or lower.valid is not None:
        both = np.concatenate([_everywhere(panel) for panel in (upper, lower)])
    return Panel(np.concatenate([upper.pixels, lower.pixels]), both)


def _everywhere(panel: Panel) -> Valid:
    return np.ones(panel.pixels.shape[:2], bool) if panel.valid is None else panel.valid


def _tile(plan: RasterPlan, size: int, panel: Panel, row: int, column: int, left: int) -> Tile:
    """The tile at a place of the grid, `left` pixels from the panel's left edge."""
    name = f"{plan.source.name}_y{row:05d}_x{column:05d}"
    pixels = turned(panel.pixels[:, left : left + size], plan.turn)
    missing = 0.0 if panel.valid is None else 1 - float(panel.valid[:, left : left + size].mean())
    transform = moved(plan.transform, row, column) if plan.transform else None
    return Tile(name, pixels, missing, Place(plan.source.name, row, column, transform, plan.crs, plan.source.label))


def moved(transform: Transform, row: int, column: int) -> Transform:
    """The transform of the window that begins at this row and column."""
    a, b, c, d, e, f = transform
    return a, b, a * column + b * row + c, d, e, d * column + e * row + f


def tiles_total(plans: Iterable[RasterPlan], options: CutOptions) -> int:
    """Tiles of all rasters before any inspection."""
    return sum(tile_count(plan, options) for plan in plans)
