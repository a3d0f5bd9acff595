"""How training scales: `scripts/bench scale`, or `python -m bench.scale`.

Measured: two workers of one thread (gloo), in turn with one worker of one thread that computes the same two lanes, and
with two runs of a lane each that tell each other nothing, the most that this machine's cores give. By the cost model
(satgan/cluster/speed.py, which `satgan preflight` uses): the same, from a lane's time and what the link does with
messages of its own; and clusters that are not here. The tables go to stdout, progress to stderr.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from statistics import median

import torch

from bench.machine import describe_machine
from bench.scale_workers import LANES, WORKERS, Measured, measure
from satgan.cluster.prices import GPUS
from satgan.cluster.speed import Cluster, Link, Update, efficiency, step_seconds, updates_of
from satgan.config import Config, load_config
from satgan.gan.describe import step_flops

ROUNDS = 5
LEAST_RATIO, MOST_APART = 1.8, 0.2
CASES = (("demo", 16), ("demo", 64), ("dcgan", 16))
GPU, SHARE_OF_PEAK = "H200", 0.4
"""The account of clusters: article's whole recipe at the share of the peak that is the goal of `scripts/bench gpu`."""
ACCOUNTS = (
    ("8 GPUs, NVLink", 8, 8, 0.0, 0.9),
    ("64 GPUs, 100 Gb/s each", 64, 1, 100.0, 0.8),
    ("64 GPUs, 400 Gb/s each", 64, 1, 400.0, 0.8),
    ("64 GPUs, 8 a machine with 100 Gb/s", 64, 8, 100.0, 0.8),
    ("256 GPUs, 400 Gb/s each", 256, 1, 400.0, 0.8),
)
"""What it is called, GPUs, GPUs on a machine, network of a machine [Gb/s], and the least efficiency."""
ACCOUNT_BATCHES = (64, 512)
GPU_LATENCY_SECONDS = 20e-6


def markdown(found: Sequence[Measured]) -> str:
    """Measured beside predicted."""
    heads = (
        "preset", "lanes", "rounds", "one worker, tiles/s", "two workers, tiles/s", "ratio", "two runs apart",
        "predicted tiles/s", "over measured", "link, MB/s", "CPU s a step, one and two",
    )  # fmt: skip
    lines = [heads, ("---",) * len(heads), *map(_cells, found)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def predicted_seconds(one: Measured) -> float:
    """A step of two workers, by the model, from the time of a lane where two processes compute one each."""
    link = Link(one.link_bytes_per_second, one.link_latency_seconds)
    cluster = Cluster(WORKERS, WORKERS, link, link)
    return step_seconds(LANES, median(one.apart_seconds), one.updates, cluster).whole


def _cells(one: Measured) -> tuple[str, ...]:
    ratio, most = (
        median(alone / other for alone, other in zip(one.alone_seconds, others, strict=True))
        for others in (one.together_seconds, one.apart_seconds)
    )
    over = median(one.together_seconds) / predicted_seconds(one)
    tiles = LANES * one.lane_batch
    goals = "reached" if ratio >= LEAST_RATIO else "missed", "reached" if abs(over - 1) <= MOST_APART else "missed"
    return (
        one.preset,
        f"{LANES} × {one.lane_batch}",
        str(len(one.alone_seconds)),
        f"{tiles / median(one.alone_seconds):,.4g}",
        f"{tiles / median(one.together_seconds):,.4g}",
        f"{ratio:.2f}× (goal ≥ {LEAST_RATIO}×: {goals[0]})",
        f"{most:.2f}×",
        f"{tiles / predicted_seconds(one):,.4g}",
        f"{over:.2f}× (goal within {MOST_APART:.0%}: {goals[1]})",
        f"{one.link_bytes_per_second / 1e6:,.0f}",
        f"{one.alone_cpu_seconds:.3f}, {one.together_cpu_seconds:.3f}",
    )


def account() -> str:
    """The model's efficiency of clusters that are not here, one lane per GPU, `article`'s whole recipe on path A."""
    heads = (
        "cluster", "goal", *(f"lane_batch {batch}" for batch in ACCOUNT_BATCHES), "least lane_batch",
        f"if nothing overlapped, lane_batch {ACCOUNT_BATCHES[-1]}",
    )  # fmt: skip
    lines = [heads, ("---",) * len(heads)]
    for name, workers, per_machine, gigabits, least in ACCOUNTS:
        inside = Link(GPUS[GPU].link_gigabytes_per_second * 1e9, GPU_LATENCY_SECONDS)
        cluster = Cluster(workers, per_machine, inside, Link(gigabits * 1e9 / 8 or 1e30, GPU_LATENCY_SECONDS))
        shares = [_share(batch, cluster) for batch in ACCOUNT_BATCHES]
        told = [f"{share:.0%} ({'reached' if share >= least else 'missed'})" for share in shares]
        enough = next((str(batch) for batch in _batches() if _share(batch, cluster) >= least), "none")
        lines.append((name, f"≥ {least:.0%}", *told, enough, f"{_in_turn(ACCOUNT_BATCHES[-1], cluster):.0%}"))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _article(batch: int, lanes: int) -> Config:
    train = {"lanes": lanes, "lane_batch": batch, "precision": "bfloat16"}
    return load_config("article", {"train": train, "recipe": {"history_capacity": 8 * batch}})


def _work(batch: int, lanes: int) -> tuple[float, list[Update]]:
    """Seconds of a lane, and its updates."""
    config = _article(batch, lanes)
    seconds = batch * step_flops(config) / (SHARE_OF_PEAK * GPUS[GPU].bfloat16_teraflops * 1e12)
    return seconds, updates_of(config)


def _share(batch: int, cluster: Cluster) -> float:
    return efficiency(cluster.workers, *_work(batch, cluster.workers), cluster)


def _in_turn(batch: int, cluster: Cluster) -> float:
    """The efficiency if every message waited for the end of its backward pass."""
    step = step_seconds(cluster.workers, *_work(batch, cluster.workers), cluster)
    return step.compute / (step.compute + step.messages)


def _batches() -> Sequence[int]:
    return [2**power for power in range(4, 14)]


def main(words: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench scale", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of which the median is told (default: %(default)s)")
    given = parser.parse_args(words)
    say = partial(print, file=sys.stderr, flush=True)
    found = []
    for preset, batch in CASES:
        say(f"measuring {preset}, {LANES} lanes of {batch} …")
        config = load_config(preset, {"train": {"lanes": LANES, "lane_batch": batch, "threads_per_lane": 1}})
        found.append(measure(preset, config, given.rounds))
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"- {name}: {value}")
    print("- workers: one thread each, gloo on loopback; predicted from a lane's time in runs apart, and the link\n")
    print(f"{markdown(found)}\n")
    print(
        f"By the model, nothing measured: `article` whole recipe on {GPU}s, one lane each, at {SHARE_OF_PEAK:.0%} of "
        f"the peak, messages part by part behind the backward passes:\n\n{account()}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
