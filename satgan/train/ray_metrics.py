"""A run's figures as Ray metrics: every worker's machine exports them to Prometheus beside Ray's own.

satgan/cluster/grafana.json shows them. Names and tags, the exporter puts `ray_` before each name:

satgan_step, satgan_steps                 taken, wished
satgan_tiles_per_second                   this worker's part of the run's speed: the sum over workers is the run's
satgan_waited_share                       of this worker's time, waited for tiles
satgan_gpu_memory_bytes                   of this worker's GPU; kind: used (by whomever), total
satgan_loss                               part: real, fake, history, generator; moment: before, after the update
satgan_regularizer, satgan_regularizer_share
                                          network: generator, discriminator
satgan_misjudged_share                    of the global batch; kind: reals_called_fake, fakes_called_real
satgan_path_a_share                       of the steps of this attempt (S39)
satgan_score                              the judge's newest
satgan_dollars                            USD that all attempts have cost, where prices are known

What the doctor looks at has no gauge. Those of the whole run come from worker 0. All have the tags `run` and `worker`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ray.util.metrics import Gauge

from satgan.groups import TrainConfig
from satgan.train.device import gpu_memory_bytes
from satgan.train.lane_tree import lanes_of

OWN = ("tiles_per_second", "waited_share", "gpu_memory_bytes")
"""Gauges that every worker sets; the others are the whole run's, and worker 0's alone."""
GAUGES: dict[str, tuple[str, ...]] = {
    "step": (), "steps": (), "tiles_per_second": (), "waited_share": (), "gpu_memory_bytes": ("kind",),
    "loss": ("part", "moment"), "regularizer": ("network",), "regularizer_share": ("network",),
    "misjudged_share": ("kind",), "path_a_share": (), "score": (), "dollars": (),
}  # fmt: skip
"""Every gauge, and its tags beside `run` and `worker`."""


class Figure(NamedTuple):
    """A value for a gauge, and its tags."""

    gauge: str
    value: float
    tags: dict[str, str]


class Gauges:
    """The gauges of one worker.

    Args:
        train: the run's.
        worker: which one this is, of `workers`.
    """

    def __init__(self, train: TrainConfig, worker: int, workers: int) -> None:
        self._worker, self._steps = worker, train.steps
        self._part = len(lanes_of(worker, workers, train.lanes)) / train.lanes
        self._gauges = {name: Gauge(f"satgan_{name}", tag_keys=("run", "worker", *GAUGES[name])) for name in GAUGES}
        for gauge in self._gauges.values():
            gauge.set_default_tags({"run": train.name, "worker": str(worker)})

    def set(self, step: int, figures: dict[str, float]) -> None:
        """Shows what `Watch.numbers` was told."""
        told = {"step": step, "steps": self._steps, **figures}
        told["tiles_per_second"] *= self._part
        for figure in (*figures_of(told), *_memory()):
            if self._worker == 0 or figure.gauge in OWN:
                self._gauges[figure.gauge].set(figure.value, figure.tags)


def figures_of(told: dict[str, float]) -> Iterator[Figure]:
    """A run's figures by gauge; names are those of the journal (satgan/gan/losses.py)."""
    for name, value in told.items():
        loss, _, moment = name.rpartition("_loss_")
        network, _, share = name.removesuffix("_after").partition("_regularizer")
        if loss:
            yield Figure("loss", value, {"part": loss, "moment": moment})
        elif name.endswith("_after"):
            yield Figure(f"regularizer{share}", value, {"network": network})
        elif name in ("reals_called_fake", "fakes_called_real"):
            yield Figure("misjudged_share", value, {"kind": name})
        elif name in GAUGES:
            yield Figure(name, value, {})


def _memory() -> Iterator[Figure]:
    for kind, count in (gpu_memory_bytes() or {}).items():
        yield Figure("gpu_memory_bytes", count, {"kind": kind})
