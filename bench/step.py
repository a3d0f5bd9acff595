"""Steps and tiles per second on the CPU beside the plain loop: `scripts/bench cpu`, or `python -m bench.step`.

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
from bench.variants import VARIANTS, make_batches
from satgan.config import Config, load_config
from satgan.presets import PRESETS
from satgan.train.device import usable_cores

CPU = torch.device("cpu")
EFFORT = Effort(rounds=5, round_seconds=2.0, warm_up_steps=0)
BUDGET_SECONDS = 520.0
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
        names = _choose(one, allowance, results)
        print(f"measuring {one.preset}, batch {one.batch}: {', '.join(names) or 'nothing'} …", file=sys.stderr)
        if names:
            measured = _measure_block(one, names, device, effort, allowance)
            results.rows.extend(make_rows(one.preset, one.batch, measured, roof_flops_per_second))
    return results


def _choose(one: Block, allowance_seconds: float, results: Results) -> list[str]:
    """Names of the variants that the allowance suffices for; notes the others as left out."""
    known = {row.variant: row for row in results.rows if row.preset == one.preset}
    if not known:
        return list(VARIANTS)
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
        "inputs": "tiles and noise ready on the device, outside the timed regions, for all variants alike",
        "whole recipe": "path A, G twice, L2, averaged generator; the history's update timed apart, times its share",
        "agreement": f"plain and ours lose the same on small networks: at most {difference:.1g} apart, "
        f"float32, {AGREEMENT_STEPS} steps",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit status."""
    options = _parser().parse_args(arguments)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # else the fast precision would be that of a GPU that is not measured
    torch.set_num_threads(usable_cores())
    difference = max(largest_difference(check_config(name), CPU, AGREEMENT_STEPS) for name in ("article", "dcgan"))
    roof = find_roof(CPU)
    above = header(CPU, roof.origin, roof.flops_per_second, difference)
    blocks = [block(preset, batch) for batch in sorted(options.batches) for preset in options.presets]
    effort = EFFORT._replace(rounds=options.rounds)
    results = measure_blocks(blocks, CPU, effort, options.budget_seconds, roof.flops_per_second)
    if options.json:
        print(json.dumps({"header": above, **as_json(*results)}, indent=2))
    else:
        print("\n".join(f"- {name}: {text}" for name, text in above.items()) + "\n")
        print(markdown(*results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench cpu", description=__doc__)
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS), default=["demo", "dcgan", "article"])
    parser.add_argument("--batches", nargs="+", type=int, default=[64], help="tiles of the one lane")
    parser.add_argument("--rounds", type=int, default=5, help="at most; the table shows medians")
    parser.add_argument("--budget-seconds", type=float, default=BUDGET_SECONDS, help="time for all of it")
    parser.add_argument("--json", action="store_true", help="print JSON instead of markdown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
