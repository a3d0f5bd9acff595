"""What exactness costs: the sum over lanes beside a plain all-reduce, and checkpoints beside the steps.

`scripts/bench exact`, or `python -m bench.exact`. The tables go to stdout, progress to stderr.
"""

import argparse
import sys
from collections.abc import Sequence
from statistics import median

import torch

from bench.exact_checkpoint import Held, measure_checkpoints
from bench.exact_sum import Compared, cases_of, compare
from bench.machine import describe_machine
from satgan.config import load_config
from satgan.presets import PRESETS
from satgan.train.device import training_device, usable_cores

PRESETS_MEASURED = ("demo", "dcgan")
ROUNDS = 5
STEPS = {"demo": 40, "dcgan": 6, "article": 2, "digits": 40}
"""Of a round on a CPU; on a GPU ten times as many."""
MOST_SHARE = 0.05


def main(words: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench exact", description=__doc__)
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS), default=list(PRESETS_MEASURED))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of which the median is told (default: {ROUNDS})")
    given = parser.parse_args(words)
    device = training_device(deterministic=True)
    torch.set_num_threads(usable_cores())
    held = []
    for preset in given.presets:
        print(f"measuring checkpoints of {preset} …", file=sys.stderr)
        config = load_config(preset, {"train": {"lanes": 1, "lane_batch": 64, "workers": 0}})
        steps = STEPS[preset] * (10 if device.type == "cuda" else 1)
        held.append(measure_checkpoints(preset, config, device, given.rounds, steps))
    print("measuring sums …", file=sys.stderr)
    compared = compare([case for preset in given.presets for case in cases_of(preset)], given.rounds)
    for name, value in describe_machine(device).items():
        print(f"- {name}: {value}")
    print(f"- checkpoints: one lane of 64 tiles, full history, local folder; medians of {given.rounds} rounds")
    print(f"- sums: gloo on the CPU, 2 processes of one thread; medians of {given.rounds} rounds, ratios paired\n")
    print(f"{checkpoint_table(held)}\n\n{sum_table(compared)}")
    return 0


def sum_table(compared: Sequence[Compared]) -> str:
    """A line per message and number of lanes."""
    lines = [("message", "MB", "lanes per worker", "all_reduce, ms", "over lanes, ms", "ratio"), ("---",) * 6]
    for one in compared:
        pairs = zip(one.ours_seconds, one.plain_seconds, strict=True)
        plain, ours = (f"{1000 * median(seconds):.3g}" for seconds in (one.plain_seconds, one.ours_seconds))
        ratio = f"{median(mine / theirs for mine, theirs in pairs):.2f}×"
        lines.append((one.case.name, f"{4e-6 * one.case.numbers:.3g}", str(one.case.lanes // 2), plain, ours, ratio))
    return _markdown(lines)


def checkpoint_table(held: Sequence[Held]) -> str:
    """A line per preset. Two goals: how long steps stand still, of one step; and all that a checkpoint costs the steps,
    of the time between two."""
    heads = (
        "preset", "step, ms", "steps stand still, ms", "of a step", "costs in all, ms", "in steps",
        "of the time between two checkpoints", "snapshot, MB", "file, MB",
    )  # fmt: skip
    lines = [heads, ("---",) * len(heads)]
    for one in held:
        step, hold, extra = (median(seconds) for seconds in (one.step_seconds, one.hold_seconds, one.extra_seconds))
        steps = one.config.train.checkpoint_steps
        standing, share = (_judged(figure) for figure in (hold / step, extra / step / steps))
        milliseconds = [f"{1000 * seconds:.3g}" for seconds in (step, hold, extra)]
        lines.append(
            (
                one.preset, milliseconds[0], milliseconds[1], standing, milliseconds[2],
                f"{extra / step:.2f}", share, f"{one.snapshot_bytes / 1e6:.1f}", f"{one.file_bytes / 1e6:.1f}",
            )
        )  # fmt: skip
    return _markdown(lines)


def _judged(share: float) -> str:
    return f"{share:.2%} (goal {MOST_SHARE:.0%}: {'reached' if share <= MOST_SHARE else 'missed'})"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
