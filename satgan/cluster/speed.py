"""How long a step takes on any number of workers: the cost model of `satgan preflight` and `scripts/bench scale`.

A worker computes its lanes one after the other. For each update all lanes' messages are summed (satgan/train/ranks.py):
each worker adds up what it can; of two, each tells the other; of more, all_to_all brings each its W-th part of every
such sum, all_gather the whole to all. So of more than two, one that tells `sums` sends sums + 1 times (W - 1)/W of a
message, of which the part to other machines shares the machine's network. A message goes part by part
(satgan/gan/message.py), each as soon as the backward pass of the worker's last lane has made it: what is still under
way when that pass ends is waited for. (Workers that share one machine's cores send it whole: satgan/train/sums.py.)
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from satgan.config import Config
from satgan.gan.describe import Layer, discriminator_layers, generator_layers, passing, step_flops
from satgan.gan.message import parts_of
from satgan.gan.networks import Discriminator, Generator
from satgan.gan.weights import in_order
from satgan.train.lane_tree import most_lanes, sums_of

BYTES_PER_NUMBER = 4


class Link(NamedTuple):
    """Between workers. `latency_seconds` of one collective among two workers; it grows with their doublings."""

    bytes_per_second: float
    latency_seconds: float = 0.0


class Cluster(NamedTuple):
    """`per_machine` workers share a machine and, to others, its `network`; among themselves they have `inside` each."""

    workers: int
    per_machine: int
    inside: Link
    network: Link


class Part(NamedTuple):
    """Of a message: its bytes, and the share of a lane's step that the update still computes when it is ready."""

    bytes: float
    computing_left: float


class Update(NamedTuple):
    """Of a network: its message, and how often a step makes it."""

    parts: tuple[Part, ...]
    often: float


class StepSeconds(NamedTuple):
    """A step of the busiest worker.

    compute     of its lanes
    messages    under way; `network`: the time of these in which the machine's network is busy
    waiting     of `messages`, while nothing is computed
    """

    compute: float
    messages: float
    network: float
    waiting: float

    @property
    def whole(self) -> float:
        """Computing and waiting."""
        return self.compute + self.waiting


def updates_of(config: Config) -> list[Update]:
    """What each lane tells in a step on path A: two discriminator updates and the history's share, and the
    generator's updates."""
    recipe = config.recipe
    return [
        Update(_parts(config, "discriminator"), 2 + recipe.history_share),
        Update(_parts(config, "generator"), float(recipe.generator_updates)),
    ]


def step_seconds(lanes: int, lane_seconds: float, updates: Sequence[Update], cluster: Cluster) -> StepSeconds:
    """The step's time.

    Args:
        lanes: of the run.
        lane_seconds: measured: what one worker takes to compute one lane's part of a step.
        updates: see `updates_of`.
        cluster: on which; workers from 1 to `lanes`.
    """
    messages = network = waiting = 0.0
    for update in updates if cluster.workers > 1 else ():
        there = float("-inf")  # seconds after the end of computing
        for part in update.parts:
            taken, busy = _told_seconds(lanes, part.bytes, cluster)
            there = max(there, -part.computing_left * lane_seconds) + taken
            messages, network = messages + update.often * taken, network + update.often * busy
        waiting += update.often * max(0.0, there)
    return StepSeconds(most_lanes(cluster.workers, lanes) * lane_seconds, messages, network, waiting)


def efficiency(lanes: int, lane_seconds: float, updates: Sequence[Update], cluster: Cluster) -> float:
    """Tiles per second of so many workers over as many times those of one worker that computes all lanes."""
    alone = step_seconds(lanes, lane_seconds, updates, cluster._replace(workers=1))
    return alone.whole / (cluster.workers * step_seconds(lanes, lane_seconds, updates, cluster).whole)


def _told_seconds(lanes: int, size: float, cluster: Cluster) -> tuple[float, float]:
    """Of `size` bytes of each lane's message: from the first byte sent to the sum's last received, and that part of it
    in which the machine's network is busy."""
    workers = cluster.workers
    here = min(workers, cluster.per_machine)
    sums = max(map(len, sums_of(workers, lanes)))
    talks, told = (1, sums) if workers == 2 else (2, (sums + 1) / workers)  # what each other worker is told
    between = here * told * size * (workers - here) / cluster.network.bytes_per_second
    within = told * size * (here - 1) / cluster.inside.bytes_per_second
    slowest = cluster.network if workers > here else cluster.inside
    doublings = (workers - 1).bit_length()
    return between + within + talks * doublings * slowest.latency_seconds, between


def _parts(config: Config, name: str) -> tuple[Part, ...]:
    """Of the messages of the generator or the discriminator."""
    with torch.device("meta"):
        network = Generator(config.gan) if name == "generator" else Discriminator(config.gan)
    layers = generator_layers(config.gan) if name == "generator" else discriminator_layers(config.gan)
    parts, numbers = parts_of(network)
    whole, left, flops = step_flops(config) / passing(config, name), {len(parts) - 1: 0.0}, 0.0
    flops_left = _flops_left(layers)
    for (_, parameter), number in zip(in_order(network), numbers, strict=True):
        flops = next(flops_left) if parameter.dim() >= 2 else flops
        left.setdefault(number, flops)  # a part is ready with the first of its layers
    sizes = [BYTES_PER_NUMBER * (part.stop - part.start) for part in parts]
    return tuple(Part(size, left[number] / whole) for number, size in enumerate(sizes))


def _flops_left(layers: Sequence[Layer]) -> Iterator[float]:
    """Of each layer with weights: what the backward pass computes after its gradient, per tile. A layer needs the
    gradients of its weights and of its inputs; the first layer's inputs need none."""
    left = 0.0
    for number, layer in enumerate(layers):
        yield left
        left += layer.flops * (1 if number == 0 else 2)
