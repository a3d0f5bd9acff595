"""The step, on one screen: what the articles' recipe does with one batch of tiles."""

import torch

from satgan.gan.balance import choose_path
from satgan.gan.lane import Lane
from satgan.gan.message import FIGURES
from satgan.gan.pair import Pair


def train_step(pair: Pair) -> dict[str, float]:
    """One step, after every lane has taken its tiles and noise (`Lane.begin`).

    Real and fake tiles never share a discriminator batch (S38). The verdict's counts ride along with the gradients,
    so all workers take the same path without another message.

    Returns:
        Losses as they were before each update, the shares misjudged, and `path_a` (1 or 0). One host read. All are
        the same on every worker; where training diverged, some are not finite.
    """
    recipe = pair.config.recipe
    pair.make_fakes()
    path = choose_path(pair.verdict, recipe.path_threshold)
    if path == "A":
        figures = pair.update_discriminator("real", Lane.learn_real)
        figures = figures + pair.update_discriminator("fake", Lane.learn_fake)
    else:
        figures = pair.update_discriminator("both", Lane.learn_both)
    if pair.lanes[0].draws.history_turn:
        figures = figures + pair.update_discriminator("fake", Lane.learn_history)
    for turn in range(recipe.generator_updates):
        figures = figures + pair.update_generator(turn) / recipe.generator_updates
    pair.move_average()
    pair.each(Lane.keep_one)
    return _read(pair, figures, path == "A")


def _read(pair: Pair, figures: torch.Tensor, path_a: bool) -> dict[str, float]:
    values = dict(zip(FIGURES, figures.tolist(), strict=True))
    pair.set_verdict(values)
    if not pair.lanes[0].draws.history_turn:
        del values["history_loss"]
    losses = {f"{name}_before": value for name, value in values.items() if name.endswith("loss")}
    return losses | pair.verdict._asdict() | {"path_a": float(path_a)}
