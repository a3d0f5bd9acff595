"""EC2 as Ray's autoscaler knows it, and on demand where EC2 has no spot machine: a cluster file's `provider.module`.

Ray 2.60 asks for the type of machine with the highest priority. While EC2 refuses it, it asks for it again every five
seconds, for ever: it would turn to another type only after machines that were granted and did not come up
(`CloudResourceMonitor` in ray/autoscaler/v2). So here a request that is refused for want of spot machines is made once
more, without spot.
"""

import threading
from typing import Any

from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.tags import NODE_KIND_WORKER, TAG_RAY_NODE_KIND

from satgan.cluster.cluster_file import ON_DEMAND_INSTEAD

MARKET = "InstanceMarketOptions"
REFUSALS = ("InsufficientInstanceCapacity", "MaxSpotInstanceCountExceeded", "SpotMaxPriceTooLow")
"""EC2's codes for: there is none now, not for this account, not at this price.
docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""


class SpotFirst(AWSNodeProvider):
    """Ray's provider of EC2's machines, with that one difference."""

    _one_at_a_time = threading.Lock()

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Starts machines, from one to `count`.

        Raises:
            NodeLaunchException: EC2 refuses them, or spot ones while as many as may run on demand.
        """
        try:
            return dict(super().create_node(node_config, tags, count))
        except NodeLaunchException as refusal:
            with self._one_at_a_time:
                left = int(self.provider_config.get(ON_DEMAND_INSTEAD, 0)) - self._on_demand()
                if MARKET not in node_config or refusal.category not in REFUSALS or left < 1:
                    raise
                on_demand = {name: value for name, value in node_config.items() if name != MARKET}
                return dict(super().create_node(on_demand, tags, min(count, left)))

    def _on_demand(self) -> int:
        """How many of the cluster's workers run on demand."""
        workers = self.non_terminated_nodes({TAG_RAY_NODE_KIND: NODE_KIND_WORKER})  # type: ignore[no-untyped-call]
        machines: list[Any] = [self._get_cached_node(worker) for worker in workers]  # type: ignore[no-untyped-call]
        return sum(machine.instance_lifecycle is None for machine in machines)
