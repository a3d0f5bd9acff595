"""What a run does at its checkpoints, beside the next steps: grid, film strip, journal, checkpoint, tidying up (S09).

The step waits for a snapshot's flat copies. There is one snapshot in memory at most: while the one before is still
being brought to a slow store, a checkpoint that is due is left out; one that must be taken, such as the last, waits.
A checkpoint that cannot be written is tried again after growing pauses, until the next one is due and takes its place;
the run goes on while one stands that it could resume from (`writer.py` has the limits). Once a checkpoint is
whole worker 0 tells the watch at once, and all workers do at the next one or at the end.
"""

import math
import time
from contextlib import suppress
from functools import partial

import torch

from satgan.config import Config
from satgan.errors import SatganError, StoreError, StoreFull
from satgan.gan.networks import Generator
from satgan.gan.pair import Pair
from satgan.judge.judgement import Judgement
from satgan.train import ranks
from satgan.train.checkpoint import FOLDER, name_of
from satgan.train.device import computing_pool, own_stream
from satgan.train.film import Film, grid_name
from satgan.train.journal_writer import Journal
from satgan.train.origin import Origin
from satgan.train.retention import regular_step, remove, remove_unwanted
from satgan.train.run_folder import RunFolder
from satgan.train.scorer import Scorer
from satgan.train.snapshot import Copies, Snapshot, take_snapshot, write_snapshot
from satgan.train.troubles import Troubles
from satgan.train.watch import Watch
from satgan.train.writer import Writer

NOT_WRITTEN = "the checkpoint was not written"
HELD_UP_SECONDS = 1.0
"""From here the journal has it that steps waited for the checkpoint before: a slow store is seen there."""


class Keeper:
    """Keeps checkpoints; every worker has one and calls it after the same steps, worker 0's writes.

    Args:
        config: the run's.
        folder: the run's.
        pair: whose checkpoints.
        film: worker 0's frames.
        scorer: worker 0's; None on the others.
        origin: what each checkpoint records of where the numbers come from.
        watch: told of each checkpoint that is whole.
        troubles: told of what fails and does not end the run.
        start_step: the checkpoint that the run could resume from now; 0: there is none.
    """

    def __init__(
        self, config: Config, folder: RunFolder, pair: Pair, film: Film, scorer: Scorer | None,
        origin: Origin, watch: Watch, troubles: Troubles, start_step: int,
    ) -> None:  # fmt: skip
        self._train, self._folder, self._pair, self._film, self._scorer = config.train, folder, pair, film, scorer
        self._origin, self._watch, self._waits = origin, watch, config.judge.wait
        self._troubles, self._whole_step = troubles, start_step
        thread = computing_pool(1, "checkpoint", config.train.threads_per_lane)
        self._writer = Writer(thread, start_step > 0, self._not_written)
        self._bringing: tuple[int, Journal] | None = None
        self._frames: list[torch.Tensor] = []
        self._copies = Copies()
        self._untold: tuple[int, dict[str, float]] | None = None
        self._news: list[tuple[int, Judgement]] = []
        self._is_failing = False
        """In the writer's thread: whether an attempt failed and none has succeeded since."""
        self._kept_at = -math.inf

    @property
    def sure_step(self) -> int:
        """Until here nothing of the journal is undone, by a kill or by a rollback; at the run's end that is all."""
        may_roll_back = self._train.on_nan == "rollback" and self._whole_step < self._train.steps
        return self._regular_step() if may_roll_back else self._whole_step

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be taken after `step` steps: worker 0's clock decides for all."""
        train = self._train
        if step == train.steps or step % train.checkpoint_steps:
            return step == train.steps
        if not train.checkpoint_seconds or train.on_nan == "rollback":  # whose numbers shall depend on no clock
            return True
        due, is_busy = time.monotonic() - self._kept_at >= train.checkpoint_seconds, self._writer.is_busy
        if due and is_busy and self._bringing:
            under_way, journal = self._bringing
            journal.event(step, "left_out", under_way=under_way)
        return ranks.first_says(due and not is_busy)

    def keep(self, step: int, numbers: dict[str, float], journal: Journal | None) -> None:
        """Takes the checkpoint after `step` steps; the one before is whole when this returns, or was given up. With
        judge.wait this one is whole, too, and judged.

        Args:
            step: steps taken.
            numbers: of the last step.
            journal: worker 0's.

        Raises:
            StoreError: no checkpoint could be written since the run began, for too long.
        """
        begun = time.monotonic()
        whole = self._writer.make_way()
        waited_seconds = time.monotonic() - begun
        self._tell(whole)
        self.note_judgement(journal, wait=False)
        self._tell_news()
        snapshot = take_snapshot(self._pair, step, self._origin, self._copies)
        self._untold, self._kept_at = (step, numbers), time.monotonic()
        if journal and snapshot:
            journal.event(step, "checkpoint", grid=grid_name(step))
            if waited_seconds >= HELD_UP_SECONDS:
                journal.event(step, "held_up", seconds=round(waited_seconds, 1))
            self._frames += self._film.take()
            self._bringing = step, journal
            self._writer.begin(partial(self._bring, snapshot, journal))
        if self._waits:
            self.settle()
            self.end(journal)

    def settle(self) -> None:
        """Waits until the last checkpoint is whole, and tells the watch.

        Raises:
            StoreError: it could not be written, for too long.
        """
        self._tell(self._writer.finish())

    def _tell(self, whole: bool) -> None:
        """Tells the watch of the last checkpoint if it is whole, on all workers."""
        whole = ranks.first_says(whole)
        if self._untold is not None and whole:
            step, numbers = self._untold
            self._watch.checkpoint(step, self._folder.place(f"{FOLDER}/{name_of(step)}"), numbers)
        self._untold = None

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
            self._news.append((step, judgement))
            for alarm in alarms:
                journal.event(step, "alarm", **alarm._asdict())

    def end(self, journal: Journal | None) -> None:
        """Waits for the judge, notes what it found, and tells the watch; when all is settled."""
        self.note_judgement(journal, wait=True)
        if self._scorer and journal:
            self._tidy_up(self._scorer)
        if self._waits and journal:
            journal.hand_in()  # before the watch may end the run
        self._tell_news()

    def _tell_news(self) -> None:
        """Tells the watch what was judged and noted."""
        news, self._news = self._news, []
        for step, judgement in news:
            self._watch.judged(step, judgement)

    @property
    def score(self) -> float | None:
        """The judge's newest overall score, on worker 0."""
        return self._scorer.judged[-1][1].score if self._scorer and self._scorer.judged else None

    def close(self) -> None:
        """Ends its thread, after what it is writing."""
        self._writer.close()

    def _bring(self, snapshot: Snapshot, journal: Journal) -> bool:
        """In the writer's thread: all that belongs to a checkpoint; whether it is whole."""
        with own_stream(self._pair.device, snapshot.taken):
            averaged = self._pair.averaged_generator(snapshot.average)
            if not self._writer.tries(lambda: self._write(snapshot, averaged, journal)):
                return False
            self._whole_step = snapshot.step
            self._watch.stands(snapshot.step)
            self._troubles.passed(NOT_WRITTEN)
            if self._is_failing:
                journal.event(snapshot.step, "checkpoint_whole")
                self._is_failing = False
                with self._troubles.borne("the journal was not brought to the store", "that is tried again"):
                    journal.publish()  # what lies there says that it was not written
        journal.stands(self.sure_step)
        if self._scorer:
            self._scorer.submit(snapshot.step, averaged)
            self._tidy_up(self._scorer)
        return True

    def _write(self, snapshot: Snapshot, averaged: Generator, journal: Journal) -> None:
        # First: a checkpoint that stands has its journal and its pictures, and each frame is in one strip.
        journal.publish()
        self._film.cut(snapshot.step, self._frames, averaged)
        self._frames = []
        store = self._folder.store
        try:
            write_snapshot(store, self._pair, snapshot, averaged)
        except StoreFull:
            with suppress(StoreError):  # what came there takes the room that the next attempt needs
                remove(store, store.list(f"{FOLDER}/{name_of(snapshot.step)}/"))
            raise

    def _not_written(self, error: StoreError, attempt: int) -> None:
        """In the writer's thread, after an attempt that failed."""
        assert self._bringing is not None
        step, journal = self._bringing
        stands = f"that after step {self._whole_step} stands" if self._whole_step else "none stands yet"
        self._is_failing = True
        if attempt == 1:
            journal.event(step, "checkpoint_failed", found=error.found, remedy=error.remedy, stands=self._whole_step)
        self._troubles.failed(NOT_WRITTEN, error, f"it is tried again, {stands}")

    def _tidy_up(self, scorer: Scorer) -> None:
        store, train = self._folder.store, self._train
        stay = {self._whole_step}  # whatever else seems to stand there: a write that was on its way may come late
        if train.on_nan == "rollback":
            stay.add(self._regular_step())
        with self._troubles.borne("best.json was not written", "that is tried again at the next checkpoint"):
            scorer.note_best()
        with self._troubles.borne("old checkpoints were not removed", "that is tried again at the next checkpoint"):
            remove_unwanted(store, scorer.scores, train.keep_checkpoints, train.keep_best, scorer.must_stay() | stay)

    def _regular_step(self) -> int:
        """Of the checkpoint that a rollback would go to."""
        return regular_step(self._whole_step, self._train.checkpoint_steps, self._origin.forked_from)
