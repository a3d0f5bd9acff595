"""A judge in a process of its own, for runs that train meanwhile: another interpreter lock, one thread, low priority.

The child reads fakes from its standard input (.npy after its length, 8 bytes) and answers with a line of JSON each. It
ends when its input does, so it never outlives the run.

python -m satgan.judge.process TILE_SET TILES_PER_SIDE SEED
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from satgan.errors import SatganError
from satgan.judge.judgement import Judgement, judge
from satgan.judge.reference import Reference, reference_of
from satgan.judge.score import Score
from satgan.judge.sliced import SlicedSide
from satgan.tiles.tile_set import open_tile_set

NICE = 19
"""How far it stands back behind training where cores are short."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Two threads on busy cores took twice the CPU time."""

JUDGE_MODULE = "satgan.judge.process"
KEPT_TILES = 256
"""Up to so many a side the reals' sorted projections are kept, 200 MB of them at 64 pixels: a third of a judgement."""

LENGTH_BYTES = 8
LIMIT_SECONDS = 1800.0
"""For one judgement, the real side included; a child that takes longer hangs."""


class JudgeProcess:
    """The parent's side; used by one thread at a time.

    Args:
        tile_set: url of the set whose tiles are the reals.
        tiles_per_side: N.
        seed: of the choice of reals.
    """

    def __init__(self, tile_set: str, tiles_per_side: int, seed: int) -> None:
        self._told = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe that nobody reads would fill up
        self._child = subprocess.Popen(
            [sys.executable, "-m", JUDGE_MODULE, tile_set, str(tiles_per_side), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            env=os.environ | ONE_THREAD | {"CUDA_VISIBLE_DEVICES": ""},
            # Ctrl-C is for the run, which then ends the child. Not a session of its own: Linux gives each session an
            # equal share of the cores, however nice its processes are.
            process_group=0,
        )

    def judge(self, fakes: NDArray[np.uint8]) -> Judgement:
        """The judgement of fakes `[N, S, S, C] uint8`.

        Raises:
            SatganError: the child could not judge; it says why.
        """
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with suppress(BrokenPipeError):
            array = BytesIO()
            np.save(array, fakes)
            self._child.stdin.write(array.tell().to_bytes(LENGTH_BYTES, "little") + array.getbuffer())
            self._child.stdin.flush()
        waiting = threading.Timer(LIMIT_SECONDS, self._child.kill)
        waiting.daemon = True
        waiting.start()
        try:
            line = self._child.stdout.readline()
        finally:
            waiting.cancel()
        if not line:
            raise SatganError(f"the judge ended: {self._last_words()}", "train on without it: --judge.tiles 0")
        told = json.loads(line)
        if "refused" in told:
            raise SatganError(*told["refused"])
        return read_judgement(told)

    def close(self) -> None:
        """Ends the child, whatever it does; nothing when that was done before."""
        if self._told.closed:
            return
        self._child.kill()
        with suppress(BrokenPipeError):
            self._child.communicate()
        self._told.close()

    def _last_words(self) -> str:
        status = self._child.wait()
        self._told.seek(0)
        lines = self._told.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {status}"


def read_judgement(told: dict[str, Any]) -> Judgement:
    """What `Judgement.as_dict` made, among other entries or alone."""
    scores = {name: Score(**score) for name, score in told["scores"].items()}
    return Judgement(told["score"], told["tiles"], scores)


def main(words: Sequence[str], fakes: IO[bytes], answers: IO[str]) -> None:
    """The child's side: judges what comes until nothing comes any more."""
    url, tiles_per_side, seed = words
    reference: Reference | None = None
    reals: SlicedSide | None = None
    while length := fakes.read(LENGTH_BYTES):
        tiles = np.load(BytesIO(fakes.read(int.from_bytes(length, "little"))), allow_pickle=False)
        try:
            reference = reference or reference_of(open_tile_set(url), int(tiles_per_side), int(seed))
            reals = reals or SlicedSide(reference.half.tiles, 0, keeps=int(tiles_per_side) <= KEPT_TILES)
            answer = judge(tiles, reference, reals).as_dict()
        except SatganError as error:
            answer = {"refused": [error.found, error.remedy]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(NICE)
    main(sys.argv[1:], sys.stdin.buffer, sys.stdout)
