"""Population based training over ordinary runs: a member that takes another's weights is a fork of its run.

Member 3's runs are `member-03-turn-0-s1234`, `…-turn-1-…`, each forked from the run whose place it took; so every one
is on record with its config and its parent.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from satgan.config import Config
from satgan.errors import StoreMissing
from satgan.tiles.store import open_store
from satgan.train.origin import Origin
from satgan.train.run_folder import CONFIG_NAME, RunFolder, read_config
from tune.plan import Plan
from tune.table import MEMBER
from tune.trials import Trial, values_of


class Pointer(NamedTuple):
    """A checkpoint that Ray Tune keeps, as it lies in the store: a run, and a step of it."""

    run: str
    step: int


def member_run(
    plan: Plan, given: Mapping[str, Any], member: int, pointer: Pointer | None
) -> tuple[Trial, Pointer | None]:
    """The run that a member goes on with, and what it is forked from, if it begins now.

    Args:
        plan: the sweep's.
        given: the setting that Ray Tune wants.
        member: its number; of the seeds it has one, whosever place it takes.
        pointer: what it goes on from; None: its own newest run, or the start.
    """
    turn, seed = newest_turn(plan, member), plan.seeds[member % len(plan.seeds)]
    own = run_name(member, max(turn, 0), seed)
    begun = recorded(plan, own)
    if begun is not None and (pointer is None or pointer.run == own or _is_fork_at(begun[1], pointer)):
        return plan.base.run(values_of(begun[0], plan.space.options), seed, own), None
    values = plan.trial(given, seed).values
    if pointer is None:
        return plan.base.run(values, seed, own), None
    return plan.base.run(values, seed, run_name(member, turn + 1, seed)), pointer


def run_name(member: int, turn: int, seed: int) -> str:
    """Of a member's run after so many exploits."""
    return f"member-{member:02d}-turn-{turn}-s{seed}"


def newest_turn(plan: Plan, member: int) -> int:
    """The last turn of a member that has a run; -1: none."""
    try:
        keys = [key for key, _ in open_store(plan.trials_url).list("member-")]
    except StoreMissing:  # a folder that is not there yet
        return -1
    names = [key.removesuffix(f"/{CONFIG_NAME}") for key in keys if key.endswith(f"/{CONFIG_NAME}")]
    found = [match for name in names if (match := MEMBER.fullmatch(name))]
    return max((int(match[2]) for match in found if int(match[1]) == member), default=-1)


def recorded(plan: Plan, name: str) -> tuple[Config, Origin] | None:
    """Config and origin of a run; None where it has not begun."""
    folder = RunFolder(plan.trials_url, name)
    try:
        return read_config(folder)
    finally:
        folder.close()


def _is_fork_at(origin: Origin, pointer: Pointer) -> bool:
    parent = origin.forked_from
    return parent is not None and (parent["run"].rsplit("/", 1)[-1], parent["step"]) == pointer
