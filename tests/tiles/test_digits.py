"""The embedded digits are scikit-learn's, in MNIST's form, packed once."""

import sys
from pathlib import Path

import numpy as np
import pytest

from satgan.errors import InputError
from satgan.tiles import digits
from satgan.tiles.digits import bundled_digits, digits_tile_set


def test_the_digits_are_all_there_in_mnists_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tile, brought back to 8×8, is its digit; around it is a dark margin of 4 pixels, as in MNIST."""
    tile_set = digits_tile_set(tmp_path, seed=5)
    manifest = tile_set.manifest
    assert (manifest.size, manifest.channels, manifest.tile_count) == (28, 1, 1797)
    tiles = tile_set.read_piece(0)[..., 0].astype(float)
    assert tiles.max() == 255
    inner = tiles[:, 4:24, 4:24]
    assert inner.sum() == tiles.sum()
    images, _ = bundled_digits()
    # 20 pixels to 8: every pixel five times, then means of tens.
    small = inner.repeat(2, 1).repeat(2, 2).reshape(-1, 8, 5, 8, 5).mean((2, 4)).reshape(len(tiles), -1)
    known = images.reshape(len(images), -1) * (255 / 16)
    nearest = {int(np.abs(known - one).sum(1).argmin()) for one in small[:200]}
    assert len(nearest) >= 195, "each is its own digit"
    monkeypatch.setattr(digits, "bundled_digits", lambda: pytest.fail("the digits were read again"))
    assert digits_tile_set(tmp_path, seed=5).digest == tile_set.digest


def test_without_scikit_learn_the_remedies_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[digits\]'.*--format idx.*--tiles") as caught:
        digits_tile_set(tmp_path, seed=5)
    assert "scikit-learn" in caught.value.found
    assert list(tmp_path.iterdir()) == []
