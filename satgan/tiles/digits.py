"""The embedded digits, to start small with (G05) where there is no MNIST: scikit-learn's bundled handwritten digits.

1,797 digits of 8 × 8 pixels in 17 grey levels, the test set of UCI's Optical Recognition of Handwritten Digits
(E. Alpaydin, C. Kaynak; CC BY 4.0), brought to MNIST's form: 28 × 28, light on dark, the digit within 20 × 20. Nothing
is downloaded.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from satgan.errors import require_extra
from satgan.tiles.inspect import NO_LIMITS
from satgan.tiles.manifest import MANIFEST_NAME
from satgan.tiles.records import Place, Tile
from satgan.tiles.shards import PackReport, pack, packed_once
from satgan.tiles.tile_set import TileSet

SIZE, DIGIT_SIZE = 28, 20
LEVELS = 16


def digits_tile_set(folder: Path, seed: int) -> TileSet:
    """The digits' tile set; the first call packs it (about 2 s), later ones open what is there.

    Args:
        folder: where sets are kept; this one is `digits-28-seed-<seed>` in it.
        seed: of the packing shuffle.

    Raises:
        InputError: scikit-learn is not installed.
        StoreError: `folder` cannot be written.
    """
    return packed_once(_place(folder, seed), lambda destination: _pack(destination, seed))


def check_digits(folder: Path, seed: int) -> None:
    """Refuses what `digits_tile_set` would, and does nothing.

    Raises:
        InputError: the set is still to be packed, and scikit-learn is not installed.
    """
    if not (_place(folder, seed) / MANIFEST_NAME).exists():
        _require_scikit_learn()


def _place(folder: Path, seed: int) -> Path:
    return folder / f"digits-{SIZE}-seed-{seed}"


def _pack(destination: str, seed: int) -> PackReport:
    return pack(
        _tiles(), destination, size=SIZE, channels=1, seed=seed,
        source="Optical Recognition of Handwritten Digits (scikit-learn, load_digits)",
        cut={"size": SIZE, "digit_size": DIGIT_SIZE}, limits=NO_LIMITS,
    )  # fmt: skip


def _tiles() -> Iterator[Tile]:
    images, labels = bundled_digits()
    margin = (SIZE - DIGIT_SIZE) // 2
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        grey = Image.fromarray(np.round(image * (255 / LEVELS)).astype(np.uint8))
        enlarged = np.asarray(grey.resize((DIGIT_SIZE, DIGIT_SIZE), Image.Resampling.BICUBIC))
        tile = np.pad(enlarged, margin)[:, :, None]
        yield Tile(f"digit_{number:04d}", tile, 0.0, Place("load_digits", number, label=str(label)))


def bundled_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """scikit-learn's digits, `[1797, 8, 8]` in 0 to 16, and what they are, `[1797]`.

    Raises:
        InputError: scikit-learn is not installed.
    """
    _require_scikit_learn()
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images, found.target


def _require_scikit_learn() -> None:
    mnist = "pack MNIST's files with `satgan tiles pack FOLDER SET --format idx` and give --tiles SET"
    require_extra("sklearn", "digits", "no tile set given, and reading scikit-learn's bundled digits", mnist)
