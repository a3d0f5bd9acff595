"""What a run leaves, as its user is told: where it lies, and how it went."""

from typing import NamedTuple

from satgan.train.checkpoint import FOLDER, best_of, complete_steps, name_of
from satgan.train.film import FILM_NAME, grid_name
from satgan.train.journal import has_ended
from satgan.train.run_folder import RunFolder


class Outcome(NamedTuple):
    """Where a finished run's results lie (paths or s3:// urls), and how it went; `best` is the best checkpoint by the
    judge, and `score` its score by `judged_tiles` a side, `dollars` what all attempts have cost in USD, where prices
    are known. Time, speed and share are None where no step was left to take."""

    run: str
    step: int
    checkpoint: str
    grid: str
    film: str | None
    best: str | None
    score: float | None
    judged_tiles: int | None
    seconds: float | None = None
    tiles_per_second: float | None = None
    waited_share: float | None = None
    dollars: float | None = None


def is_finished(folder: RunFolder, steps: int) -> bool:
    """Whether a run of so many steps has nothing left to do."""
    taken = complete_steps(folder.store)
    return bool(taken) and (taken[-1] > steps or (taken[-1] == steps and has_ended(folder, steps)))


def finished_outcome(folder: RunFolder) -> Outcome:
    """The outcome of a run that has nothing left to do; in its folder nothing is changed."""
    step = complete_steps(folder.store)[-1]
    film = folder.place(FILM_NAME) if folder.store.exists(FILM_NAME) else None
    checkpoint, grid = folder.place(f"{FOLDER}/{name_of(step)}"), folder.place(grid_name(step))
    return Outcome(folder.url, step, checkpoint, grid, film, *best_place(folder))


def best_place(folder: RunFolder) -> tuple[str | None, float | None, int | None]:
    """Where the best checkpoint by the judge lies, its score, and by how many tiles; None where none was judged."""
    best = best_of(folder.store)
    return (folder.place(f"{FOLDER}/{name_of(best.step)}"), best.score, best.tiles) if best else (None, None, None)
