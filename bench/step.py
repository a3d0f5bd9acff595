"""Steps and tiles per second beside the plain loop: `python -m bench.step {cpu,gpu}`, or `scripts/bench`.

Needs torch, numpy and pydantic only. The table goes to stdout, progress to stderr.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch

from bench.agreement import check_config, largest_difference
from bench.machine import describe_machine, find_roof
from bench.measure import Effort, Measured, affordable, measure
from bench.table import LeftOut, Row, as_json, make_rows, markdown
from bench.variants import VARIANTS, make_batches, variants_on
from satgan.config import Config, load_config
from satgan.presets import PRESETS
from satgan.train.device import training_device, usable_cores

EFFORTS = {
    "cpu": Effort(rounds=5, round_seconds=2.0, warm_up_steps=0),
    "cuda": Effort(rounds=5, round_seconds=1.0, warm_up_steps=20),
}
BUDGETS_SECONDS = {"cpu": 520.0, "cuda": 420.0}
AGREEMENT_STEPS = 4


class Block(NamedTuple):
    """One preset at one batch: what is measured in turn."""

    preset: str
    batch: int
    config: Config


class Results(NamedTuple):
    """All blocks' rows, and what there was no time for."""

    rows: list[Row]
    left_out: list[LeftOut]


def block(preset: str, batch: int) -> Block:
    """A preset with one lane of the given batch, all else at its defaults."""
    return Block(preset, batch, load_config(preset, {"train": {"lanes": 1, "lane_batch": batch, "workers": 0}}))


def measure_blocks(
    blocks: Sequence[Block], device: torch.device, effort: Effort, budget_seconds: float, roof_flops_per_second: float
) -> Results:
    """Measures block after block; each may use an equal share of the time that is left.

    Args:
        blocks: smaller batches first: from their times follows what a larger one of the same preset can afford.
        device: where.
        effort: at most this.
        budget_seconds: for all of them.
        roof_flops_per_second: of the device.
    """
    end = time.monotonic() + budget_seconds
    results = Results([], [])
    for position, one in enumerate(blocks):
        allowance = (end - time.monotonic()) / (len(blocks) - position)
        names = _choose(one, device, allowance, results)
        print(f"measuring {one.preset}, batch {one.batch}: {', '.join(names) or 'nothing'} …", file=sys.stderr)
        if names:
            measured = _measure_block(one, names, device, effort, allowance)
            results.rows.extend(make_rows(one.preset, one.batch, measured, roof_flops_per_second))
    return results


def _choose(one: Block, device: torch.device, allowance_seconds: float, results: Results) -> list[str]:
    """Names of the variants that the allowance suffices for; notes the others as left out."""
    known = {row.variant: row for row in results.rows if row.preset == one.preset}
    if not known:
        return variants_on(device)
    seconds = {name: one.batch / known[name].tiles_per_second for name in VARIANTS if name in known}
    chosen = affordable(seconds, allowance_seconds)
    for name in (name for name in seconds if name not in chosen):
        reason = f"a step would take about {seconds[name]:.0f} s"
        results.left_out.append(LeftOut(one.preset, one.batch, known[name].label, reason))
    return chosen


def _measure_block(
    one: Block, names: Sequence[str], device: torch.device, effort: Effort, allowance_seconds: float
) -> dict[str, Measured]:
    batches = make_batches(one.config, device)
    builds = [partial(VARIANTS[name], one.config, batches, device) for name in names]
    return dict(zip(names, measure(builds, device, effort, allowance_seconds), strict=True))


def header(device: torch.device, origin: str, roof_flops_per_second: float, difference: float) -> dict[str, str]:
    """What stands above the table, by name."""
    return describe_machine(device) | {
        "roof": f"{roof_flops_per_second / 1e12:.4g} TFLOP/s ({origin}), over the FLOPs that a step needs",
        "float32": "as PyTorch computes it by default: convolutions in TF32 on a GPU",
        "inputs": "tiles and noise ready on the device, outside the timed regions, for all variants alike",
        "whole recipe": "path A, G twice, L2, averaged generator; the history's update timed apart, times its share",
        "agreement": f"plain and ours lose the same on small networks: at most {difference:.1g} apart, "
        f"float32, {AGREEMENT_STEPS} steps",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit status."""
    options = _parser().parse_args(arguments)
    if options.device == "gpu" and not torch.cuda.is_available():
        print("no GPU that PyTorch can use was found\n  what to do: scripts/bench cpu", file=sys.stderr)
        return 2
    device = training_device(deterministic=True) if options.device == "gpu" else torch.device("cpu")
    if device.type == "cpu":
        # Else the fast precision would be that of a GPU that is not measured.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(usable_cores())
    difference = max(largest_difference(check_config(name), device, AGREEMENT_STEPS) for name in ("article", "dcgan"))
    roof = find_roof(device)
    above = header(device, roof.origin, roof.flops_per_second, difference)
    blocks = [block(preset, batch) for batch in sorted(options.batches) for preset in options.presets]
    effort = EFFORTS[device.type]._replace(rounds=options.rounds)
    budget = options.budget_seconds or BUDGETS_SECONDS[device.type]
    results = measure_blocks(blocks, device, effort, budget, roof.flops_per_second)
    if options.json:
        print(json.dumps({"header": above, **as_json(*results, device.type)}, indent=2))
    else:
        print("\n".join(f"- {name}: {text}" for name, text in above.items()) + "\n")
        print(markdown(*results, device.type))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("device", choices=("cpu", "gpu"))
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS), default=["dcgan", "article"])
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 512], help="tiles of the one lane")
    parser.add_argument("--rounds", type=int, default=5, help="at most; the table shows medians")
    parser.add_argument("--budget-seconds", type=float, help="time for all of it; cpu 520, gpu 420")
    parser.add_argument("--json", action="store_true", help="print JSON instead of markdown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
