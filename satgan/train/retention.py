"""Which checkpoints stay (S09): the newest, the best, and none that is not whole."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from satgan.tiles.store import Listing, Store
from satgan.train.checkpoint import COMPLETE_NAME, FOLDER

STEP_FOLDER = re.compile(rf"({FOLDER}/step-(\d{{8,}}))/(.+)")
ASIDE_FOLDER = re.compile(rf"({FOLDER}/corrupt-[^/]+)/.+")


class Shelf(NamedTuple):
    """What lies in a run's `checkpoints/`, each with its files (key, bytes).

    whole     by step: those that have COMPLETE
    orphans   by folder: those that a killed or failed attempt did not finish, or not remove
    aside     by folder: corrupt ones that were set aside
    """

    whole: dict[int, Listing]
    orphans: dict[str, Listing]
    aside: dict[str, Listing]


def look(run: Store) -> Shelf:
    """What there is of checkpoints; nothing is read but names and sizes."""
    folders: dict[tuple[str, int], Listing] = {}
    aside: dict[str, Listing] = {}
    for key, size in run.list(f"{FOLDER}/"):
        if found := STEP_FOLDER.fullmatch(key):
            folders.setdefault((found[1], int(found[2])), []).append((key, size))
        elif corrupt := ASIDE_FOLDER.fullmatch(key):
            aside.setdefault(corrupt[1], []).append((key, size))
    ended = {place: f"{place[0]}/{COMPLETE_NAME}" in dict(files) for place, files in folders.items()}
    whole = {step: files for (folder, step), files in folders.items() if ended[folder, step]}
    orphans = {folder: files for (folder, step), files in folders.items() if not ended[folder, step]}
    return Shelf(dict(sorted(whole.items())), orphans, aside)


def wanted(steps: Collection[int], scores: Mapping[int, float], keep: int, keep_best: int) -> set[int]:
    """Of these checkpoints the newest `keep`, and the `keep_best` of the lowest scores; of equals the earlier.

    Args:
        steps: of the whole checkpoints that are there.
        scores: by step, comparable ones; also of checkpoints that are gone.
        keep: at least 1.
        keep_best: at least 1.
    """
    judged = sorted((scores[step], step) for step in steps if step in scores)
    return set(sorted(steps)[-keep:]) | {step for _, step in judged[:keep_best]}


def best_by_tiles(judged: Iterable[tuple[int, int, float]]) -> set[int]:
    """Steps of the best: one for each number of tiles, since scores by different numbers do not compare.

    Args:
        judged: step, tiles a side, score.
    """
    best: dict[int, tuple[float, int]] = {}
    for step, tiles, score in judged:
        best[tiles] = min(best.get(tiles, (math.inf, step)), (score, step))
    return {step for _, step in best.values()}


def regular_step(newest: int, checkpoint_steps: int, forked_from: Mapping[str, Any] | None) -> int:
    """The last step up to `newest` after which every run of these settings has a checkpoint, stopped or not: where a
    rollback goes, so that its numbers depend on no stop. 0: the start.

    Args:
        newest: step of the newest checkpoint.
        checkpoint_steps: the run's.
        forked_from: see `Origin`.
    """
    return max(newest - newest % checkpoint_steps, forked_from["step"] if forked_from else 0)


def remove(run: Store, files: Listing) -> None:
    """Removes the files of one checkpoint, COMPLETE first, so that none is ever taken for whole that is not."""
    for key, _ in sorted(files, key=lambda file: not file[0].endswith(f"/{COMPLETE_NAME}")):
        run.delete(key)


def remove_unwanted(run: Store, scores: Mapping[int, float], keep: int, keep_best: int, also: Collection[int]) -> None:
    """Removes the checkpoints that are not `wanted`, and orphans; call it where nobody else writes.

    Args:
        run: the run's folder.
        scores: see `wanted`.
        keep: see `wanted`.
        keep_best: see `wanted`.
        also: steps of checkpoints that stay as well.
    """
    shelf = look(run)
    stay = wanted(shelf.whole, scores, keep, keep_best) | set(also)
    for files in [files for step, files in shelf.whole.items() if step not in stay] + list(shelf.orphans.values()):
        remove(run, files)
