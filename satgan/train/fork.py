"""A new run that goes on from another one's checkpoint under changed settings; the parent stays as it is.

The parent's verified files become the new run's first checkpoint, with the new config and where it came from; from
there the new run resumes like any other.
"""

from collections.abc import Callable, Iterator

import torch
from safetensors.torch import save

from satgan.config import Config
from satgan.errors import CheckpointError, StoreMissing
from satgan.gan.balance import config_rates
from satgan.gan.history import history_slots
from satgan.gan.networks import Discriminator, Generator
from satgan.groups import GanConfig
from satgan.provenance import versions
from satgan.tiles.store import Check, Store, open_store
from satgan.train.checkpoint import (
    FOLDER,
    HISTORY_FOLDER,
    Checkpoint,
    complete_steps,
    history_name,
    name_of,
)
from satgan.train.origin import Origin
from satgan.train.recovery import newest_whole
from satgan.train.run_folder import RunFolder, as_recorded, differences, read_config, write_config
from satgan.train.snapshot import write_files

SHAPELESS = ("gan.preset:", "gan.generator_leak:", "gan.discriminator_leak:")
"""Options of the networks that no tensor's shape depends on."""


def fork(
    config: Config, parent: str, tile_set_digest: str, say: Callable[[str], None], at_step: int | None, check: Check
) -> None:
    """Makes the first checkpoint of run `train.name`, unless that run has one already.

    Args:
        config: of the new run, complete; what it leaves to the machine is taken from the parent.
        parent: name of a run in the same store.
        tile_set_digest: identity of the new run's tile set.
        say: told where it goes on from.
        at_step: of the parent's checkpoint; None: its newest whole one.
        check: asked before anything of the new run is changed.

    Raises:
        CheckpointError: the parent has no whole checkpoint, or one that the new settings cannot go on from; or the new
            name is that of a run which is not this parent's fork.
        CorruptData: the parent has checkpoints, but none is whole.
    """
    store = open_store(config.train.store)
    if parent == config.train.name:
        found = f"--fork {parent}: a run cannot be forked from itself"
        raise CheckpointError(found, "give the parent's name with --name, and another one with --fork")
    if _steps(store.child(config.train.name)):
        _check_fork_of(store.child(parent).url, config)
        return
    if not _steps(store.child(parent)):
        remedy = "give the name of a run that has one with --name, and the new run's with --fork"
        raise CheckpointError(f"no whole checkpoint in {store.child(parent).url}", remedy)
    if at_step is None:
        at_step, faults = newest_whole(store.child(parent))
        for fault in faults.values():
            say(f"not taken: {fault.found}")
    before = _checkpoint(store, parent, at_step)
    config = as_recorded(config, before.config())
    _check_carries_over(before, config)
    origin = Origin(tile_set_digest, forked_from={"run": store.child(parent).url, "step": before.step})
    folder = RunFolder(config.train.store, config.train.name, check)
    try:
        write_config(folder, config, origin)
        state = before.state | origin._asdict() | {"config": config.model_dump(mode="json"), "versions": versions()}
        moved = state.get("balance")
        if config_rates(config) != config_rates(before.config()):
            state["balance"] = None  # the rates given now are where recipe.auto_balance begins
        write_files(folder.store, f"{FOLDER}/{name_of(before.step)}", state, _files(before, config))
        say(f"forked {config.train.name} from {before.store.url}")
        is_kept = state.get("balance") and config.recipe.auto_balance
        if moved and not is_kept and tuple(moved["rates"].values()) != config_rates(config):
            say(_left_behind(moved["rates"], config))
    finally:
        folder.close()


def _steps(run: Store) -> list[int]:
    try:
        return complete_steps(run)
    except StoreMissing:  # a folder that is not there yet
        return []


def _checkpoint(store: Store, run: str, step: int) -> Checkpoint:
    return Checkpoint(store.child(f"{run}/{FOLDER}/{name_of(step)}"))


def _check_fork_of(parent_url: str, config: Config) -> None:
    """By the run's config.yaml: its newest checkpoint may be corrupt, which a resume sees to."""
    folder = RunFolder(config.train.store, config.train.name)
    try:
        recorded = read_config(folder)
    finally:
        folder.close()
    if recorded is None:  # refused as any run that lacks it
        return
    forked_from = recorded[1].forked_from
    if forked_from is None or forked_from["run"] != parent_url:
        came = f"a fork of {forked_from['run']}" if forked_from else "a run of its own"
        raise CheckpointError(
            f"{folder.url} belongs to {came}, not to a fork of {parent_url}",
            "give --fork another name; or go on with that run: its name with --name, and no --fork",
        )


def _check_carries_over(before: Checkpoint, config: Config) -> None:
    """Raises CheckpointError where the networks have other shapes, the histories other sizes, or nothing is left to
    train."""
    old = before.config()
    if before.step >= config.train.steps:
        found = f"{before.store.url} has {before.step} steps, train.steps = {config.train.steps}: nothing is left to do"
        raise CheckpointError(found, f"give --train.steps more than {before.step}")
    changed = differences(old.model_dump(mode="json"), config.model_dump(mode="json"))
    fixed: list[str] = []
    if _shapes(old.gan) != _shapes(config.gan):
        fixed += [line for line in changed if line.startswith("gan.") and not line.startswith(SHAPELESS)]
    if history_slots(config) and (history_slots(old), old.train.lanes) != (history_slots(config), config.train.lanes):
        names = ("train.lanes:", "recipe.history_share:", "recipe.history_capacity:")
        fixed += [line for line in changed if line.startswith(names)]
    if fixed:
        listed = "\n".join(f"  {line}" for line in fixed)
        raise CheckpointError(
            f"the weights or past fakes of {before.store.url} do not fit the new settings:\n{listed}",
            "give these as before (past fakes go along with their lanes and capacity, or not at all: "
            "--recipe.history-share 0), or begin anew under another --name, without --fork",
        )


def _left_behind(moved: dict[str, float], config: Config) -> str:
    """For the user: rates do not stay where recipe.auto_balance had moved them."""
    goes_on = zip(moved.items(), config_rates(config), strict=True)
    told = ", ".join(f"the {network}'s {rate:.3g}, {was:.3g} in the checkpoint" for (network, was), rate in goes_on)
    return f"learning rates are those of the settings again: {told}"


def _shapes(config: GanConfig) -> dict[str, tuple[int, ...]]:
    """Of all tensors of both networks, by name; nothing is allocated."""
    with torch.device("meta"):
        networks = {"generator": Generator(config), "discriminator": Discriminator(config)}
    return {
        f"{kind}.{name}": tuple(tensor.shape)
        for kind, network in networks.items()
        for name, tensor in network.state_dict().items()
    }


def _files(before: Checkpoint, config: Config) -> Iterator[tuple[str, bytes]]:
    """Name and content of the parent's files, verified; without past fakes where the new run keeps none."""
    for name in before.state["sha256"]:
        if not name.startswith(HISTORY_FOLDER):
            yield name, before.verified(name)
    nothing = save({"tiles": torch.zeros((0, config.gan.channels, config.gan.size, config.gan.size))})
    for lane in range(config.train.lanes):
        name = history_name(lane)
        yield name, before.verified(name) if history_slots(config) else nothing
