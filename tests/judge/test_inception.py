"""Our Inception network and KID against torch-fidelity's, and against formulas written down plainly."""

import importlib
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from satgan.judge.features import frechet_distance
from satgan.judge.inception import NETWORK, block_maps, fold, inception_features, resized
from satgan.judge.inception_scores import SUBSET_TILES, Extractor, extract_inception, kernel_distance
from tests.conftest import REPOSITORY
from tests.judge.inception_weights import random_state, saved, thin_network

STAND_INS = ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional")
ENDS = ["MaxPool_2", *(block.name for block in NETWORK[1:])]
"""Modules of torch-fidelity's network whose maps are those of our blocks."""


@pytest.fixture
def fidelity(monkeypatch: pytest.MonkeyPatch) -> Any:
    """torch-fidelity's package; torchvision, which it imports for other extractors, is a stand-in."""
    source = REPOSITORY / ".torch-fidelity"
    if not (source / "installed").exists():
        pytest.skip("no torch-fidelity: scripts/test fetches it")
    monkeypatch.setattr(sys, "path", [*sys.path, str(source)])
    for name in STAND_INS:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    return importlib.import_module


def noisy(count: int, size: int) -> NDArray[np.uint8]:
    chance = np.random.Generator(np.random.Philox(size))
    return chance.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_every_block_is_torch_fidelitys(fidelity: Any, tmp_path: Path) -> None:
    state = random_state()
    path, _ = saved(tmp_path / "weights.pth", state)
    module = fidelity("torch_fidelity.feature_extractor_inceptionv3")
    theirs = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], path)
    maps: dict[str, torch.Tensor] = {}
    for name in ENDS:
        getattr(theirs, name).register_forward_hook(lambda _, __, out, name=name: maps.update({name: out.clone()}))
    tiles, layers = noisy(2, 64), fold(state)
    with torch.no_grad():
        (features,) = theirs(torch.from_numpy(tiles).permute(0, 3, 1, 2))
    for name, ours in zip(ENDS, block_maps(tiles, layers), strict=True):
        torch.testing.assert_close(ours, maps[name], rtol=1e-4, atol=2e-5 * float(maps[name].abs().max()))
    spread = float(features.std(dim=0).max())
    np.testing.assert_allclose(inception_features(tiles, layers), features.numpy(), atol=1e-3 * spread)


@pytest.mark.parametrize("size", [28, 64, 299, 320])
def test_the_resize_is_torch_fidelitys(fidelity: Any, size: int) -> None:
    images = torch.from_numpy(noisy(2, size)).permute(0, 3, 1, 2).float()
    module = fidelity("torch_fidelity.interpolate_compat_tensorflow")
    theirs = module.interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    torch.testing.assert_close(resized(images), theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [28, 64, 299, 320])
def test_the_resize_is_tensorflows_formula(size: int) -> None:
    """Pixel i lies at i · S / 299, between its floor and the pixel after, which is the last one at the edge."""
    line = np.random.Generator(np.random.Philox(size)).uniform(0, 255, size)
    places = np.arange(299) * size / 299
    below = np.floor(places).astype(int)
    expected = line[below] + (line[np.minimum(below + 1, size - 1)] - line[below]) * (places - below)
    found = resized(torch.from_numpy(np.outer(np.ones(size), line)).float()[None, None])
    np.testing.assert_allclose(found[0, 0, 150].numpy(), expected, atol=0.01)
    np.testing.assert_array_equal(resized(found.clone()).numpy(), found.numpy())


def features(count: int, shift: float, seed: int) -> NDArray[np.float64]:
    chance = np.random.Generator(np.random.Philox(seed))
    return np.abs(chance.standard_normal((count, 24))) + shift


def plain_kid(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Bińkowski et al. 2018, equation 4, over all pairs."""

    def kernel(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        similar: NDArray[np.float64] = (np.einsum("id,jd->ij", one, other) / one.shape[1] + 1) ** 3
        return similar

    n, m = len(first), len(second)
    within = kernel(first, first)[~np.eye(n, dtype=bool)].sum() / (n * (n - 1))
    among = kernel(second, second)[~np.eye(m, dtype=bool)].sum() / (m * (m - 1))
    return float(within + among - 2 * kernel(first, second).mean())


def test_kid_of_one_subsets_worth_is_the_plain_formula_and_torch_fidelitys(fidelity: Any) -> None:
    first, second = features(SUBSET_TILES, 0, 0), features(SUBSET_TILES, 0.1, 1)
    found = kernel_distance(first, second)
    assert found == pytest.approx(plain_kid(first, second), rel=1e-9)
    kid = fidelity("torch_fidelity.metric_kid")
    theirs = kid.kid_features_to_metric(torch.from_numpy(first), torch.from_numpy(second), kid_subsets=2, verbose=False)
    assert found == pytest.approx(theirs[kid.KEY_METRIC_KID_MEAN], rel=1e-9)


def test_kid_of_more_is_near_that_of_all_pairs_and_the_same_every_time() -> None:
    first, second = features(2 * SUBSET_TILES + 7, 0, 0), features(2 * SUBSET_TILES, 0.1, 1)
    found = kernel_distance(first, second)
    assert found == kernel_distance(first, second)
    assert found == pytest.approx(plain_kid(first, second), rel=0.05)
    assert found != plain_kid(first, second)


def test_kid_of_like_sides_is_unbiased() -> None:
    """Over many draws its mean is 0 within the error of the mean: some are below."""
    drawn = [kernel_distance(features(SUBSET_TILES, 0, 2 * n), features(SUBSET_TILES, 0, 2 * n + 1)) for n in range(12)]
    assert min(drawn) < 0 < max(drawn)
    assert abs(np.mean(drawn)) < 3 * np.std(drawn) / np.sqrt(len(drawn))
    assert kernel_distance(features(SUBSET_TILES, 0, 1), features(SUBSET_TILES, 0.02, 2)) > max(drawn)


def test_fid_is_torch_fidelitys(fidelity: Any) -> None:
    first, second = features(300, 0, 0), features(200, 0.1, 1)
    fid = fidelity("torch_fidelity.metric_fid")
    one, other = (fid.fid_features_to_statistics(torch.from_numpy(part)) for part in (first, second))
    expected = fid.fid_statistics_to_metric(one, other, verbose=False)[fid.KEY_METRIC_FID]
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_grey_tiles_are_seen_as_three_equal_channels_and_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satgan.judge.inception_scores.TILES_AT_ONCE", 2)
    monkeypatch.setattr("satgan.judge.inception.NETWORK", thin_network())
    extractor, told = Extractor("random", "0" * 64, fold(random_state())), list[tuple[int, int]]()
    tiles = noisy(3, 28)[..., :1]
    found = extract_inception(tiles, extractor, lambda *how_far: told.append(how_far))
    plain = inception_features(np.repeat(tiles, 3, axis=3), extractor.layers)
    np.testing.assert_allclose(found, plain, rtol=1e-4)
    assert told == [(2, 3), (1, 3)]
