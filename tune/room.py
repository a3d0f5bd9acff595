"""How many trials run at the same time: from what the cluster's machines have, or will have where it starts them by
itself, looked at before the start."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from satgan.errors import InputError
from satgan.train.ray_cluster import fits
from tune.plan import Plan

DRIVER_CPUS = 0.01
"""Of a trial whose workers compute: its own process only waits."""

Machine = Mapping[str, float]


def slots(machines: Sequence[Machine], need: Machine) -> int:
    """How many times a need fits, each on one machine.

    Args:
        machines: CPUs and GPUs of each.
        need: CPUs and GPUs.
    """
    return sum(fits(machine, need) for machine in machines)


def trial_needs(plan: Plan) -> dict[str, float]:
    """What Ray Tune sets aside for a trial's own process."""
    if plan.workers > 1:
        return {"CPU": DRIVER_CPUS}
    return {"CPU": plan.cpus, "GPU": plan.gpus} if plan.gpus else {"CPU": plan.cpus}


def trials_at_once(
    plan: Plan, machines: Sequence[Machine], gpus: bool, most: int | None, to_come: Callable[[Machine], int]
) -> int:
    """How many trials have room together.

    Args:
        plan: the sweep's.
        machines: CPUs and GPUs of each that is there.
        gpus: whether workers compute on them.
        most: as the user wishes; None: as many as there is room for.
        to_come: how many times a need fits at most on machines that the cluster starts by itself.

    Raises:
        InputError: not one has.
    """
    need = {"CPU": 1.0, "GPU": 1.0} if gpus and plan.workers > 1 else {"CPU": 1.0}
    need = need if plan.workers > 1 else trial_needs(plan)
    room = max(slots(machines, need), to_come(need)) // max(1, plan.workers)
    if room < 1:
        has = "; ".join(", ".join(f"{one.get(name, 0):g} {name}(s)" for name in ("CPU", "GPU")) for one in machines)
        wanted = ", ".join(f"{amount:g} {name}(s)" for name, amount in need.items())
        times = f"{plan.workers} times " if plan.workers > 1 else ""
        raise InputError(
            f"no room for one trial, which takes {times}{wanted}; the machines have {has}, and the cluster starts "
            "none with more",
            "take fewer --workers-per-trial or a smaller --gpus-per-trial, or add machines to the cluster",
        )
    return min(room, most or room)


def with_shared_prices(plan: Plan, at_once: int) -> Plan:
    """With the prices by which each of so many trials counts its own cost, so that all together pay what there is: the
    head's is shared among them, a worker's goes by the GPU."""
    train = plan.base_config.train
    share = plan.gpus if plan.gpus and plan.workers < 2 else 1.0
    prices = {"head_price": train.head_price / at_once, "worker_price": train.worker_price * share}
    return plan._replace(base=plan.base._replace(layers=(*plan.base.layers, {"train": prices})))


def machines_of_cluster() -> list[dict[str, float]]:
    """CPUs and GPUs of each living machine."""
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def check_placed(plan: Plan, at_once: int, gpus: bool) -> None:
    """Sets all workers of as many trials aside for a moment: Ray Tune does not see them, and would start trials whose
    workers then wait for each other's room.

    Raises:
        InputError: they have no room after `train.start_seconds`, in which machines may come.
    """
    if plan.workers < 2:
        return
    bundle: dict[str, Any] = {"CPU": 1, "GPU": 1} if gpus else {"CPU": 1}
    seconds = plan.base_config.train.start_seconds
    group = placement_group([dict(bundle) for _ in range(plan.workers * at_once)])
    try:
        if not group.wait(seconds):
            free = ray.available_resources()  # type: ignore[no-untyped-call]
            raise InputError(
                f"{at_once} trials of {plan.workers} workers have had no room for {seconds:g} s: free are "
                f"{free.get('CPU', 0):g} CPU(s) and {free.get('GPU', 0):g} GPU(s)",
                "end what runs on the cluster, or take a smaller --max-concurrent",
            )
    finally:
        remove_placement_group(group)
