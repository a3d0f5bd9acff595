"""Small trials that share one GPU, as a sweep with fractional GPUs has them: processes of their own, all at once.

`python -m bench.gpu_trials SECONDS SMOKE` is one of them: it says that it is ready, and starts at the next line of
input.
"""

import subprocess
import sys
import time
from collections.abc import Iterator

import torch

from bench.gpu_row import LeftOut, Row, Setting
from bench.measure import wait_for
from bench.variants import OurStep, make_batches
from satgan.train.device import decide, training_device

COUNTS = (1, 2, 4, 8)
SECONDS = 5.0
PRESET, BATCH = "digits", 64
LIMIT_SECONDS = 80.0


def trial_rows(setting: Setting) -> Iterator[Row]:
    """All trials' tiles per second beside those of one alone."""
    alone = 0.0
    for count in COUNTS[: 2 if setting.is_smoke else None]:
        speed = together(count, 0.2 if setting.is_smoke else SECONDS, setting.is_smoke)
        alone = alone or speed
        what = f"{count} trial(s) of `{PRESET}` at once, batch {BATCH}"
        yield Row(what, f"{speed:,.4g} tiles/s in all", "stated", f"{speed / alone:.2f}× one")


def together(count: int, seconds: float, is_smoke: bool) -> float:
    """Tiles per second of so many trials at once.

    Raises:
        LeftOut: one of them failed.
    """
    command = [sys.executable, "-m", "bench.gpu_trials", str(seconds), str(int(is_smoke))]
    trials = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        for trial in trials:
            assert trial.stdout is not None
            if trial.stdout.readline().strip() != "ready":
                raise LeftOut(f"one of {count} trials failed")
        for trial in trials:
            assert trial.stdin is not None
            trial.stdin.write("\n")
            trial.stdin.flush()
        return sum(float(trial.communicate(timeout=LIMIT_SECONDS)[0]) for trial in trials)
    finally:
        for trial in trials:
            trial.kill()
            trial.wait()


def main() -> int:
    """One trial: prints its tiles per second."""
    seconds, is_smoke = float(sys.argv[1]), sys.argv[2] == "1"
    device = torch.device("cpu") if is_smoke else training_device(deterministic=True)
    setting = Setting(device, is_smoke, 0.0)
    config = decide(setting.config(PRESET, BATCH))
    ours = OurStep(config, make_batches(config, device), device)
    for turn in range(5):
        ours.step(turn)
    wait_for(device)
    print("ready", flush=True)
    sys.stdin.readline()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        ours.step(steps)
        steps += 1
    wait_for(device)
    print(steps * config.train.lane_batch / (time.perf_counter() - start))
    return 0


if __name__ == "__main__":
    sys.exit(main())
