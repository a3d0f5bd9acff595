"""How long a step takes on any number of workers: the cost model of `satgan preflight` and `scripts/bench scale`.

A worker computes its lanes one after the other. After each update all lanes' messages are summed in lane order
(satgan/train/ranks.py): all_to_all brings each worker its W-th part of every lane's message, all_gather brings the sums
back to all. So a worker that holds `lanes` of them tells lanes + 1 times (W - 1)/W of a message, of which the part to
other machines shares the machine's network, and nothing of it overlaps with computing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from satgan.config import Config

BYTES_PER_NUMBER = 4
COLLECTIVES = 2
"""Per message: all_to_all and all_gather."""


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


class StepSeconds(NamedTuple):
    """A step of the busiest worker. `network` is the part of `messages` in which the machine's network is busy."""

    compute: float
    messages: float
    network: float

    @property
    def whole(self) -> float:
        """Nothing overlaps."""
        return self.compute + self.messages


def message_bytes(config: Config, generator_numbers: float, discriminator_numbers: float) -> list[tuple[float, float]]:
    """What each lane tells in a step on path A: (bytes, how often) of two discriminator updates and the history's
    share, and of the generator's updates.

    Args:
        config: of the run.
        generator_numbers, discriminator_numbers: float32 numbers in a message of each.
    """
    recipe = config.recipe
    return [
        (BYTES_PER_NUMBER * discriminator_numbers, 2 + recipe.history_share),
        (BYTES_PER_NUMBER * generator_numbers, float(recipe.generator_updates)),
    ]


def step_seconds(
    lanes: int, lane_seconds: float, messages: Sequence[tuple[float, float]], cluster: Cluster
) -> StepSeconds:
    """The step's time.

    Args:
        lanes: of the run.
        lane_seconds: measured: what one worker takes to compute one lane's part of a step.
        messages: see `message_bytes`.
        cluster: on which; workers from 1 to `lanes`.
    """
    workers = cluster.workers
    held = -(-lanes // workers)
    here = min(workers, cluster.per_machine)
    told = (held + 1) * sum(size * often for size, often in messages)
    between = here * told * (workers - here) / workers / cluster.network.bytes_per_second
    within = told * (here - 1) / workers / cluster.inside.bytes_per_second
    slowest = cluster.network if workers > here else cluster.inside
    doublings = (workers - 1).bit_length()
    waits = COLLECTIVES * doublings * slowest.latency_seconds * sum(often for _, often in messages)
    return StepSeconds(held * lane_seconds, between + within + waits, between)


def efficiency(lanes: int, lane_seconds: float, messages: Sequence[tuple[float, float]], cluster: Cluster) -> float:
    """Tiles per second of so many workers over as many times those of one worker that computes all lanes."""
    alone = step_seconds(lanes, lane_seconds, messages, cluster._replace(workers=1))
    return alone.whole / (cluster.workers * step_seconds(lanes, lane_seconds, messages, cluster).whole)
