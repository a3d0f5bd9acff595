"""An attempt at a run, on one worker, as it stands before its first step: the place, the tiles, the lanes, the pair of
networks and where they come from. All workers see the same, or none begins."""

from typing import Any

from satgan.config import Config
from satgan.errors import StoreError
from satgan.gan.pair import Pair
from satgan.train import ranks
from satgan.train.checkpoint import FOLDER, Checkpoint, complete_steps, name_of
from satgan.train.device import LaneRunner, decide, recorder_on, training_device, usable_cores
from satgan.train.divergence import Rollback
from satgan.train.feed import Feed
from satgan.train.journal import CORRUPT
from satgan.train.journal_writer import Journal
from satgan.train.lane_tree import lanes_of
from satgan.train.origin import Origin, origin_of
from satgan.train.outcome import is_finished
from satgan.train.recovery import Corrupt, go_back, recover
from satgan.train.restored import restore
from satgan.train.run_folder import RunFolder, write_config
from satgan.train.sums import LaneSums
from satgan.train.watch import Watch


class Attempt:
    """From the newest whole checkpoint if there is one.

    config      decided: worker 0's, on all
    folder      the run's
    pair        restored, or initialised
    start_step  after which it goes on
    origin      of the checkpoint there
    rollback    where it follows one
    first       whether this is worker 0

    Args:
        config: see `train_loop`.
        watch: see `train_loop`.
        rollback: why it is not the first attempt of this call.

    Raises:
        StoreError: this worker does not see what worker 0 sees.
    """

    def __init__(self, config: Config, watch: Watch, rollback: Rollback | None) -> None:
        config = Config.model_validate_json(ranks.from_first(decide(config).model_dump_json()))
        train, threads = config.train, config.train.threads_per_lane
        assert threads is not None
        self.config, self.rollback, self.first = config, rollback, ranks.rank() == 0
        self._watch = watch
        self.folder = RunFolder(train.store, train.name, watch.check)
        self.device = training_device(train.deterministic)
        mine = lanes_of(ranks.rank(), ranks.world_size(), train.lanes)
        self.feed = Feed(config, mine, self.device)
        self._runner = LaneRunner(len(mine), threads, self.device, ranks.workers_on_this_machine())
        self._sums = LaneSums(train.lanes, self.device, threads)
        self.pair = Pair(config, mine, self.device, self._sums, self._runner, recorder_on(self.device))
        self._corrupt = self._recover()
        self._check_agreement()
        self.origin = Origin(self.feed.tile_set.digest)
        self.start_step = self._resume()

    def is_finished(self) -> bool:
        """Whether nothing is left to do; all workers are told the same."""
        steps = self.config.train.steps
        return self.start_step >= steps and ranks.first_says(self.first and is_finished(self.folder, steps))

    def note_start(self, journal: Journal) -> None:
        """Worker 0 notes where the attempt begins, what it follows, and with what it computes."""
        step, forked, watch = self.start_step, self.origin.forked_from, self._watch
        if step:
            watch.say(f"resuming {self.config.train.name} after step {step} of {self.config.train.steps}")
        write_config(self.folder, self.config, self.origin)
        if self.rollback:
            journal.event(step, "rollback", **self.rollback._asdict())
        if forked and forked["step"] == step and not journal.events("fork"):
            journal.event(step, "fork", parent=forked["run"], parent_step=forked["step"])
        told = {entry["time"] for entry in journal.events("restart")}
        for restart in watch.restarts:
            if restart["time"] not in told:
                journal.event(step, "restart", **restart)
        journal.event(step, "resume" if step else "start", undone_steps=journal.undone_steps, **self._here())
        for corrupt in self._corrupt:
            journal.event(step, CORRUPT, **corrupt.about())

    def close(self) -> None:
        """Ends the lanes' threads, the sums' and the folder's."""
        for one in (self._sums, self._runner, self.folder):
            one.close()

    def _recover(self) -> list[Corrupt]:
        """Worker 0 clears the way before anybody looks."""
        found = recover(self.folder.store) if self.first else []
        if self.rollback and self.first:
            go_back(self.folder.store, self.config.train.checkpoint_steps)
        ranks.barrier()
        for corrupt in found:
            self._watch.say(corrupt.text())
        return found

    def _check_agreement(self) -> None:
        """Every worker must see the tile set and the checkpoints that worker 0 sees, or numbers would be mixed."""
        tile_set, folder = self.feed.tile_set, self.folder
        seen = f"tile set {tile_set.digest}, checkpoints after steps {complete_steps(folder.store)}"
        first = ranks.from_first(seen)
        if seen != first:
            raise StoreError(
                f"worker {ranks.rank()} sees {seen} in {tile_set.store.url} and {folder.url}, worker 0 sees "
                f"{first}: the machines do not share these places",
                "give --tiles and --store that all machines see, such as s3:// urls",
            )

    def _resume(self) -> int:
        steps = complete_steps(self.folder.store)
        if steps:
            checkpoint = Checkpoint(self.folder.store.child(f"{FOLDER}/{name_of(steps[-1])}"))
            restore(self.pair, checkpoint)
            self.origin = origin_of(checkpoint.state)
        elif self.config.gan.discriminator_norm == "virtual":
            self.pair.set_reference(self.feed.reference())
        if self.rollback:
            self.origin = self.origin._replace(attempt=self.rollback.attempt)
        return steps[-1] if steps else 0

    def _here(self) -> dict[str, Any]:
        return {
            "workers": ranks.world_size(), "device": self.device.type, "cache": self.feed.cache.kind,
            "cores": usable_cores(), "tiles": self.feed.tile_set.manifest.tile_count,
        }  # fmt: skip
