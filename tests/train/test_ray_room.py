"""How large a cluster that starts machines by itself may become, by the file of its `ray up`."""

from typing import Any

import pytest

from satgan.train.ray_cluster import most_of


def file(most: int, *kinds: tuple[int, int]) -> dict[str, Any]:
    """A file with kinds of workers: (GPUs each, most machines), beside a head with 4."""
    named = {
        f"kind-{number}": {"resources": {"GPU": gpus}, "max_workers": count}
        for number, (gpus, count) in enumerate(kinds)
    }
    head = {"head": {"resources": {"CPU": 0, "GPU": 4}, "max_workers": 0}}
    return {"max_workers": most, "head_node_type": "head", "available_node_types": head | named}


@pytest.mark.parametrize(
    ("most", "kinds", "gpus"),
    [
        (8, [(1, 2), (1, 8)], 8),  # together no more than the cluster's own limit
        (8, [(1, 2), (1, 4)], 6),
        (3, [(1, 8), (4, 2)], 9),  # the larger ones first
        (8, [], 0),
    ],
)
def test_the_limits_of_kinds_and_cluster_hold(most: int, kinds: list[tuple[int, int]], gpus: int) -> None:
    assert most_of(file(most, *kinds), "GPU") == gpus
    assert most_of(file(most, *kinds), "CPU") == 0
