"""What a run does at its checkpoints, beside the next steps: grid, film strip, journal, checkpoint, tidying up (S09).

The step waits for a snapshot's flat copies, and for the checkpoint before if that is not written yet: there is one
snapshot in memory at most. A checkpoint is told to the watch once it is whole, at the next one or at the end.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import torch

from satgan.config import Config
from satgan.errors import SatganError
from satgan.gan.pair import Pair
from satgan.train import ranks
from satgan.train.checkpoint import FOLDER, name_of
from satgan.train.device import own_stream
from satgan.train.film import Film, grid_name
from satgan.train.journal import Journal
from satgan.train.run_folder import RunFolder
from satgan.train.scorer import Scorer
from satgan.train.snapshot import Snapshot, remove_old, take_snapshot, write_snapshot
from satgan.train.watch import Watch


class Keeper:
    """Keeps checkpoints; every worker has one and calls it after the same steps, worker 0's writes.

    Args:
        config: the run's.
        folder: the run's.
        pair: whose checkpoints.
        film: worker 0's frames.
        scorer: worker 0's; None on the others.
        tile_set_digest: identity of the tile set.
        watch: told of each checkpoint that is whole.
    """

    def __init__(
        self, config: Config, folder: RunFolder, pair: Pair, film: Film, scorer: Scorer | None,
        tile_set_digest: str, watch: Watch,
    ) -> None:  # fmt: skip
        self._train, self._folder, self._pair, self._film, self._scorer = config.train, folder, pair, film, scorer
        self._digest, self._watch = tile_set_digest, watch
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._untold: tuple[int, dict[str, float]] | None = None

    def keep(self, step: int, numbers: dict[str, float], journal: Journal | None) -> None:
        """Takes the checkpoint after `step` steps; the one before is whole when this returns.

        Args:
            step: steps taken.
            numbers: of the last step.
            journal: worker 0's.

        Raises:
            StoreError: the checkpoint before could not be written.
        """
        self.settle()
        self.note_judgement(journal, wait=False)
        snapshot = take_snapshot(self._pair, step, self._digest)
        self._untold = (step, numbers)
        if journal and snapshot:
            journal.event(step, "checkpoint", grid=grid_name(step))
            self._writing = self._writer.submit(self._write, snapshot, self._film.take(), journal)

    def settle(self) -> None:
        """Waits until the last checkpoint is whole, and tells the watch.

        Raises:
            StoreError: it could not be written.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()
        ranks.barrier()
        if self._untold is not None:
            (step, numbers), self._untold = self._untold, None
            self._watch.checkpoint(step, self._folder.place(f"{FOLDER}/{name_of(step)}"), numbers)

    def note_judgement(self, journal: Journal | None, wait: bool) -> None:
        """Journals what was judged since the last time, and what it warns of; call it when all is settled.

        Args:
            journal: worker 0's.
            wait: until the judge is done.
        """
        if self._scorer is None or journal is None:
            return
        for step in self._scorer.take_skipped():
            journal.event(step, "unjudged", why="the judge was busy until a newer checkpoint came")
        while found := self._scorer.take(wait):
            step, judgement, alarms = found
            if isinstance(judgement, SatganError):
                journal.event(step, "unjudged", why=judgement.found, remedy=judgement.remedy)
                continue
            journal.judged(step, judgement)
            for alarm in alarms:
                journal.event(step, "alarm", **alarm._asdict())

    @property
    def score(self) -> float | None:
        """The judge's newest overall score, on worker 0."""
        return self._scorer.judged[-1][1].score if self._scorer and self._scorer.judged else None

    def close(self) -> None:
        """Ends its thread, after what it is writing."""
        self._writer.shutdown()

    def _write(self, snapshot: Snapshot, frames: list[torch.Tensor], journal: Journal) -> None:
        store = self._folder.store
        with own_stream(self._pair.device, snapshot.taken):
            averaged = self._pair.averaged_generator(snapshot.average)
            self._film.cut(snapshot.step, frames, averaged)
            journal.publish()
            write_snapshot(store, self._pair, snapshot, averaged)
        if self._scorer:
            self._scorer.submit(snapshot.step, averaged)
            remove_old(store, self._train.keep_checkpoints, also=self._scorer.wanted)
