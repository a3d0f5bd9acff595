"""What a run on a cluster will take, before it is started: speed, hours, bytes, memory, dollars, and what bounds it.

A model, with every input named in its result. What it rests on: FLOPs of a step (satgan/gan/describe.py), the bytes
that workers tell each other (design: all_to_all and all_gather of each update's message), the network's baseline, and
the share of a GPU's peak that a step reaches. That share was measured on a CPU only; a measured speed of one worker,
from the journal of a short run, replaces it. The step's time on many workers is satgan/cluster/speed.py's.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from satgan.cluster.prices import GPUS, Instance, dollars
from satgan.cluster.speed import Cluster, Link, StepSeconds, step_seconds, updates_of
from satgan.config import Config
from satgan.errors import ConfigError
from satgan.groups import TrainConfig
from satgan.train.lane_tree import most_lanes

SHARE_OF_PEAK = 0.2
"""Of a GPU's dense bfloat16 peak. No GPU has confirmed it; the CPU's is 0.21 to 0.32 (BENCHMARKS.md)."""
DEVICE_CACHE_SHARE = 0.25
"""Tiles stay on the GPU where they fit into this share of its memory (tiles.cache auto)."""
INSIDE_LATENCY_SECONDS, NETWORK_LATENCY_SECONDS = 20e-6, 50e-6
"""Of one collective among two workers; guesses, as no GPU was at hand."""
SLOWEST_LINK_GIGABYTES_PER_SECOND = 10.0
"""Between workers on one machine without GPUs: through its memory."""


class Forecast(NamedTuple):
    """What is expected; rates and times of the busiest worker or machine.

    workers, machines           of the whole cluster, without the head
    lanes_per_worker            most lanes that one worker computes
    tiles_per_second            of the whole run
    times_one_worker            this speed over that of one worker with all lanes
    seconds                     of training, without start-up
    step_seconds                {compute, messages, waiting, reading, network}: what a step takes of each
    bound                       the part that decides the speed, and what would help
    s3_bytes_per_machine        tiles read in the whole run
    network_gigabits_needed     per second, for a machine that never waits for it; and what is there
    gpu_memory_there            bytes
    gpu_memory_bytes            needed on one GPU
    host_memory_bytes           for tiles, on one machine
    checkpoint_bytes            of one; `checkpoints` are written, `checkpoints_kept` stay
    dollars_on_demand, dollars_on_spot
                                of the machines for those seconds, with the head
    """

    workers: int
    machines: int
    lanes_per_worker: int
    tiles_per_second: float
    times_one_worker: float
    seconds: float
    step_seconds: dict[str, float]
    bound: str
    s3_bytes_per_machine: float
    network_gigabits_needed: float
    network_gigabits_there: float
    gpu_memory_bytes: float
    gpu_memory_there: float
    host_memory_bytes: float
    checkpoint_bytes: int
    checkpoints: int
    checkpoints_kept: int
    dollars_on_demand: float
    dollars_on_spot: float
    notes: tuple[str, ...]


def forecast(
    config: Config, instance: Instance, head: Instance, tile_count: int | None, worker_tiles_per_second: float | None
) -> Forecast:
    """What a run will take on machines of one type.

    Args:
        config: with a number of workers from 1.
        instance: of the workers, one per GPU.
        head: of the head, on demand.
        tile_count: of the tile set; none: unknown, then every tile is taken to be read anew.
        worker_tiles_per_second: measured for one worker that computes one lane; none: by the GPU's peak.

    Raises:
        ConfigError: no workers, or no speed is known of such a machine.
    """
    from satgan.gan.describe import describe
    from satgan.train.start import needs

    train = config.train
    config = config.model_copy(update={"train": train.model_copy(update={"precision": _precision(config)})})
    workers, per_machine = _workers(config), max(1, instance.gpus)
    machines = math.ceil(workers / per_machine)
    here = min(workers, per_machine)
    lanes = most_lanes(workers, train.lanes)
    described, need = describe(config), needs(config)
    speed = worker_tiles_per_second or _speed(instance, described["step_flops_per_tile"])
    tile_bytes = config.gan.size**2 * config.gan.channels
    updates = updates_of(config)
    cluster = Cluster(workers, per_machine, *_links(instance))
    parts = [
        _step_parts(step_seconds(train.lanes, train.lane_batch / speed, updates, one), one, train, tile_bytes)
        for one in (cluster, cluster._replace(workers=1))
    ]
    step, seconds_per_step, alone = parts[0], _waited(parts[0]), _waited(parts[1])
    seconds = train.steps * seconds_per_step
    memory = described["memory_bytes"]
    gpu_memory = memory["total"] + (lanes - 1) * memory["history"]
    read = _bytes_read(config, lanes, tile_count, tile_bytes, instance, gpu_memory) * here
    bits_needed = 8 * step["network"] * cluster.network.bytes_per_second
    hourly = [head.dollars_per_hour(False) + machines * instance.dollars_per_hour(spot) for spot in (False, True)]
    return Forecast(
        workers=workers,
        machines=machines,
        lanes_per_worker=lanes,
        tiles_per_second=train.lanes * train.lane_batch / seconds_per_step,
        times_one_worker=alone / seconds_per_step,
        seconds=seconds,
        step_seconds=step,
        bound=_bound(step, config, lanes),
        s3_bytes_per_machine=read,
        network_gigabits_needed=bits_needed / step["compute"] / 1e9,
        network_gigabits_there=instance.network_gigabits_per_second,
        gpu_memory_bytes=gpu_memory,
        gpu_memory_there=instance.gpu_memory_gigabytes * 1e9,
        host_memory_bytes=here * config.tiles.memory_megabytes * 1e6,
        checkpoint_bytes=need["checkpoint_bytes"],
        checkpoints=math.ceil(train.steps / train.checkpoint_steps),
        checkpoints_kept=train.keep_checkpoints + train.keep_best,
        dollars_on_demand=dollars(seconds, hourly[0]),
        dollars_on_spot=dollars(seconds, hourly[1]),
        notes=tuple(_notes(config, instance, machines, here, gpu_memory, tile_count, worker_tiles_per_second)),
    )


def _precision(config: Config) -> str:
    return "bfloat16" if config.train.precision == "auto" else config.train.precision


def _workers(config: Config) -> int:
    most = config.train.worker_range[1] if config.train.workers is not None else config.train.lanes
    if not most:
        raise ConfigError("preflight is for a cluster, but workers = 0", "give --workers N, one per GPU")
    return most


def _speed(instance: Instance, flops_per_tile: float) -> float:
    if instance.gpu is None:
        raise ConfigError(
            "no speed is known of a machine without a GPU", "measure it: --worker-tiles-per-second, from a short run"
        )
    return SHARE_OF_PEAK * GPUS[instance.gpu].bfloat16_teraflops * 1e12 / flops_per_tile


def _links(instance: Instance) -> tuple[Link, Link]:
    """Within a machine, and its network."""
    inside = GPUS[instance.gpu].link_gigabytes_per_second if instance.gpu else SLOWEST_LINK_GIGABYTES_PER_SECOND
    wire = instance.network_gigabits_per_second * 1e9 / 8
    return Link(inside * 1e9, INSIDE_LATENCY_SECONDS), Link(wire, NETWORK_LATENCY_SECONDS)


def _step_parts(step: StepSeconds, cluster: Cluster, train: TrainConfig, tile_bytes: int) -> dict[str, float]:
    lanes = min(cluster.workers, cluster.per_machine) * most_lanes(cluster.workers, train.lanes)
    reading = lanes * train.lane_batch * tile_bytes / cluster.network.bytes_per_second
    return {
        "compute": step.compute, "messages": step.messages, "waiting": step.waiting, "reading": reading,
        "network": step.network + reading,
    }  # fmt: skip


def _waited(step: Mapping[str, float]) -> float:
    """Tiles are read while others are computed."""
    return max(step["compute"] + step["waiting"], step["network"])


def _bytes_read(
    config: Config, lanes: int, tile_count: int | None, tile_bytes: int, instance: Instance, gpu_memory: float
) -> float:
    """What one worker reads from S3 in the whole run: its lanes' tiles once where they stay, else every time."""
    train, tiles = config.train, config.tiles
    every_time = float(train.steps * lanes * train.lane_batch * tile_bytes)
    if tile_count is None or tiles.cache == "none":
        return every_time
    own = tile_count * tile_bytes * lanes / train.lanes
    room = max(
        DEVICE_CACHE_SHARE * (instance.gpu_memory_gigabytes * 1e9 - gpu_memory),
        tiles.memory_megabytes * 1e6,
        instance.scratch_gigabytes * 1e9 / max(1, instance.gpus),
    )
    return min(own, every_time) if own <= room else every_time


def _bound(step: dict[str, float], config: Config, lanes: int) -> str:
    if step["network"] > step["compute"] + step["waiting"]:
        return "reading tiles from S3: take machines with a faster network, or fewer GPUs on each"
    if step["waiting"] > step["compute"]:
        return (
            f"messages between workers ({step['waiting']:.2g} s of a step waited for them, {step['compute']:.2g} s "
            "computed): take a larger --train.lane-batch, fewer workers, or one machine with several GPUs"
        )
    if config.train.lanes % lanes or lanes > 1:
        return f"computing; the busiest worker has {lanes} of {config.train.lanes} lanes: more workers share them out"
    return "computing: more workers need more --train.lanes"


def _notes(
    config: Config, instance: Instance, machines: int, here: int, gpu_memory: float, tile_count: int | None,
    measured: float | None,
) -> list[str]:  # fmt: skip
    told = []
    if measured is None:
        told.append(
            f"speed by {SHARE_OF_PEAK:.0%} of the GPU's peak, which no GPU has confirmed: measure a short run, and "
            "give its tiles/s as --worker-tiles-per-second"
        )
    if instance.gpus and gpu_memory > instance.gpu_memory_gigabytes * 1e9:
        told.append("it does not fit into the GPU's memory: take a smaller --train.lane-batch")
    if here * config.tiles.memory_megabytes * 1e6 > instance.memory_gigabytes * 1e9 / 2:
        told.append("tiles take more than half of the machine's memory: take a smaller --tiles.memory-megabytes")
    if tile_count is None:
        told.append("without --tiles every tile is taken to be read from S3 each time")
    if config.train.lanes % machines and machines > 1:
        told.append("machines have unequal numbers of lanes: a number of lanes that the workers divide wastes nothing")
    told.append(
        "training only: boot and set-up, the minutes until idle machines go, disks, S3 and traffic are not in the price"
    )
    return told


def as_text(found: Forecast, name: str, preset: str) -> str:
    """The forecast for people."""
    step = found.step_seconds
    hours = found.seconds / 3600
    lines: list[tuple[str, str]] = [
        ("machines", f"{found.machines} × {name}, {found.workers} workers, {found.lanes_per_worker} lane(s) each"),
        ("speed", f"{found.tiles_per_second:,.0f} tiles/s{_against_one(found)}"),
        ("time", f"{hours:,.2f} h"),
        ("a step", ", ".join(f"{part} {seconds:.3g} s" for part, seconds in step.items() if part != "network")),
        ("bound by", found.bound),
        (
            "network",
            f"{found.network_gigabits_needed:,.2f} Gbit/s wanted, {found.network_gigabits_there:g} there "
            f"({'carries it' if found.network_gigabits_needed <= found.network_gigabits_there else 'the GPUs wait'})",
        ),
        ("S3", f"{found.s3_bytes_per_machine / 1e9:,.2f} GB of tiles per machine"),
        ("GPU memory", f"{found.gpu_memory_bytes / 1e9:,.2f} of {found.gpu_memory_there / 1e9:,.0f} GB (estimate)"),
        ("memory", f"{found.host_memory_bytes / 1e9:,.2f} GB for tiles per machine"),
        (
            "checkpoints",
            f"{found.checkpoints} of {found.checkpoint_bytes / 1e6:,.0f} MB; {found.checkpoints_kept} stay",
        ),
        ("price", f"${found.dollars_on_demand:,.2f} on demand, ${found.dollars_on_spot:,.2f} on spot, with the head"),
    ]
    return "\n".join([f"{preset}:", *(f"  {what:<12}{told}" for what, told in lines), *found.notes])


def _against_one(found: Forecast) -> str:
    if found.workers == 1:
        return ""
    times = found.times_one_worker
    slower = "" if times > 1 else ": --workers 1 takes no longer and costs less"
    return f", {times:.2f} times that of one worker with all lanes{slower}"


def as_json(found: Forecast) -> dict[str, Any]:
    """The forecast for `--json`."""
    return found._asdict()
