"""What a run shows of itself: the first batch, a film strip of fresh noise, grids of fixed noise (S10, S12)."""

import torch
from torch import Tensor

from satgan.config import Config
from satgan.gan.networks import Generator
from satgan.gan.noise import noise
from satgan.pictures.film import strip_png, whole_film_png
from satgan.pictures.grid import grid_png
from satgan.randomness import Purpose
from satgan.tiles.pixels import to_bytes
from satgan.tiles.store import Store
from satgan.train.troubles import Troubles

GRID_COLUMNS = 8
GRID_TILES = GRID_COLUMNS**2
INPUTS_NAME, FILM_NAME = "inputs.png", "film.png"
NOT_SAVED = "a picture was not saved"


def grid_name(step: int) -> str:
    """Key in the run's folder of the grid after `step` steps."""
    return f"film/grid-{step:08d}.png"


class Film:
    """Collects frames between checkpoints; worker 0 alone has one. A picture that cannot be saved ends no run.

    Args:
        run: the run's folder.
        config: the run's.
        troubles: told of what was not saved.
    """

    def __init__(self, run: Store, config: Config, troubles: Troubles) -> None:
        self._run, self._config, self._troubles = run, config, troubles
        self._frames: list[Tensor] = []

    def show_inputs(self, reals: Tensor) -> dict[str, float]:
        """Saves the first tiles `[B, C, S, S]` as the networks see them; returns their range, and whether they lie in
        memory as convolutions want them (S11)."""
        with self._troubles.borne(NOT_SAVED, "the run goes on"):
            self._run.write(INPUTS_NAME, grid_png(to_bytes(reals).cpu().numpy(), GRID_COLUMNS))
        return {
            "lowest": float(reals.min()), "highest": float(reals.max()), "mean": float(reals.mean()),
            "channels_last": reals.is_contiguous(memory_format=torch.channels_last),
        }  # fmt: skip

    def add(self, fake: Tensor) -> None:
        """A frame: one fake `[C, S, S]` in [-1, 1] of this step."""
        self._frames.append(to_bytes(fake[None])[0].cpu())

    def take(self) -> list[Tensor]:
        """The frames since they were last taken, `[S, S, C] uint8` each."""
        frames, self._frames = self._frames, []
        return frames

    def cut(self, step: int, frames: list[Tensor], averaged: Generator) -> str:
        """Saves a strip of frames and a grid of fixed noise; returns the grid's key. May run beside the steps.

        Raises:
            StoreError: the store does not take them.
        """
        if frames:
            self._run.write(f"film/strip-{step:08d}.png", strip_png(torch.stack(frames).numpy()))
        seed, size = self._config.train.seed, self._config.gan.noise_size
        fixed = noise(seed, Purpose.GRID, (GRID_TILES, size)).to(next(averaged.parameters()).device)
        with torch.no_grad():
            tiles = to_bytes(averaged(fixed)).cpu().numpy()
        key = grid_name(step)
        self._run.write(key, grid_png(tiles, GRID_COLUMNS))
        return key

    def develop(self) -> str | None:
        """Puts all strips of the run below each other; returns the film's key, None where there are no strips."""
        with self._troubles.borne(NOT_SAVED, "the run goes on"):
            strips = sorted(key for key, _ in self._run.list("film/strip-"))
            if strips:
                self._run.write(FILM_NAME, whole_film_png([self._run.read(key) for key in strips]))
                return FILM_NAME
        return None
