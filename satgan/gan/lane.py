"""A lane: the unit of computation. Its tiles, its noise, its forward and backward passes, its batch statistics.

A lane has modules of its own whose parameters are views of the pair's shared weights and whose gradients are views
of the lane's own messages, so lanes never write to the same memory and may run at the same time.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd import backward

from satgan.config import Config
from satgan.gan.augment import augment
from satgan.gan.graphs import Held
from satgan.gan.history import History, history_slots
from satgan.gan.losses import called_fake_loss, called_real_loss
from satgan.gan.message import FIGURES, Message
from satgan.gan.networks import Discriminator, Generator
from satgan.gan.noise import Draws, Shown
from satgan.gan.normalization import batch_statistics
from satgan.gan.observe import TILE_FIGURES, tile_figures

EVALUATED = (*FIGURES, *TILE_FIGURES)
"""What `Lane.evaluate` tells."""


class Lane:
    """One lane on this worker.

    Args:
        config: the run's.
        number: 0 to lanes - 1, over all workers.
        generator, discriminator: modules of the lane's own, bound to the shared weights.
        device: where they are.
        dtype: the type in which convolutions compute (bfloat16 or float32).
        recorded: whether its work is recorded (graphs.py), so that its inputs must stay where they are.
    """

    def __init__(
        self, config: Config, number: int, generator: Generator, discriminator: Discriminator,
        device: torch.device, dtype: torch.dtype, recorded: bool,
    ) -> None:  # fmt: skip
        self.number, self.device, self.dtype, self.recipe = number, device, dtype, config.recipe
        self.generator, self.discriminator = generator, discriminator
        self.to_generator, self.to_discriminator = Message(generator), Message(discriminator)
        shape = (config.gan.channels, config.gan.size, config.gan.size)
        self.history = History(history_slots(config), shape, dtype, device)
        self.reals = self.fakes = torch.empty(0)
        self.draws: Draws
        self.held = Held(config.train.lane_batch, device) if recorded else None

    def begin(self, reals: Tensor, draws: Draws) -> None:
        """Takes this step's real tiles `[B, C, S, S]` and draws."""
        self.reals, self.draws = self.held.take(reals, draws) if self.held else (reals, draws)

    def make_fakes(self) -> None:
        """Makes this step's fakes. Their graph is kept (S34)."""
        with self._computing():
            self.fakes = self.generator(self.draws.noise[0])

    def learn_real(self) -> None:
        """Discriminator on real tiles alone (S38); its batch statistics are those of real tiles."""
        message = self.to_discriminator
        message.begin()
        backward(self._call_real(message))

    def learn_fake(self) -> None:
        """Discriminator on this step's fakes alone (S38)."""
        message = self.to_discriminator
        message.begin()
        backward(self._call_fake(message))

    def learn_both(self) -> None:
        """Discriminator on the sum of both losses, in two batches (S38, S39)."""
        message = self.to_discriminator
        message.begin(backward_passes=2)
        backward(self._call_real(message))
        backward(self._call_fake(message))

    def learn_history(self) -> None:
        """Discriminator on past fakes (S33)."""
        message = self.to_discriminator
        message.begin()
        with self._computing():
            past = self.history.pick(self.draws.history_pick)
            loss = called_fake_loss(self._judge(past, Shown.HISTORY))
        message.set_figure("history_loss", loss)
        backward(loss)

    def fool(self, turn: int) -> None:
        """Generator against the frozen discriminator; turn 0 uses the fakes that are there already."""
        message = self.to_generator
        message.begin()
        with frozen(self.discriminator):
            with self._computing():
                fakes = self.fakes if turn == 0 else self.generator(self.draws.noise[turn])
                loss = called_real_loss(self._judge(fakes, Shown.FOOLING + turn))
            backward(loss)
        message.set_figure("generator_loss", loss)
        message.statistics.copy_(batch_statistics(self.generator))

    def keep_one(self) -> None:
        """One fake of this step enters the history, if there is one (S34); the step's graph is let go (S14)."""
        self.fakes = self.fakes.detach()
        if len(self.history.tiles):
            self.history.put(self.draws.slot, self.fakes[self.draws.keep])

    @torch.no_grad()
    def evaluate(self) -> Tensor:
        """The losses after the step's updates, on the step's own tiles and noise (S15), and what its tiles look like
        (`observe.py`): a vector in the order of EVALUATED."""
        figures = torch.zeros(len(FIGURES), device=self.device)
        with self._computing():
            fake_logits = self._judge(self.generator(self.draws.noise[0]), Shown.FAKE)
            real_logits = self._judge(self.reals, Shown.REAL)
            values = {
                "real_loss": called_real_loss(real_logits, self.recipe.real_target),
                "fake_loss": called_fake_loss(fake_logits),
                "generator_loss": called_real_loss(fake_logits),
            }
        for name, value in values.items():
            figures[FIGURES.index(name)] = value
        return torch.cat([figures, tile_figures(self.reals, self.fakes)])

    def _call_real(self, message: Message) -> Tensor:
        with self._computing():
            logits = self._judge(self.reals, Shown.REAL)
            loss = called_real_loss(logits, self.recipe.real_target)
        message.statistics.copy_(batch_statistics(self.discriminator))
        message.set_figure("real_loss", loss)
        message.set_figure("reals_called_fake", (logits < 0).sum())
        return loss

    def _call_fake(self, message: Message) -> Tensor:
        with self._computing():
            logits = self._judge(self.fakes.detach(), Shown.FAKE)
            loss = called_fake_loss(logits)
        message.set_figure("fake_loss", loss)
        message.set_figure("fakes_called_real", (logits > 0).sum())
        return loss

    def _judge(self, tiles: Tensor, shown: int) -> Tensor:
        """Logits `[B]` of tiles as the discriminator is shown them: augmented, then noisy, where the recipe says so."""
        draws = self.draws
        if len(draws.uniforms):
            tiles = augment(tiles, self.recipe.differentiable_augmentation, draws.uniforms[shown])
        if len(draws.instance_noise):
            tiles = tiles + draws.instance_noise[min(shown, Shown.FAKE)]
        logits: Tensor = self.discriminator(tiles)
        return logits

    def _computing(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for the network's weights within: the generator's update needs only those that pass through."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in network.parameters():
            parameter.requires_grad_(True)
