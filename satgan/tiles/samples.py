"""Some tiles of every verdict, for people to look at."""

import heapq
from collections.abc import Mapping
from typing import NamedTuple

import xxhash

from satgan.tiles.figures import Pixels

SAMPLES_PER_REASON = 16
ACCEPTED = "accepted"


class Sample(NamedTuple):
    """A tile for the contact sheet. `rank` makes the choice among tiles: as good as random, and always the same."""

    rank: int
    name: str
    figure: float | None
    pixels: Pixels


class Samples:
    """Some tiles for each reason, and some of the accepted ones, whatever the order in which tiles come."""

    def __init__(self) -> None:
        self._heaps: dict[str, list[Sample]] = {}

    def offer(self, reason: str, name: str, figure: float | None, pixels: Pixels) -> None:
        """Takes the tile if it is among the lowest ranks of its reason; pixels are copied then."""
        rank = -int(xxhash.xxh3_64_intdigest(name.encode()))
        heap = self._heaps.setdefault(reason, [])
        if len(heap) < SAMPLES_PER_REASON:
            heapq.heappush(heap, Sample(rank, name, figure, pixels.copy()))
        elif rank > heap[0].rank:
            heapq.heapreplace(heap, Sample(rank, name, figure, pixels.copy()))

    def withdraw(self, reason: str, name: str) -> None:
        """Forgets a tile."""
        self._heaps[reason] = [sample for sample in self._heaps.get(reason, []) if sample.name != name]
        heapq.heapify(self._heaps[reason])

    def move(self, reason: str, other: str, figures: Mapping[str, float]) -> None:
        """Gives the tiles of a reason to another, each with the figure of its name."""
        for sample in self._heaps.pop(reason, []):
            self.offer(other, sample.name, figures[sample.name], sample.pixels)

    def chosen(self) -> dict[str, list[Sample]]:
        """The samples by reason, accepted ones first, each in order of names."""
        reasons = sorted(self._heaps, key=lambda reason: (reason != ACCEPTED, reason))
        return {reason: sorted(self._heaps[reason], key=lambda sample: sample.name) for reason in reasons}
