"""Real tiles for tests, with their source as their kind."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def real_tiles(shared_data: Path, count: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`[count, 64, 64, 3] uint8` in random order and `[count]`: which of the folders of tiles64 each comes from."""
    folders = sorted((shared_data / "tiles64").iterdir())
    files = [(path, kind) for kind, folder in enumerate(folders) for path in sorted(folder.iterdir())]
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(files))[:count]
    chosen = [files[number] for number in order]
    tiles = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in chosen])
    return tiles, np.array([kind for _, kind in chosen])
