"""Scores at checkpoints (law 7), beside the steps: tiles are drawn by a thread and judged by another process.

Training does not wait for it: of the checkpoints that come while one is being judged only the newest is judged after
it, and so the last one always is.
"""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch

from satgan.config import Config
from satgan.errors import SatganError
from satgan.gan.networks import Generator
from satgan.gan.noise import noise
from satgan.judge.alarms import Alarm, alarms
from satgan.judge.description import SMALLEST_SIZE
from satgan.judge.judgement import Judgement
from satgan.judge.process import JudgeProcess, read_judgement
from satgan.kinds import FEWEST_JUDGED
from satgan.randomness import Purpose
from satgan.tiles.pixels import to_bytes
from satgan.tiles.store import Store
from satgan.tiles.tile_set import TileSet
from satgan.train.checkpoint import BEST_NAME, FOLDER, best_of, name_of
from satgan.train.device import computing_pool, moment, own_stream
from satgan.train.retention import best_by_tiles

BATCH = 64
REFERENCE_SEED = 0
"""Whatever the run's seed: runs on one set are judged by the same real tiles."""


class Scorer:
    """Judges the averaged generators of one run; worker 0 alone has one.

    Args:
        config: the run's.
        tile_set: what it trains on.
        run: the run's folder.
        journalled: earlier judgements of the run, as the journal has them.
    """

    def __init__(self, config: Config, tile_set: TileSet, run: Store, journalled: Sequence[dict[str, Any]]) -> None:
        self._config, self._tile_set, self._run = config, tile_set, run
        self._tiles = min(config.judge.tiles, tile_set.manifest.tile_count // 2)
        self._thread = computing_pool(1, "judge", config.train.threads_per_lane)
        self._process: JudgeProcess | None = None
        self._lock, self._closed = threading.Lock(), False
        self._judging: tuple[int, Future[Judgement]] | None = None
        self._waiting: tuple[int, Generator] | None = None
        self._skipped: list[int] = []
        self._unnoted = b""
        earlier = [(int(entry["step"]), read_judgement(entry)) for entry in journalled]
        self.judged = [(step, one) for step, one in earlier if one.tiles == self._tiles]
        others = [(step, one.tiles, one.score) for step, one in earlier if one.tiles != self._tiles]
        self._former_best = best_by_tiles(others)

    @property
    def off(self) -> str:
        """Why nothing is judged; empty where it is."""
        if self._tiles < FEWEST_JUDGED:
            return f"{self._tiles} tiles a side (--judge.tiles, and half of the set) are fewer than {FEWEST_JUDGED}"
        size = self._config.gan.size
        return f"tiles of {size} pixels are smaller than {SMALLEST_SIZE}" if size < SMALLEST_SIZE else ""

    @property
    def scores(self) -> dict[int, float]:
        """By step, those that can be compared."""
        return {step: judgement.score for step, judgement in self.judged}

    def must_stay(self) -> set[int]:
        """Steps of the checkpoints that must stay: the noted best, the best of when another number of tiles was judged,
        and those that may turn out to be better.

        Raises:
            StoreError: what is noted cannot be read.
        """
        steps = {one[0] for one in (self._judging, self._waiting) if one}
        noted = best_of(self._run)
        return steps | ({noted[0]} if noted else set()) | self._former_best

    @property
    def best(self) -> int | None:
        """The step of the best checkpoint so far."""
        return min(self.judged, key=lambda one: one[1].score)[0] if self.judged else None

    def submit(self, step: int, averaged: Generator) -> None:
        """Begins to judge, or does so once the judge is free, unless a newer checkpoint comes first.

        Args:
            step: of the checkpoint.
            averaged: its averaged generator, in evaluation mode; nobody else uses it.
        """
        if self.off:
            return
        if self._judging is None:
            made = moment(next(averaged.parameters()).device)
            self._judging = (step, self._thread.submit(self._judge, averaged, made))
        else:
            if self._waiting:
                self._skipped.append(self._waiting[0])
            self._waiting = (step, averaged)

    def take_skipped(self) -> list[int]:
        """Steps of the checkpoints that a newer one overtook while the judge was busy, since the last call."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def take(self, wait: bool) -> tuple[int, Judgement | SatganError, list[Alarm]] | None:
        """What was judged since the last call, with the alarms that hold now.

        In place of a judgement the error that prevented it: training is worth more than its scores.

        Args:
            wait: until the judge is done; else None while it is busy.
        """
        if self._judging is None or not (wait or self._judging[1].done()):
            return None
        (step, judging), self._judging = self._judging, None
        if self._waiting:
            waiting, self._waiting = self._waiting, None
            self.submit(*waiting)
        failure = judging.exception()
        if isinstance(failure, SatganError):
            return step, failure, []
        judgement = judging.result()
        self.judged.append((step, judgement))
        if self.best == step:
            best = {"step": step, "checkpoint": f"{FOLDER}/{name_of(step)}", **judgement.as_dict()}
            self._unnoted = json.dumps(best, indent=2).encode()
        return step, judgement, alarms(self.judged)

    def note_best(self) -> None:
        """Notes the best one in the run, where another one is noted.

        Raises:
            StoreError: it could not; the next call tries again.
        """
        if self._unnoted:
            self._run.write(BEST_NAME, self._unnoted)
            self._unnoted = b""

    def close(self) -> None:
        """Ends thread and process, also amid a judgement."""
        with self._lock:
            self._closed = True
            self._forget_process()
        self._thread.shutdown(cancel_futures=True)

    def _forget_process(self) -> None:
        if self._process:
            self._process.close()
        self._process = None

    def _judge(self, averaged: Generator, made: "torch.cuda.Event | None") -> Judgement:
        try:
            with self._lock:
                if self._closed:
                    raise SatganError("the run has ended", "start it again")
                self._process = process = self._process or JudgeProcess(
                    self._tile_set.store.url, self._tiles, REFERENCE_SEED
                )
            return process.judge(self._draw(averaged, made))
        except Exception as error:
            with self._lock:
                self._forget_process()
            if isinstance(error, SatganError):
                raise
            found = f"the judge failed: {type(error).__name__}: {error}"
            raise SatganError(found, "train on without it: --judge.tiles 0, or with fewer tiles") from error

    @torch.no_grad()
    def _draw(self, averaged: Generator, made: "torch.cuda.Event | None") -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Tiles `[N, S, S, C]` of noise that is the same at every checkpoint."""
        shape = (self._tiles, self._config.gan.noise_size)
        device = next(averaged.parameters()).device
        with own_stream(device, made):
            fixed = noise(self._config.train.seed, Purpose.JUDGE_NOISE, shape).to(device)
            return np.concatenate([to_bytes(averaged(rows)).cpu().numpy() for rows in torch.split(fixed, BATCH)])
