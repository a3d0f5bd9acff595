"""The order in which lanes are added does not depend on who holds them."""

from functools import reduce

import pytest
import torch
from torch import Tensor

from satgan.train import ranks
from satgan.train.lane_tree import add_rows, add_up, by_lane, lanes_of, most_lanes, sums_of

CASES = [(lanes, workers) for lanes in range(1, 20) for workers in range(1, lanes + 1)]


def values(lanes: int) -> list[Tensor]:
    """So many that their sums' last bits tell the order."""
    random = torch.Generator().manual_seed(lanes)
    return [torch.randn(1000, generator=random) for _ in range(lanes)]


@pytest.mark.parametrize(("lanes", "workers"), CASES)
def test_lanes_are_dealt_to_workers_once_each(lanes: int, workers: int) -> None:
    dealt = [lanes_of(worker, workers, lanes) for worker in range(workers)]
    assert [lane for mine in dealt for lane in mine] == list(range(lanes))
    assert max(map(len, dealt)) == most_lanes(workers, lanes) <= min(map(len, dealt)) + 1


@pytest.mark.parametrize(("lanes", "workers"), CASES)
def test_any_workers_add_in_the_same_order(lanes: int, workers: int) -> None:
    tensors = values(lanes)
    before = [tensor.clone() for tensor in tensors]
    whole = add_up(range(lanes), by_lane(range(lanes), tensors))
    told: dict[range, Tensor] = {}
    for worker in range(workers):
        mine = lanes_of(worker, workers, lanes)
        nodes = sums_of(workers, lanes)[worker]
        assert [lane for node in nodes for lane in node] == list(mine)
        told |= {node: add_up(node, by_lane(mine, [tensors[lane] for lane in mine])) for node in nodes}
    assert torch.equal(add_up(range(lanes), told), whole)
    if len({len(node) for node in told}) == 1:
        assert torch.equal(
            add_rows(torch.stack([told[node] for node in sorted(told, key=lambda node: node.start)])), whole
        )
    assert all(torch.equal(tensor, old) for tensor, old in zip(tensors, before, strict=True))
    if lanes > 3:
        assert not torch.equal(reduce(torch.add, tensors), whole), "an order that could not be told from another"


def test_a_worker_tells_one_sum_where_workers_share_the_lanes_evenly() -> None:
    assert [max(map(len, sums_of(workers, 8))) for workers in (1, 2, 4, 8)] == [1, 1, 1, 1]
    assert sums_of(3, 8) == [[range(2)], [range(2, 4), range(4, 5)], [range(5, 6), range(6, 8)]]


def test_the_order_is_that_of_the_tree() -> None:
    """(1e8 + 1) - (1e8 - 1), where float32 has no 1e8 + 1: one after the other they would be 1."""
    messages = [torch.tensor([value]) for value in (1e8, 1.0, -1e8, 1.0)]
    assert ranks.sum_over_lanes(messages, 4).item() == 0.0


def test_one_lane_is_its_own_sum() -> None:
    only = torch.ones(3)
    assert ranks.sum_over_lanes([only], 1) is only
