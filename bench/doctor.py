"""What the doctor costs a run: what log steps show of themselves, writing it down, and the rules at checkpoints.

On a CPU in seconds of its time on one thread, which other work on the machine hardly changes; on a GPU by the clock.
`scripts/bench doctor`, or `python -m bench.doctor`. The table goes to stdout, progress to stderr.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from bench.machine import describe_machine
from bench.measure import wait_for
from bench.variants import OurStep, make_batches
from satgan.config import Config, load_config
from satgan.gan.normalization import running_statistics
from satgan.gan.observe import tile_figures
from satgan.gan.pair import Pair
from satgan.presets import PRESETS
from satgan.train.checkup import FIRST_ENTRIES, LAST_ENTRIES, Checkup
from satgan.train.clock import memory
from satgan.train.device import decide, training_device
from satgan.train.events import Events

PRESETS_MEASURED = ("demo", "digits", "dcgan")
ROUNDS = 5
STEPS = {"demo": 4, "dcgan": 1, "article": 1, "digits": 20}
"""Of a round on a CPU; on a GPU ten times as many."""
MOST_SHARE = 0.01


class Cost(NamedTuple):
    """One preset's figures, medians over the rounds.

    step_seconds      of a step
    observe_seconds   networks and tiles are looked at, in a log step
    write_seconds     what they show goes into the journal and TensorBoard's events, in a log step
    examine_seconds   the rules are asked, at a checkpoint, of a long run
    """

    preset: str
    config: Config
    step_seconds: float
    observe_seconds: float
    write_seconds: float
    examine_seconds: float

    @property
    def share(self) -> float:
        """Of the time of the steps."""
        train = self.config.train
        each = (self.observe_seconds + self.write_seconds) / train.log_steps
        return (each + self.examine_seconds / train.checkpoint_steps) / self.step_seconds


def measure_cost(preset: str, config: Config, device: torch.device, rounds: int, steps: int) -> Cost:
    """Steps, and each of the doctor's doings by itself, in turn.

    Args:
        preset: its name.
        config: one lane.
        device: where.
        rounds: of which the medians are told.
        steps: in a round.
    """
    config = decide(config)
    ours = OurStep(config, make_batches(config, device), device)
    ours.pair.observe()
    numbers = ours.step(0) | ours.pair.evaluate()
    shown = ours.pair.observed()
    checkup = _long_run(config, numbers | shown)
    times: list[tuple[float, ...]] = []
    with tempfile.TemporaryDirectory(prefix="satgan-bench-") as folder:
        events = Events(Path(folder), 0)
        for _ in range(rounds):
            times.append(
                (
                    _seconds(lambda: [ours.step(turn) for turn in range(steps)], device) / steps,
                    _seconds(lambda: _observe(ours.pair), device),
                    _seconds(lambda: _write(events, shown), device),
                    _seconds(checkup.news, device),
                )
            )
        events.close()
    return Cost(preset, config, *(median(column) for column in zip(*times, strict=True)))


@torch.no_grad()
def _observe(pair: Pair) -> None:
    """What a log step does for the doctor, and nothing of what it does anyway."""
    pair.observe()
    for player in (pair.generator, pair.discriminator):
        assert player.observation is not None
        player.observation.note(player.weights, running_statistics(player.network))
    for lane in pair.lanes:
        tile_figures(lane.reals, lane.fakes)
    pair.observed()


def _write(events: Events, shown: dict[str, float]) -> None:
    json.dumps(shown | memory())
    events.add(1, shown)


def _long_run(config: Config, numbers: dict[str, float]) -> Checkup:
    checkup = Checkup(config)
    for number in range(1, FIRST_ENTRIES + LAST_ENTRIES + 1):
        timing = {"seconds": float(number), "tiles_per_second": 100.0, "waited_share": 0.0} | memory()
        checkup.hear({"step": number * config.train.log_steps, "numbers": numbers, "timing": timing})
    return checkup


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    wait_for(device)
    start = clock()
    work()
    wait_for(device)
    return clock() - start


def table(costs: Sequence[Cost]) -> str:
    """A line per preset, with the goal."""
    lines = ["| preset | step, ms | observe, ms | write, ms | examine, ms | of the steps' time |", f"|{' --- |' * 6}"]
    for cost in costs:
        told = " | ".join(f"{1000 * seconds:.3g}" for seconds in cost[2:])
        goal = f"goal {MOST_SHARE:.0%}: {'reached' if cost.share <= MOST_SHARE else 'missed'}"
        lines.append(f"| {cost.preset} | {told} | {cost.share:.2%} ({goal}) |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench doctor", description=__doc__)
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS), default=list(PRESETS_MEASURED))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of which the median is told (default: {ROUNDS})")
    given = parser.parse_args(words)
    device = training_device(deterministic=True)
    torch.set_num_threads(1)
    costs = []
    for preset in given.presets:
        print(f"measuring {preset} …", file=sys.stderr)
        about = load_config(preset).train
        one_lane = {"lanes": 1, "lane_batch": about.lanes * about.lane_batch, "threads_per_lane": 1}
        steps = STEPS[preset] * (10 if device.type == "cuda" else 1)
        costs.append(measure_cost(preset, load_config(preset, {"train": one_lane}), device, given.rounds, steps))
    for name, value in describe_machine(device).items():
        print(f"- {name}: {value}")
    print(
        f"- one lane of the preset's global batch, log steps and checkpoints as the preset has them\n\n{table(costs)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
