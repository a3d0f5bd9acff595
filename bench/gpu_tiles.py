"""How long a GPU waits for tiles: from an S3 server on loopback, and from its own memory."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.gpu_row import LeftOut, Row, Setting
from bench.measure import wait_for
from satgan.config import Config, load_config

MOST_SHARE_S3 = 0.01
TILES, BATCH = 65_536, 512


def waiting_rows(setting: Setting) -> Iterator[Row]:
    """`dcgan`, which asks for the most tiles: the share of the steps' time that passes until a batch is there."""
    try:
        from bench.tile_server import BUCKET, SET_NAME, make_set, serving
        from bench.tiles import ENVIRONMENT
    except ImportError as error:
        raise LeftOut(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="satgan-bench-") as name:
        root = Path(name)
        make_set(root, 64 if setting.is_smoke else TILES)
        cache = "device" if setting.device.type == "cuda" else "memory"
        yield _row(setting, str(root / BUCKET / SET_NAME), cache, "0", 0.0)
        try:
            with serving(root) as endpoints, patch.dict(os.environ, ENVIRONMENT | {"AWS_ENDPOINT_URL": endpoints.http}):
                yield _row(setting, f"s3://{BUCKET}/{SET_NAME}", "none", "≤ 1 %", MOST_SHARE_S3)
        except (FileNotFoundError, ImportError) as error:
            yield Row("waiting for tiles from S3", "", "≤ 1 %", verdict=f"left out: {error}")


def _row(setting: Setting, source: str, cache: str, goal: str, most: float) -> Row:
    share, speed = waited(setting, source, cache)
    place = f"S3 (nginx, loopback), cache {cache}" if source.startswith("s3:") else f"a folder, cache {cache}"
    verdict = "reached" if round(share, 3) <= most else "missed"
    figure = f"{share:.2%} of the time, {speed:,.4g} tiles/s"
    return Row(f"`dcgan` waits for tiles from {place}", figure, goal, verdict=verdict)


def waited(setting: Setting, source: str, cache: str) -> tuple[float, float]:
    """The share of the time spent waiting for batches, and tiles per second; after an epoch, which fills the cache.

    Raises:
        ImportError: a library is missing.
    """
    from satgan.gan.pair import Pair
    from satgan.gan.step import train_step
    from satgan.train.device import LaneRunner, decide, recorder_on
    from satgan.train.feed import Feed
    from satgan.train.sums import LaneSums

    config, device = decide(_config(setting, source, cache)), setting.device
    runner = LaneRunner(1, config.train.threads_per_lane or 1, device, workers_here=1)
    pair = Pair(
        config, [0], device, LaneSums(1, device, config.train.threads_per_lane or 1), runner, recorder_on(device)
    )
    feed = Feed(config, [0], device)
    epoch = feed.tile_set.manifest.tile_count // config.train.lane_batch + 1
    start = before = 0.0
    steps = setting.steps(600)
    with closing(feed.stream(0, 0)) as stream:
        for batch in stream:
            if batch.step == epoch:
                wait_for(device)
                start, before = time.perf_counter(), stream.waited_seconds
            pair.lanes[0].begin(*feed.inputs(batch, 0))
            train_step(pair)
            if batch.step == epoch + steps:
                break
        wait_for(device)
        seconds = time.perf_counter() - start
        return (stream.waited_seconds - before) / seconds, steps * config.train.lane_batch / seconds


def _config(setting: Setting, source: str, cache: str) -> Config:
    base = setting.config("dcgan", BATCH)
    groups: dict[str, Any] = {"tiles": {"source": source, "cache": cache}}
    if setting.is_smoke:
        groups["gan"] = {"size": 64, "filters": (8, 8, 8, 8)}  # that of the tiles
    return load_config("dcgan", base.model_dump(mode="json"), groups)
