"""One run: stream > step > journal > checkpoint. The same function in this process and in every Ray Train worker."""

from contextlib import ExitStack, closing
from itertools import islice

from satgan.config import Config
from satgan.gan.step import train_step
from satgan.tiles.stream import Batch, TileStream
from satgan.train import ranks
from satgan.train.attempt import Attempt
from satgan.train.checkpoint import FOLDER, name_of
from satgan.train.checkup import Checkup
from satgan.train.clock import Clock
from satgan.train.cost import Meter
from satgan.train.device import free_memory
from satgan.train.divergence import NotFinite, Rollback, roll_back, wrong_numbers, wrong_tensors
from satgan.train.film import Film
from satgan.train.journal import JUDGED, MOVED
from satgan.train.journal_writer import Journal
from satgan.train.keeper import Keeper
from satgan.train.outcome import Outcome, finished_outcome
from satgan.train.progress import Progress
from satgan.train.scorer import Scorer
from satgan.train.stop import stopped
from satgan.train.troubles import Troubles
from satgan.train.watch import Entry, Watch

STOP_STEPS = 10
"""Several workers agree every so many steps whether to stop; one alone looks after each."""


def train_loop(config: Config, watch: Watch) -> Outcome | None:
    """Trains until `train.steps`, from the newest whole checkpoint if there is one.

    Args:
        config: its tile set is packed; what it leaves to the machine is decided here and recorded.
        watch: who is told.

    Returns:
        On worker 0 the outcome, on others None.

    Raises:
        Stopped: as `watch` wished, after the checkpoint.
        Diverged: a number is not finite, and it may not be rolled back.
    """
    rollback: Rollback | None = None
    while True:
        attempt = Attempt(config, watch, rollback)
        try:
            with closing(attempt):
                if attempt.is_finished():
                    return finished_outcome(attempt.folder) if attempt.first else None
                return _Steps(attempt, watch).go()
        except NotFinite as error:
            ranks.barrier()  # worker 0 has written what it was writing
            rollback = roll_back(config, attempt.origin.attempt, error)
            if attempt.first:
                watch.say(rollback.text())
        del attempt
        free_memory()  # two pairs of networks might not fit


class _Steps:
    """What one worker does of an attempt, from its first step to its end."""

    def __init__(self, attempt: Attempt, watch: Watch) -> None:
        self.attempt, self.watch = attempt, watch
        self.config, self.train, self.folder = attempt.config, attempt.config.train, attempt.folder
        self.pair, self.feed, self.start_step, self.first = (
            attempt.pair,
            attempt.feed,
            attempt.start_step,
            attempt.first,
        )
        self.troubles = Troubles(watch.say)
        self.film = Film(self.folder.store, self.config, self.troubles)
        self.path_a_steps = 0.0
        self.meter: Meter | None = None  # worker 0's
        self.checkup = Checkup(self.config)

    def go(self) -> Outcome | None:
        """All of them; the outcome on worker 0."""
        train = self.train
        with ExitStack() as stack:
            journal = stack.enter_context(self._new_journal()) if self.first else None
            stream = stack.enter_context(self.feed.stream(self.start_step, self.attempt.origin.attempt))
            clock = Clock(self.start_step, train.steps, train.lanes * train.lane_batch)
            if journal:
                self.attempt.note_start(journal)
                self.meter = Meter(train, ranks.world_size(), self.watch.bill, journal.dollars)
            keeper = self.keeper = self._keeper(journal, stack)
            for batch in islice(stream, train.steps - self.start_step):
                step = batch.step
                numbers = self._step(batch, journal, clock, stream)
                stopping, notice = self._wishes(step + 1)
                if notice and journal:
                    journal.event(step + 1, "preemption", **notice)
                if keeper.due(step + 1) or stopping or notice:
                    self._check(step + 1, wrong_tensors(self.pair), journal)
                    keeper.keep(step + 1, numbers, journal)
                    self._examine(step + 1, journal)
                    # The last checkpoint's line waits for its score.
                    self._show(step + 1, numbers, clock, at_checkpoint=step + 1 < train.steps)
                if stopping:
                    self._stop(step + 1, stopping, journal, keeper)
            keeper.settle()
            clock.stop()
            keeper.end(journal)
            if train.steps > self.start_step:
                self._show(train.steps, numbers, clock, at_checkpoint=True)
            return self._end(journal, clock, stream)

    def _new_journal(self) -> Journal:
        return Journal(self.folder, self.start_step, self.troubles, self.checkup, self.config)

    def _keeper(self, journal: Journal | None, stack: ExitStack) -> Keeper:
        """What keeps and judges the checkpoints; a checkpoint that is resumed from unjudged is judged first."""
        scorer = None
        if journal:
            judged = journal.events(JUDGED)
            scorer = Scorer(self.config, self.feed.tile_set, self.folder.store, judged)
            stack.callback(scorer.close)
            if scorer.off and self.config.judge.tiles:
                journal.event(self.start_step, "unjudged", why=f"{scorer.off}, so no checkpoint is judged")
                self.watch.say(f"no checkpoint is judged, so none is called the best: {scorer.off}")
            if self.start_step and self.start_step not in {entry["step"] for entry in judged}:
                scorer.submit(self.start_step, self.pair.averaged_generator())
        keeper = Keeper(
            self.config, self.folder, self.pair, self.film, scorer, self.attempt.origin, self.watch, self.troubles,
            self.start_step,
        )  # fmt: skip
        stack.callback(keeper.close)
        if journal:
            journal.stands(keeper.sure_step)
        return keeper

    def _step(self, batch: Batch, journal: Journal | None, clock: Clock, stream: TileStream) -> dict[str, float]:
        """One step, with what is due after it."""
        step = batch.step
        is_logged = (step + 1) % self.train.log_steps == 0
        self.pair.each(lambda lane: lane.begin(*self.feed.inputs(batch, self.pair.lanes.index(lane))))
        if journal and step == self.start_step == 0:
            journal.event(0, "inputs", **self.film.show_inputs(self.pair.lanes[0].reals))
        if is_logged:
            self.pair.observe()
        numbers = train_step(self.pair)
        self._note_unrecorded(step + 1, journal)
        clock.tick(step + 1)
        self.path_a_steps += numbers["path_a"]
        if (step + 1) % self.train.film_steps == 0 and self.first:
            self.film.add(self.pair.lanes[0].fakes[0])
        if is_logged:
            numbers |= self.pair.evaluate()
        self._check(step + 1, wrong_numbers(numbers), journal)
        if is_logged:
            numbers |= self.pair.observed()
            timing = clock.timing(stream.waited_seconds) | self._cost()
            if journal:
                journal.numbers(step + 1, numbers, timing)
            self._tell(step + 1, numbers | timing)
        self._rebalance(step + 1, numbers, journal)
        if (step + 1) % min(self.train.log_steps, 10) == 0:
            self._show(step + 1, numbers, clock)
        return numbers

    def _rebalance(self, step: int, numbers: dict[str, float], journal: Journal | None) -> None:
        """A learning rate moves where that is due (G04): on all workers, from the same sums."""
        moved = self.pair.rebalance(numbers["fake_loss_before"])
        if moved and journal:
            journal.event(step, MOVED, **moved._asdict(), why=moved.why())
            self.watch.say(f"balance: step {step}, {moved.text()}")

    def _note_unrecorded(self, step: int, journal: Journal | None) -> None:
        if (why := self.pair.why_not_recorded()) and journal:
            journal.event(step, "not_recorded", why=why)
            self.watch.say(f"steps are not replayed as CUDA graphs, so they are slower: {why}")

    def _examine(self, step: int, journal: Journal | None) -> None:
        """Worker 0 asks the doctor, and tells what is new."""
        for finding in journal.examine(step) if journal else ():
            self.watch.say(f"doctor: {finding.text()}")

    def _check(self, step: int, wrong: str, journal: Journal | None) -> None:
        """Ends the attempt where something is not finite; all workers find the same.

        Raises:
            NotFinite: `wrong` names something.
        """
        if not wrong:
            return
        if journal:
            journal.event(step, "diverged", found=wrong, attempt=self.attempt.origin.attempt)
            journal.hand_in()
        raise NotFinite(step, wrong)

    def _wishes(self, step: int) -> tuple[str, Entry | None]:
        """For what, "stop" or "budget", all workers save and stop after `step` steps, and the notice for which they
        save and go on."""
        if step == self.train.steps or (ranks.world_size() > 1 and step % STOP_STEPS):
            return "", None
        wish = "go on"
        if self.meter:
            spent = "budget" if self.meter.is_spent() else ""
            wish = "stop" if self.watch.stop() else spent or ("look" if self.watch.look() else wish)
        wish = ranks.from_first(wish)
        return wish if wish in ("stop", "budget") else "", self.watch.notice() if wish == "look" else None

    def _stop(self, step: int, why: str, journal: Journal | None, keeper: Keeper) -> None:
        """Ends a run whose last checkpoint is being written.

        Raises:
            Stopped: always.
        """
        if journal:
            journal.event(step, "stop", why=why, **self._cost())
        keeper.settle()
        if journal:
            journal.hand_in()
        ranks.barrier()  # a worker that raises ends the others under Ray
        raise stopped(self.train, step, self.folder.place(f"{FOLDER}/{name_of(step)}"), why)

    def _cost(self) -> dict[str, float]:
        return self.meter.about() if self.meter else {}

    def _tell(self, step: int, figures: dict[str, float]) -> None:
        """Tells the watch how it stands with this worker."""
        score = {} if self.keeper.score is None else {"score": self.keeper.score}
        share = {"path_a_share": self.path_a_steps / (step - self.start_step)}
        self.watch.numbers(step, figures | share | score)

    def _show(self, step: int, numbers: dict[str, float], clock: Clock, at_checkpoint: bool = False) -> None:
        if self.first:
            share = self.path_a_steps / (step - self.start_step)
            real, fake, fooling = (numbers[f"{name}_loss_before"] for name in ("real", "fake", "generator"))
            self.watch.progress(Progress(
                step, self.train.steps, real, fake, fooling, share, clock.tiles_per_second(), clock.seconds_left(),
                at_checkpoint, self.keeper.score, self._cost().get("dollars"), self.checkup.summary(),
            ))  # fmt: skip

    def _end(self, journal: Journal | None, clock: Clock, stream: TileStream) -> Outcome | None:
        if journal is None:
            return None
        self.film.develop()
        journal.event(self.train.steps, "end", seconds=clock.seconds(), **self._cost())
        journal.hand_in()
        seconds, paid = clock.seconds(), self._cost().get("dollars")
        speed, waited = (value / seconds if seconds else 0.0 for value in (clock.tiles(), stream.waited_seconds))
        outcome = finished_outcome(self.folder)
        return outcome._replace(seconds=seconds, tiles_per_second=speed, waited_share=waited, dollars=paid)
