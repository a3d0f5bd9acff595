"""One training of `scripts/bench quality`, in a process of its own: what it costs in CPU seconds, up to which step.

python -m bench.quality_training STORE NAME VARIANT SET SEED TILES_SEEN
"""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.quality_variants import VARIANTS, Layers
from satgan.config import load_config
from satgan.train.loop import train_loop
from satgan.train.progress import Progress
from satgan.train.start import prepare
from satgan.train.watch import Watch

COST_NAME = "cpu_seconds.json"
CHECKPOINTS = 8


def main(words: Sequence[str]) -> None:
    """Trains and writes `cpu_seconds.json` beside the checkpoints: CPU seconds since the first step, by step."""
    store, name, variant, tiles, seed, tiles_seen = words
    train = load_config("demo", VARIANTS[variant].options).train
    steps = int(tiles_seen) // (train.lanes * train.lane_batch)
    often = max(1, steps // CHECKPOINTS)
    layer: Layers = {
        "tiles": {"source": tiles},
        "train": {
            "store": store, "name": name, "seed": int(seed), "steps": steps, "workers": 0,
            "threads_per_lane": 1, "checkpoint_steps": often, "checkpoint_seconds": 0, "keep_checkpoints": steps,
            "log_steps": often, "film_steps": often,
        },
        "judge": {"tiles": 0},
    }  # fmt: skip
    shutil.rmtree(Path(store, name), ignore_errors=True)  # cut short: begun anew, or its CPU seconds would be wrong
    config, _ = prepare(load_config("demo", VARIANTS[variant].options, layer), lambda text: None)
    start, cost = time.process_time(), {0: 0.0}

    def noted(progress: Progress) -> None:
        cost[progress.step] = time.process_time() - start

    train_loop(config, Watch(progress=noted, checkpoint=lambda *told: None))
    Path(store, name, COST_NAME).write_text(json.dumps(cost))


if __name__ == "__main__":
    main(sys.argv[1:])
