"""Ray for the time of a run: the cluster that RAY_ADDRESS names, or one on this machine that ends with the run."""

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
import yaml
from ray._private import services
from ray._private.state import state

from satgan.config import Config
from satgan.errors import InputError
from satgan.train.device import cores

CONNECT_SECONDS = 5
OBJECT_STORE_BYTES = 150 * 2**20
"""Nothing large goes through Ray's object store."""
BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves its file on the head: Ray does not tell there by itself what machines there may be."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent behind the user's back
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # a dead worker is found so soon
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "2",
    # One attempt to find room. Ray's view of its machines is up to 20 s old, so the next one knows better.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",
}
"""Ray's own settings, where the user gives none."""


@contextmanager
def ray_running(config: Config) -> Iterator[bool]:
    """Ray for the time of a run; yields whether the workers get GPUs.

    Raises:
        InputError: the cluster will never have room for the fewest workers.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(config.train.hang_seconds)
    ray._private.worker._worker_logs_enabled = False  # Ray's words about faults would stand amid the results on stdout
    started = not ray.is_initialized()
    address = os.environ.get("RAY_ADDRESS", "")
    if started and address:
        _check_reachable(address)
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    elif started:
        with _in_groups_of_their_own():
            ray.init(
                address="local", num_cpus=max(cores(), config.train.worker_range[1] + 1), include_dashboard=False,
                log_to_driver=False, object_store_memory=OBJECT_STORE_BYTES, logging_level=logging.ERROR,
            )  # fmt: skip
    try:
        gpus = _room("GPU") > 0
        _check_room(config.train.worker_range[0], "GPU" if gpus else "CPU")
        yield gpus
    finally:
        if started:
            ray.shutdown()


@contextmanager
def _in_groups_of_their_own() -> Iterator[None]:
    """Ray's processes begin process groups of their own: a signal to the driver's group (by `timeout`, or by a terminal
    that is closed) is for the driver alone, which saves with their help and ends them. Ray itself keeps only SIGINT
    from them."""
    starter: Any = services
    popen = starter.ConsolePopen
    starter.ConsolePopen = partial(popen, process_group=0)
    try:
        yield
    finally:
        starter.ConsolePopen = popen


def _check_room(fewest: int, resource: str) -> None:
    room = _room(resource)
    if room < fewest:
        raise InputError(
            f"{fewest} workers, but the cluster has {room} {resource}(s), one for each worker",
            f"take --workers {max(1, room)}, or add machines to the cluster",
        )


def _room(resource: str) -> int:
    """What the cluster has, or will have at most where it starts machines by itself."""
    has = ray.cluster_resources().get(resource, 0)  # type: ignore[no-untyped-call]
    return int(max(has, slots_at_most({resource: 1})))


def fits(machine: Mapping[str, float], need: Mapping[str, float]) -> int:
    """How many times a need (CPUs, GPUs) fits on one machine."""
    return min(int(machine.get(name, 0.0) / amount + 1e-9) for name, amount in need.items() if amount)


def slots_at_most(need: Mapping[str, float]) -> int:
    """How many times a need will fit at most, each on one of the machines that the cluster starts by itself; 0 where it
    starts none."""
    told = state.get_cluster_config()
    if told is not None and told.node_group_configs:
        return slots_told(told, need)
    path = BOOTSTRAP.expanduser()
    return slots_of(yaml.safe_load(path.read_text()), need) if path.exists() else 0


def slots_told(told: Any, need: Mapping[str, float]) -> int:
    """The same by what a cluster's autoscaler tells Ray (its `ClusterConfig`); there a limit of -1 is none."""
    total = sum(
        fits(kind.resources, need) * (sys.maxsize if kind.max_count < 0 else kind.max_count)
        for kind in told.node_group_configs
    )
    limits = [int(told.max_resources[name] / need[name]) for name in need if need[name] and name in told.max_resources]
    return min(total, *limits, sys.maxsize)


def slots_of(tree: Mapping[str, Any], need: Mapping[str, float]) -> int:
    """The same by a cluster file, once `ray up` has filled it in: its workers count."""
    kinds = [kind for name, kind in tree["available_node_types"].items() if name != tree["head_node_type"]]
    left, total = int(tree.get("max_workers", 0)), 0
    for kind in sorted(kinds, key=lambda kind: -fits(kind["resources"], need)):
        machines = min(left, int(kind.get("max_workers", left)))
        left, total = left - machines, total + machines * fits(kind["resources"], need)
    return total


def _check_reachable(address: str) -> None:
    """Ray itself would try for a quarter of an hour.

    Raises:
        InputError: nobody answers there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # "auto" and "local"
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        found = f"no Ray cluster answers at RAY_ADDRESS={address}: {error}"
        raise InputError(found, "start the cluster, correct RAY_ADDRESS, or unset it to use this machine") from None
