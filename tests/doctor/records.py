"""The record of a run in good order, made from figures as our healthy runs have them, and ways to spoil it."""

from collections.abc import Callable
from typing import Any

from satgan.config import load_config
from satgan.doctor.records import Entry, RunRecord

LAYERS = ("projection", "convolutions.0", "convolutions.1")
NUMBERS = {
    "real_loss_before": 0.6, "fake_loss_before": 0.3, "generator_loss_before": 2.0, "reals_called_fake": 0.2,
    "fakes_called_real": 0.1, "real_loss_after": 0.6, "fake_loss_after": 0.3, "generator_loss_after": 2.0,
    "generator_regularizer_after": 0.03, "generator_regularizer_share_after": 0.015,
    "discriminator_regularizer_after": 0.02, "discriminator_regularizer_share_after": 0.02,
    "saturated_share.fakes": 0.01, "saturated_share.reals": 0.0, "stride_energy.fakes": 0.03,
    "stride_energy.reals": 0.01, "spread.fakes": 0.2, "spread.reals": 0.2, "nearest_real.fakes": 0.25,
    "weight_norm.generator": 20.0, "update_norm.generator": 0.06, "norm_drift.generator": 0.05,
    "weight_norm.discriminator": 20.0, "update_norm.discriminator": 0.06, "norm_drift.discriminator": 0.05,
}  # fmt: skip
EVENTS: tuple[dict[str, Any], ...] = (
    {"step": 0, "event": "start", "workers": 1, "device": "cpu", "cache": "memory", "cores": 2, "tiles": 4000},
    {"step": 0, "event": "inputs", "lowest": -1.0, "highest": 1.0, "mean": -0.1, "channels_last": True},
    *({"step": step, "event": "checkpoint", "grid": "film/grid.png"} for step in (500, 1000)),
    *(
        {"step": step, "event": "judged", "score": 3.0, "tiles": 256,
         "scores": {"memory": {"value": 0.9, "floor": 0.9, "ratio": 1.0}}}
        for step in (500, 1000)
    ),
)  # fmt: skip
Spoil = Callable[[int], dict[str, float]]


def run_record(
    steps: int = 3000,
    numbers: Spoil = lambda step: {},
    timing: Spoil = lambda step: {},
    events: tuple[dict[str, Any], ...] = (),
    groups: dict[str, Any] | None = None,
    **facts: Any,
) -> RunRecord:
    """A run of `dcgan` with a log step every 20.

    Args:
        steps: taken so far.
        numbers: by step, what to change of a log step's numbers.
        timing: by step, the same of its timing.
        events: what the journal notes, in place of others of their kind.
        groups: options that differ.
        facts: fields of the record.
    """
    entries = [
        Entry(step, _numbers(step) | numbers(step), _timing(step) | timing(step)) for step in range(20, steps + 1, 20)
    ]
    replaced = {event["event"] for event in events}
    noted = [*(event for event in EVENTS if event["event"] not in replaced), *events]
    facts = {"pictures": 9, "checkpoints": 4, "logged": True} | facts
    options = {"train": {"threads_per_lane": 2}} | (groups or {})
    return RunRecord(load_config("dcgan", options), entries, noted, **facts)


def _numbers(step: int) -> dict[str, float]:
    gradients = {
        f"gradient_{kind}.{network}.{layer}": value
        for network in ("generator", "discriminator")
        for layer in LAYERS
        for kind, value in (("norm", 0.1), ("zero_share", 0.001))
    }
    return NUMBERS | gradients | {"path_a": float(step % 60 == 0)}


def _timing(step: int) -> dict[str, float]:
    return {"seconds": step * 0.5, "tiles_per_second": 128.0, "waited_share": 0.001, "resident_megabytes": 500.0}
