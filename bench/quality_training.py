"""One training of `scripts/bench quality`, in a process of its own: what it costs in CPU seconds, up to which step.

python -m bench.quality_training STORE NAME VARIANT SET SEED TILES_SEEN
"""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from bench.quality_variants import VARIANTS, Layers
from satgan.config import Config, load_config
from satgan.tiles.tile_set import open_tile_set
from satgan.train.loop import train_loop
from satgan.train.progress import Progress
from satgan.train.start import prepare
from satgan.train.watch import Watch

COST_NAME = "cpu_seconds.json"
CHECKPOINTS = 8


def config_of(store: str, name: str, variant: str, tiles: str, seed: int, tiles_seen: int) -> Config:
    """The training's config: the preset `demo` with the variant's options, for so many tiles in its batches."""
    train = load_config("demo", VARIANTS[variant].options).train
    steps = tiles_seen // (train.lanes * train.lane_batch)
    often = max(1, steps // CHECKPOINTS)
    layer: Layers = {
        "tiles": {"source": tiles},
        "train": {
            "store": store, "name": name, "seed": seed, "steps": steps, "workers": 0,
            "threads_per_lane": 1, "checkpoint_steps": often, "checkpoint_seconds": 0, "keep_checkpoints": steps,
            "log_steps": often, "film_steps": often,
        },
        "judge": {"tiles": 0},
    }  # fmt: skip
    return load_config("demo", VARIANTS[variant].options, layer)


def cost_of(config: Config) -> dict[int, float] | None:
    """CPU seconds up to each checkpoint of a training that was ended; None where there is none of this config."""
    path = Path(config.train.store, config.train.name, COST_NAME)
    told = json.loads(path.read_text()) if path.exists() else {}
    if told.get("config") != _fingerprint(config):
        return None
    return {int(step): float(seconds) for step, seconds in told["cpu_seconds"].items()}


def _fingerprint(config: Config) -> str:
    """Of all that the training's numbers follow from: a preset may have changed since, or the tile set."""
    tiles = open_tile_set(str(config.tiles.source)).digest
    return sha256(f"{config.digest()} {config.train.steps} {tiles}".encode()).hexdigest()


def main(words: Sequence[str]) -> None:
    """Trains and writes `cpu_seconds.json` beside the checkpoints: CPU seconds since the first step, by step."""
    store, name, variant, tiles, seed, tiles_seen = words
    config = config_of(store, name, variant, tiles, int(seed), int(tiles_seen))
    shutil.rmtree(Path(store, name), ignore_errors=True)  # another one's, or cut short: its CPU seconds would be wrong
    placed, _ = prepare(config, lambda text: None)
    start, cost = time.process_time(), {0: 0.0}

    def noted(progress: Progress) -> None:
        cost[progress.step] = time.process_time() - start

    train_loop(placed, Watch(progress=noted, checkpoint=lambda *told: None))
    Path(store, name, COST_NAME).write_text(json.dumps({"config": _fingerprint(config), "cpu_seconds": cost}))


if __name__ == "__main__":
    main(sys.argv[1:])
