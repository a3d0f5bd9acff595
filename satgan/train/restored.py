"""What a checkpoint's files become: tensors, networks to draw with, a pair that goes on from there."""

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from satgan.errors import CheckpointError, CorruptData
from satgan.gan.balance import Balance, Rates, Verdict
from satgan.gan.networks import Discriminator, Generator
from satgan.gan.normalization import running_statistics
from satgan.gan.pair import Pair
from satgan.gan.player import Player
from satgan.gan.weights import named_views
from satgan.train.checkpoint import DISCRIMINATOR_NAME, GENERATOR_NAME, Checkpoint, history_name

Tensors = dict[str, Tensor]


def tensors_of(checkpoint: Checkpoint, name: str) -> Tensors:
    """What a checkpoint's safetensors file holds.

    Raises:
        CorruptData: it is gone, differs from its digest, or is none.
    """
    raw = checkpoint.verified(name)
    try:
        return load(raw)
    except SafetensorError as error:
        found = f"{checkpoint.store.url}/{name} cannot be read, though it is as it was written: {error}"
        raise CorruptData(found, "give an earlier checkpoint") from None


def generator_of(checkpoint: Checkpoint, which: str) -> Generator:
    """The `average` or the `raw` generator in evaluation mode, on the CPU."""
    network = Generator(checkpoint.config().gan)
    tensors = {
        name.removeprefix(f"{which}."): tensor
        for name, tensor in tensors_of(checkpoint, GENERATOR_NAME).items()
        if name.startswith(f"{which}.")
    }
    network.load_state_dict(tensors)
    return network.eval()


def discriminator_of(checkpoint: Checkpoint) -> Discriminator:
    """The discriminator in evaluation mode, on the CPU."""
    network = Discriminator(checkpoint.config().gan)
    network.load_state_dict(tensors_of(checkpoint, DISCRIMINATOR_NAME))
    return network.eval()


@torch.no_grad()
def restore(pair: Pair, checkpoint: Checkpoint) -> None:
    """Puts a checkpoint's weights, Adams, statistics, histories, verdict and moved rates into the pair.

    Raises:
        CheckpointError: it was written under other settings.
    """
    if checkpoint.config().digest() != pair.config.digest():
        found = f"{checkpoint.store.url} was written under other settings than the run's config.yaml has"
        raise CheckpointError(found, "restore the config.yaml that belongs to it, or start under another --name")
    generators = tensors_of(checkpoint, GENERATOR_NAME)
    _restore_player(pair.generator, {n.removeprefix("raw."): t for n, t in generators.items() if n.startswith("raw.")})
    for name, view in named_views(pair.generator.network, pair.average):
        view.copy_(generators[f"average.{name}"])
    _restore_player(pair.discriminator, tensors_of(checkpoint, DISCRIMINATOR_NAME))
    moments = tensors_of(checkpoint, "optimizers.safetensors")
    for player in (pair.generator, pair.discriminator):
        for adam in player.adams:
            _restore_adam(player, adam, moments)
    for lane in pair.lanes:
        kept = tensors_of(checkpoint, history_name(lane.number))["tiles"]
        lane.history.tiles[: len(kept)].copy_(kept)
    pair.verdict = Verdict(*checkpoint.state["verdict"])
    if pair.balance and (told := checkpoint.state.get("balance")):
        pair.set_balance(Balance(**told | {"rates": Rates(**told["rates"])}))


def _restore_player(player: Player, tensors: Tensors) -> None:
    player.network.load_state_dict(tensors)
    player.running.copy_(running_statistics(player.network))


def _restore_adam(player: Player, adam: str, tensors: Tensors) -> None:
    moments = player.adams[adam].moments
    moments.clear()
    if f"{adam}.step" not in tensors:
        return
    moments["step"] = tensors[f"{adam}.step"].to(player.weights.device)
    for moment in ("exp_avg", "exp_avg_sq"):
        moments[moment] = torch.empty_like(player.weights)
        for name, view in named_views(player.network, moments[moment]):
            view.copy_(tensors[f"{adam}.{moment}.{name}"])
