"""What a GPU reaches, in one table: `scripts/bench gpu`, or `python -m bench.gpu`; it ends within eight minutes.

Needs torch, numpy and pydantic; only the rows on tiles want more, and what is missing they tell. `--smoke` goes
through all rows on a CPU in small, where no figure says anything. The table goes to stdout, row by row, so that a time
limit or a crash leaves what was measured; progress goes to stderr.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from bench.gpu_memory import memory_rows
from bench.gpu_numbers import agreement_rows, precision_rows, replay_rows
from bench.gpu_profile import profile_tables
from bench.gpu_row import HEAD, LeftOut, Row, Setting, markdown
from bench.gpu_sampling import sampling_rows
from bench.gpu_steps import article_rows, dcgan_rows
from bench.gpu_tiles import waiting_rows
from bench.gpu_trials import trial_rows
from bench.machine import describe_machine, find_roof
from satgan.train.device import free_memory, training_device

BUDGET_SECONDS = 440.0

Rows = Callable[[Setting], Iterator[Row]]


class Group(NamedTuple):
    """Rows that are measured together: by what the table calls them, and seconds that they take at most."""

    name: str
    rows: Rows
    seconds: float


GROUPS = (
    Group("agreement with the plain loop", agreement_rows, 20.0),
    Group("article, steps", article_rows, 90.0),
    Group("dcgan, steps", dcgan_rows, 60.0),
    Group("replays, numbers", replay_rows, 30.0),
    Group("memory of article at batch 512", memory_rows, 30.0),
    Group("sampling", sampling_rows, 40.0),
    Group("bfloat16 against float32", precision_rows, 60.0),
    Group("waiting for tiles", waiting_rows, 60.0),
    Group("several trials at once", trial_rows, 90.0),
)


def measure_all(setting: Setting, end: float) -> Iterator[Row]:
    """Every group's rows, as soon as they are there; one that cannot be measured has a row that says why.

    Args:
        setting: where, and how large.
        end: by the monotonic clock; a group that would take longer is left out.
    """
    for group in GROUPS:
        if time.monotonic() + (0 if setting.is_smoke else group.seconds) > end:
            yield Row(group.name, "", verdict="left out: no time is left")
            continue
        print(f"measuring {group.name} …", file=sys.stderr, flush=True)
        try:
            yield from map(_unjudged, group.rows(setting)) if setting.is_smoke else group.rows(setting)
        except LeftOut as reason:
            yield Row(group.name, "", verdict=f"left out: {reason}")
        except Exception as error:  # the other rows are worth having all the same
            first_line = str(error).partition("\n")[0]
            yield Row(group.name, "", verdict=f"failed: {type(error).__name__}: {first_line}")
        free_memory()


def _unjudged(row: Row) -> Row:
    return row._replace(verdict="not judged") if row.verdict in ("reached", "missed") else row


def main(words: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench gpu", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="on a CPU, small: to see that everything works")
    given = parser.parse_args(words)
    end = time.monotonic() + BUDGET_SECONDS
    if not given.smoke and not torch.cuda.is_available():
        print("no GPU that PyTorch can use was found\n  what to do: scripts/bench cpu, or --smoke", file=sys.stderr)
        return 2
    device = torch.device("cpu") if given.smoke else training_device(deterministic=True)
    roof = find_roof(device)
    setting = Setting(device, given.smoke, roof.flops_per_second)
    for name, text in header(setting, roof.origin).items():
        print(f"- {name}: {text}")
    print(f"\n{markdown(HEAD)}", flush=True)
    for row in measure_all(setting, end):
        print(markdown([row]), flush=True)
    try:
        print(profile_tables(setting))
    except RuntimeError as error:
        print(f"\nno profile: {error}")
    return 0


def header(setting: Setting, roof_origin: str) -> dict[str, str]:
    """What stands above the table, by name."""
    about = describe_machine(setting.device) | {
        "roof": f"{setting.roof_flops_per_second / 1e12:.4g} TFLOP/s ({roof_origin}), over a step's FLOPs",
        "float32": "as PyTorch computes it by default: convolutions in TF32 on a GPU",
        "inputs": "tiles and noise ready on the device, outside the timed regions, but where tiles are waited for",
        "whole recipe": "path A, G twice, L2, averaged generator; the history's update timed apart, by its share",
    }
    if setting.is_smoke:
        about["smoke"] = "small networks on a CPU, no graphs: no figure says anything"
    return about


if __name__ == "__main__":
    sys.exit(main())
