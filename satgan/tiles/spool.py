"""The middle of packing: tiles are judged by threads, a stack at a time, and those that pass lie on disk in order."""

import math
import os
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from satgan.tiles.duplicates import Prints, find_duplicates, prints_of
from satgan.tiles.figures import Figures, Pixels, luminance_sums, measure
from satgan.tiles.inspect import MONO, Limits, Rejection, judge, wrong_shape
from satgan.tiles.records import Records, Tile, place_records, place_row, rejected_records
from satgan.tiles.samples import ACCEPTED, Samples

Item = TypeVar("Item")
Result = TypeVar("Result")

JUDGES = min(os.cpu_count() or 1, 8)
"""Threads that judge: more would wait for the one that reads, and each holds some stacks in memory."""

STACK_BYTES = 2**19
"""Tiles that are judged together: few enough that what is computed of them stays in the processor's cache."""


class TileFile:
    """Tiles one after the other in a file, `[count, size, size, channels] uint8`, read by number.

    Not a memory map: the pages of one would count as this process's memory.
    """

    def __init__(self, path: Path, count: int, size: int, channels: int) -> None:
        self._path, self.shape = path, (count, size, size, channels)

    def take(self, numbers: NDArray[np.int64]) -> Pixels:
        """`[len(numbers), size, size, channels]`, in that order."""
        tiles = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        tile_bytes = math.prod(self.shape[1:])
        with self._path.open("rb", buffering=0) as file:
            for at in np.argsort(numbers, kind="stable"):  # in the file's order, which disks like
                filled = os.preadv(file.fileno(), [tiles[at].data], int(numbers[at]) * tile_bytes)
                assert filled == tile_bytes, (self._path, filled, numbers[at])
        return tiles


class Ranges:
    """The least, mean and largest value of each figure over all tiles."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float, float, int]] = {}

    def add(self, figures: Figures) -> None:
        """Takes in a stack's figures; NaN says that a figure does not apply."""
        for name, values in figures._asdict().items():
            known = values[~np.isnan(values)]
            if len(known):
                least, total, most, count = self._seen.get(name, (np.inf, 0.0, -np.inf, 0))
                ends = min(least, float(known.min())), max(most, float(known.max()))
                self._seen[name] = (ends[0], total + float(known.sum()), ends[1], count + len(known))

    def summary(self) -> dict[str, list[float]]:
        """By figure: least, mean, most."""
        return {name: [least, total / count, most] for name, (least, total, most, count) in self._seen.items()}


@dataclass
class Spooled:
    """What came of judging: `count` tiles on disk, of which `kept` (numbers, ascending) are no duplicates.

    Until a tile in colour is taken, mono tiles are, with their `mono` figures; then they are given up.
    """

    places: Records = field(default_factory=place_records)
    rejected: Records = field(default_factory=rejected_records)
    reasons: dict[str, int] = field(default_factory=dict)
    samples: Samples = field(default_factory=Samples)
    ranges: Ranges = field(default_factory=Ranges)
    prints: list[Prints] = field(default_factory=list)
    tiles: TileFile = field(default_factory=lambda: TileFile(Path(os.devnull), 0, 0, 0))
    count: int = 0
    kept: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    mono: "array[float] | None" = field(default_factory=lambda: array("d"))

    def reject(self, name: str, rejection: Rejection, pixels: Pixels | None) -> None:
        """Notes a tile that is not taken."""
        self.rejected.append((name, *rejection))
        self.reasons[rejection.reason] = self.reasons.get(rejection.reason, 0) + 1
        if pixels is not None:
            self.samples.offer(rejection.reason, name, rejection.figure, pixels)

    def accept(self, tile: Tile, pixels: Pixels) -> None:
        """Notes a tile that passed, before duplicates are looked for."""
        self.places.append(place_row(tile))
        self.samples.offer(ACCEPTED, tile.name, None, pixels)
        self.count += 1

    def give_up_mono(self, limits: Limits) -> None:
        """There is colour: what was taken so far is rejected as mono, and so will be what follows."""
        figures = dict(zip(self.places.table()["name"].to_pylist(), self.mono or (), strict=True))
        for name, figure in figures.items():
            self.reject(name, Rejection(MONO, figure, limits.values[MONO]), None)
        self.samples.move(ACCEPTED, MONO, figures)
        self.places, self.prints, self.count, self.mono = place_records(), [], 0, None


class _Judged(NamedTuple):
    """A stack of tiles; `accepted` and `prints` are those of tiles without a verdict and of mono ones."""

    tiles: list[Tile]
    verdicts: list[Rejection | None]
    accepted: Pixels
    prints: Prints
    figures: Figures | None


def spool(
    tiles: Iterable[Tile],
    path: Path,
    *,
    size: int,
    channels: int,
    limits: Limits,
    threads: int,
    seen: Callable[[int], None] = lambda count: None,
) -> Spooled:
    """Judge tiles and write those that pass one after the other to `path`; then look for duplicates among them.

    Args:
        tiles: in an order that can be repeated.
        path: a new file, `[count, size, size, channels] uint8` when done, duplicates among them.
        size: height and width of the set's tiles [pixels].
        channels: of the set's tiles.
        limits: what is still taken.
        threads: that judge.
        seen: told how many more tiles were judged, now and then.
    """
    spooled = Spooled()
    with path.open("wb") as file, ThreadPoolExecutor(threads) as pool:
        stacks = _stacks(tiles, max(1, STACK_BYTES // (size * size * channels)))
        for judged in in_order(pool, lambda stack: _judge(stack, size, channels, limits), stacks, 2 * threads):
            _note(judged, spooled, file, limits)
            seen(len(judged.tiles))
    spooled.tiles = TileFile(path, spooled.count, size, channels)
    if spooled.count:
        _drop_duplicates(spooled, spooled.tiles, limits)
    return spooled


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """`map` by threads, in order, with at most `ahead` results that nobody has taken yet."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _stacks(tiles: Iterable[Tile], tiles_each: int) -> Iterator[list[Tile]]:
    stack: list[Tile] = []
    for tile in tiles:
        stack.append(tile)
        if len(stack) == tiles_each:
            yield stack
            stack = []
    if stack:
        yield stack


def _judge(tiles: list[Tile], size: int, channels: int, limits: Limits) -> _Judged:
    verdicts: list[Rejection | None] = []
    fitting: list[Pixels] = []
    masked: list[float] = []
    for tile in tiles:
        found = tile.pixels
        verdict = found if isinstance(found, Rejection) else wrong_shape(found, size, channels)
        verdicts.append(verdict)
        if verdict is None and not isinstance(found, Rejection):
            fitting.append(found)
            masked.append(tile.masked_share)
    planes = np.empty((channels, len(fitting), size, size), np.uint8)
    for at, pixels in enumerate(fitting):
        planes[:, at] = pixels.transpose(2, 0, 1)
    luminance = luminance_sums(planes)
    figures = measure(planes, np.array(masked, np.float64), luminance) if fitting else None
    judged = judge(figures, limits) if figures else []
    for number, verdict in zip([at for at, verdict in enumerate(verdicts) if verdict is None], judged, strict=True):
        verdicts[number] = verdict
    taken = np.array([_passes(verdict) for verdict in judged], bool)
    accepted = _channels_last(planes[:, taken])
    return _Judged(tiles, verdicts, accepted, prints_of(accepted, luminance[taken]), figures)


def _channels_last(planes: Pixels) -> Pixels:
    """`[C, n, H, W]` as `[n, H, W, C]`; channel by channel, which is four times faster than all at once."""
    tiles = np.empty((*planes.shape[1:], len(planes)), np.uint8)
    for channel, plane in enumerate(planes):
        tiles[..., channel] = plane
    return tiles


def _note(judged: _Judged, spooled: Spooled, file: BinaryIO, limits: Limits) -> None:
    if judged.figures:
        spooled.ranges.add(judged.figures)
    mono = np.array([verdict is not None for verdict in judged.verdicts if _passes(verdict)], bool)
    if spooled.mono is not None and not mono.all():
        spooled.give_up_mono(limits)
        file.seek(0)
        file.truncate()
    accepted, prints = judged.accepted, judged.prints
    if spooled.mono is None and mono.any():
        accepted, prints = accepted[~mono], Prints(*(column[~mono] for column in prints))
    file.write(accepted.data)
    spooled.prints.append(prints)
    taken = iter(accepted)
    for tile, verdict in zip(judged.tiles, judged.verdicts, strict=True):
        if verdict is None:
            spooled.accept(tile, next(taken))
        elif _passes(verdict) and spooled.mono is not None:
            spooled.mono.append(verdict.figure or 0.0)
            spooled.accept(tile, next(taken))
        else:
            spooled.reject(tile.name, verdict, None if isinstance(tile.pixels, Rejection) else tile.pixels)


def _passes(verdict: Rejection | None) -> bool:
    """Whether nothing speaks against a tile, but perhaps that it is mono."""
    return verdict is None or verdict.reason == MONO


def _drop_duplicates(spooled: Spooled, tiles: TileFile, limits: Limits) -> None:
    prints = Prints(*(np.concatenate(column) for column in zip(*spooled.prints, strict=True)))
    found = find_duplicates(prints, tiles.take, limits)
    names = spooled.places.table()["name"] if found else []
    for number, (rejection, original) in sorted(found.items()):
        name = str(names[number])
        spooled.samples.withdraw(ACCEPTED, name)
        spooled.reject(name, rejection._replace(detail=f"repeats {names[original]}"), tiles.take(np.array([number]))[0])
    kept = np.ones(spooled.count, bool)
    kept[list(found)] = False
    spooled.kept = np.flatnonzero(kept)
