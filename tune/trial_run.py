"""One trial, in its own process: an ordinary run in STORE/NAME/trials, whose scores are told to Ray Tune."""

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import ray
from ray import tune
from ray.tune.search.repeater import TRIAL_INDEX

from satgan.config import Config
from satgan.errors import Diverged, SatganError, Stopped, StoreError, StoreMissing
from satgan.judge.judgement import Judgement
from satgan.tiles.cache import ENVIRONMENT_NAME
from satgan.tiles.store import Store, open_store
from satgan.train.journal import JOURNAL_NAME, JUDGED, events_in
from satgan.train.progress import Progress
from satgan.train.ray_board import stop_asker
from satgan.train.ray_job import end_as_orphan
from satgan.train.start import finished, hold, prepare, start
from tune.plan import EARLY_STOP_NAME, Plan
from tune.population import Pointer, member_run
from tune.trials import Trial, trial_name

WORST = 1e6
"""What searchers are told of a trial that diverged, so that they keep away from it; no table shows it."""

TOLD_SECONDS = 0.5
ENDING_SECONDS = 60
"""A trial that is stopped is given so long to end what it writes, before its process takes the next one."""

POINTER_NAME = "pointer.json"
"""In what Ray Tune takes for a checkpoint: where in the store it lies."""


def run_trial(config: dict[str, Any], plan: Plan, board: Any) -> None:
    """What Ray Tune calls, once or again, for a trial.

    Args:
        config: `trial`: values by option and seed; or what a searcher has chosen: `given`, coordinates by option (see
            `Parameter.given`), and which of the seeds.
        plan: the sweep's.
        board: told how far it is, and asked whether the sweep's budget is spent.
    """
    _end_with_ray()
    if ray.get(board.stopping.remote()):
        return
    default_cache_folder(plan.base_config)
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", str(ENDING_SECONDS))
    share_gpu_memory(plan.gpus)
    trial, parent = _trial(config, plan)
    reporter = Reporter(plan, trial, board)
    try:
        train_trial(trial, reporter, parent)
    except Diverged as error:  # the same config and seed would again
        board.say.remote(f"{trial.name} diverged: {error.found}")
        told = {"step": trial.config.train.steps, "run": trial.name, "replayed": False}
        tune.report(told | {"score": WORST, "best": WORST})
    except Stopped as stop:
        board.say.remote(f"{trial.name}: {stop.found}")
    except StoreError as error:
        board.say.remote(f"{trial.name}: {error}")
        raise  # may pass: Ray Tune starts the trial again, and it goes on from its checkpoint
    except SatganError as error:
        board.say.remote(f"{trial.name} failed: {error}")
    finally:
        board.end.remote(trial.name)


def share_gpu_memory(share: float | None) -> None:
    """A trial that has a share of a GPU may take as much of its memory: Ray shares a GPU out, but not its memory."""
    if share and share < 1:
        import torch

        torch.cuda.set_per_process_memory_fraction(share)


def default_cache_folder(config: Config) -> None:
    """Of a bucket whose tiles do not fit into memory, trials on one machine share what was read of it on the disk: in
    the folder that option or machine (SATGAN_CACHE) name, else in this one, where there is room."""
    if config.tiles.source is not None and config.tiles.source.startswith("s3://"):
        os.environ.setdefault(ENVIRONMENT_NAME, str(Path(gettempdir(), "satgan-cache")))


def _trial(config: dict[str, Any], plan: Plan) -> tuple[Trial, Pointer | None]:
    """What to train, and what it is forked from, if anything."""
    if "trial" in config:
        values, seed = config["trial"]["values"], config["trial"]["seed"]
        return plan.base.run(values, seed, trial_name(values, seed)), None
    given = {one.option: one.given(config["given"][one.option]) for one in plan.space.parameters}
    if plan.space.search == "pbt":
        return member_run(plan, given, _member(), _pointer())
    return plan.trial(given, plan.seeds[config[TRIAL_INDEX]]), None


def train_trial(trial: Trial, reporter: "Reporter", parent: Pointer | None = None) -> None:
    """Trains what is left of a trial, and tells its scores: those of former attempts too, where others depend on it."""
    config = trial.config
    run = open_store(f"{config.train.store.rstrip('/')}/{trial.name}")
    reporter.replay(run, config)
    if run.exists(EARLY_STOP_NAME):
        return
    with hold(config, reporter.say) as lease:
        name, step = parent or (None, None)
        config, _ = prepare(config, reporter.say, name, step, lease.check_writing)
        if finished(config) is None:
            start(config, lease, reporter.show, reporter.say, reporter.judged, reporter.stopping)
    reporter.last()


class Reporter:
    """Tells Ray Tune the score of each judged checkpoint, and the board how far the trial is; asks it whether to go on.

    Ray Tune ends a trial that a scheduler stops by SystemExit from its `report`. The last score is told when the run
    is complete, so that none is ended a moment before.
    """

    def __init__(self, plan: Plan, trial: Trial, board: Any) -> None:
        self._plan, self._trial, self._board = plan, trial, board
        self._last: tuple[int, float] | None = None
        self._told_at, self._best = 0.0, WORST
        self._ask, self._stopping = stop_asker(board), False
        board.begin.remote(trial.name, trial.values, trial.seed)

    def replay(self, run: Store, config: Config) -> None:
        """Scores of a former attempt; a population compares members only as they are now."""
        if not self._plan.is_adaptive or self._plan.space.search == "pbt":
            return
        with suppress(StoreMissing):
            for entry in events_in(run.read(JOURNAL_NAME)):
                if entry["event"] == JUDGED:
                    self._tell(int(entry["step"]), float(entry["score"]), replayed=True)

    def judged(self, step: int, judgement: Judgement) -> None:
        """A checkpoint was judged."""
        self._board.score.remote(self._trial.name, step, judgement.score)
        self._tell(step, judgement.score)

    def last(self) -> None:
        """The run is complete. A member of a population would be sent to another's place, with nothing left to do."""
        if self._last and self._plan.space.search != "pbt":
            self._report(*self._last)

    def show(self, progress: Progress) -> None:
        """A step was taken."""
        if time.monotonic() - self._told_at > TOLD_SECONDS:
            self._told_at = time.monotonic()
            self._board.pin.remote(self._trial.name, progress)
            self._stopping = self._ask()

    def stopping(self) -> bool:
        """Whether to save and stop, as far as the board has answered."""
        return self._stopping

    def say(self, text: str) -> None:
        """A line for the user."""
        self._board.say.remote(f"{self._trial.name}: {text}")

    def _tell(self, step: int, score: float, replayed: bool = False) -> None:
        if step >= self._trial.config.train.steps:
            self._last = (step, score)
        else:
            self._report(step, score, replayed)

    def _report(self, step: int, score: float, replayed: bool = False) -> None:
        score = min(score, WORST)
        self._best = min(self._best, score)
        numbers = {"step": step, "score": score, "best": self._best, "run": self._trial.name, "replayed": replayed}
        if self._plan.space.search != "pbt":
            tune.report(numbers)
            return
        with TemporaryDirectory() as folder:
            Path(folder, POINTER_NAME).write_text(json.dumps(Pointer(self._trial.name, step)))
            tune.report(numbers, checkpoint=tune.Checkpoint.from_directory(folder))


def _member() -> int:
    """Number of the population's member that this trial is: Ray Tune numbers trials as they were given."""
    return int(str(tune.get_context().get_trial_id()).rsplit("_", 1)[-1])


def _pointer() -> Pointer | None:
    """What Ray Tune wants this trial to go on from."""
    checkpoint = tune.get_checkpoint()
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        return Pointer(*json.loads(Path(folder, POINTER_NAME).read_text()))


_watched = threading.Lock()


def _end_with_ray() -> None:
    """Once per process: several trials may run in one, after each other."""
    if _watched.acquire(blocking=False):
        threading.Thread(target=end_as_orphan, args=[os.getppid()], name="orphan", daemon=True).start()
