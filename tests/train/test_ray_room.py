"""How large a cluster that starts machines by itself may become, by the file of its `ray up`."""

from typing import Any

import pytest
from ray.core.generated.autoscaler_pb2 import ClusterConfig  # type: ignore[attr-defined]

from satgan.train.ray_cluster import slots_of, slots_told


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
    assert slots_of(file(most, *kinds), {"GPU": 1}) == gpus
    assert slots_of(file(most, *kinds), {"CPU": 1}) == 0


def test_what_an_autoscaler_tells_ray_counts_machine_by_machine() -> None:
    told = ClusterConfig()
    told.node_group_configs.add(max_count=3).resources.update({"CPU": 8, "GPU": 1})
    told.node_group_configs.add(max_count=1).resources.update({"CPU": 4})
    assert slots_told(told, {"GPU": 1}) == 3
    assert slots_told(told, {"CPU": 3}) == 3 * 2 + 1, "what is left on one machine is of no use on another"
    told.max_resources["GPU"] = 2
    assert slots_told(told, {"CPU": 1, "GPU": 0.5}) == 4, "the limit of all together holds"
    told.node_group_configs[1].max_count = -1
    assert slots_told(told, {"CPU": 4}) > 1000, "no limit"
