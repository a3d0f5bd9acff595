"""Who holds which lanes, and in what order what they tell is added: up a tree that the number of lanes alone decides.

Lanes 0 to 7 are added as ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). A worker holds neighbours, adds up what it has of
the tree, and tells the others sums instead of lanes: of 8 lanes on 2 workers each tells one sum, on 3 workers two.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor


def lanes_of(worker: int, workers: int, lanes: int) -> range:
    """Lanes that a worker computes, neighbours all; any number of workers from 1 to `lanes`."""
    return range(worker * lanes // workers, (worker + 1) * lanes // workers)


def most_lanes(workers: int, lanes: int) -> int:
    """Of the busiest worker."""
    return -(-lanes // workers)


@cache
def sums_of(workers: int, lanes: int) -> list[list[range]]:
    """What each worker tells: the largest parts of the tree that lie within its lanes, ascending, as one sum each."""
    return [_within(lanes_of(worker, workers, lanes), range(lanes)) for worker in range(workers)]


def add_up(node: range, known: Mapping[range, Tensor]) -> Tensor:
    """The sum of a part of the tree. What is known already is not changed; where the node itself is, it is returned.

    Args:
        node: neighbouring lanes.
        known: tensors of one shape by parts of the tree that together make the node.
    """
    if node in known:
        return known[node]
    left, right = _halves(node)
    first, second = add_up(left, known), add_up(right, known)
    return first + second if left in known else first.add_(second)


def add_rows(rows: Tensor) -> Tensor:
    """`[N, M]`, equal parts of the tree, to their sum `[M]`: as `add_up` would, but some log2 N operations.

    Pairs of neighbours, and pairs of pairs: whoever has no partner waits for the next turn, and that is the tree.
    """
    while len(rows) > 1:
        paired = len(rows) // 2 * 2
        rows = torch.cat([rows[0:paired:2] + rows[1:paired:2], rows[paired:]])
    return rows[0]


def by_lane(mine: Sequence[int], tensors: Sequence[Tensor]) -> dict[range, Tensor]:
    """One tensor of each lane, as `add_up` wants them."""
    return {range(lane, lane + 1): tensor for lane, tensor in zip(mine, tensors, strict=True)}


def _within(mine: range, node: range) -> list[range]:
    if node.stop <= mine.start or mine.stop <= node.start:
        return []
    if mine.start <= node.start and node.stop <= mine.stop:
        return [node]
    return [part for half in _halves(node) for part in _within(mine, half)]


def _halves(node: range) -> tuple[range, range]:
    """Left of them is the largest power of two that leaves something to the right."""
    middle = node.start + (1 << ((len(node) - 1).bit_length() - 1))
    return range(node.start, middle), range(middle, node.stop)
