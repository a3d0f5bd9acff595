"""Every score against an independent computation: SciPy's, or the formula written down a second time, plainly."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import conv2d, interpolate

from satgan.judge.diversity import SCALE_WEIGHTS, ms_ssim, overlap, scales
from satgan.judge.features import extract, fit_encoder, frechet_distance
from satgan.judge.histogram import histogram, wasserstein_distance
from satgan.judge.sliced import MMAGIC, SlicedSide, descriptors, laplacian_pyramid, level_sizes, sliced_distances
from satgan.judge.spectrum import (
    STRIDE_FREQUENCIES,
    checkerboard_distance,
    checkerboard_index,
    log_power,
    radial_distance,
)
from satgan.randomness import Purpose, generator
from tests.judge.damage import DAMAGES, synthetic

Numbers = NDArray[np.float64]


def features(count: int, width: int, seed: int, shift: float = 0.0) -> Numbers:
    chance = np.random.Generator(np.random.Philox(seed))
    return chance.standard_normal((count, width)) @ chance.standard_normal((width, width)) + shift


def test_the_histogram_distance_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    first, second = synthetic(6, 32)[0], synthetic(5, 32, seed=1)[0]
    channels = range(first.shape[3])
    expected = np.mean([stats.wasserstein_distance(first[..., c].ravel(), second[..., c].ravel()) for c in channels])
    assert wasserstein_distance(histogram(first), histogram(second)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("width", [3, 40])
def test_the_frechet_distance_is_the_formula_with_scipys_matrix_root(width: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    first, second = features(200, width, 0), features(150, width, 1, shift=0.5)
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = linalg.sqrtm(one @ two).real
    shift = first.mean(0) - second.mean(0)
    expected = shift @ shift + np.trace(one + two - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_the_frechet_distance_of_fewer_tiles_than_features_is_finite_and_zero_for_equal_ones() -> None:
    few = features(10, 40, 0)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-3 * np.trace(np.cov(few, rowvar=False)))
    assert 0 < frechet_distance(few, features(12, 40, 1)) < np.inf


@pytest.mark.parametrize("size", [32, 64])
def test_the_pyramid_is_pggans(size: int) -> None:
    """Its code filters with the 5 × 5 kernel in two dimensions, mirrored, and spreads pixels before enlarging."""
    ndimage = pytest.importorskip("scipy.ndimage")
    tiles = synthetic(2, size)[0]
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, None] / 256
    image = tiles.transpose(0, 3, 1, 2).astype(np.float64)
    for level in laplacian_pyramid(tiles)[:-1]:
        smaller = ndimage.convolve(image, kernel, mode="mirror")[:, :, ::2, ::2]
        spread = np.zeros_like(image)
        spread[:, :, ::2, ::2] = smaller
        np.testing.assert_allclose(level, image - ndimage.convolve(spread, 4 * kernel, mode="mirror"), atol=1e-3)
        image = smaller
    np.testing.assert_allclose(laplacian_pyramid(tiles)[-1], image, atol=1e-3)


@pytest.mark.parametrize(("size", "levels"), [(32, 2), (64, 3), (256, 4)])
def test_the_pyramid_is_mmagics_too(size: int, levels: int) -> None:
    """Its code has torch convolve with the 5 × 5 kernel and zeros beyond the edges, and interpolate to the nearest."""
    tiles = synthetic(2, size)[0]
    kernel = torch.outer(*[torch.tensor([1.0, 4, 6, 4, 1])] * 2).expand(3, 1, 5, 5) / 256
    image = torch.from_numpy(tiles.transpose(0, 3, 1, 2).astype(np.float32)) / 127.5 - 1
    *finer, coarsest = laplacian_pyramid(tiles, MMAGIC)
    assert len(finer) == levels - 1
    for level in finer:
        smaller = conv2d(image, kernel, padding=2, stride=2, groups=3)
        enlarged = conv2d(interpolate(smaller, scale_factor=2), kernel, padding=2, groups=3)
        np.testing.assert_allclose(level / 127.5, image - enlarged, atol=1e-5)
        image = smaller
    np.testing.assert_allclose(coarsest / 127.5, image, atol=1e-5)


def test_the_sliced_distance_is_the_mean_of_scipys_distances_along_the_directions() -> None:
    stats = pytest.importorskip("scipy.stats")
    first, second = synthetic(3, 32)[0], synthetic(3, 32, seed=1)[0]
    one, two = descriptors(first, 0)[1], descriptors(second, 1)[1]
    along = []
    for repeat in range(4):
        directions = generator(0, Purpose.JUDGE, step=1, part=repeat).standard_normal((147, 128))
        directions /= np.linalg.norm(directions, axis=0)
        along += [stats.wasserstein_distance(one @ ray, two @ ray) for ray in directions.T]
    reals, fakes = SlicedSide(first, 0, keeps=True), SlicedSide(second, 1)
    assert sliced_distances(reals, fakes)[16] == pytest.approx(1000 * np.mean(along), rel=1e-4)
    assert sliced_distances(reals, fakes) == sliced_distances(SlicedSide(first, 0), fakes), "kept or made anew"


def test_descriptors_are_pggans() -> None:
    """128 patches of 7 × 7 per image, cut out of the level, each channel of mean 0 and deviation 1 over the set."""
    tiles = synthetic(4, 32)[0]
    image_levels, found = laplacian_pyramid(tiles), descriptors(tiles, 0)
    assert [len(level) for level in found] == [4 * 128, 4 * 128]
    for image, patches in zip(image_levels, found, strict=True):
        by_channel = patches.reshape(-1, 3, 49)
        np.testing.assert_allclose(by_channel.mean(axis=(0, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(by_channel.std(axis=(0, 2)), 1, atol=1e-4)
        windows = np.lib.stride_tricks.sliding_window_view(image[1, 0], (7, 7)).reshape(-1, 49)
        patch = by_channel[130, 0]  # the second image's, in another scale
        likeness = [np.corrcoef(patch, window)[0, 1] for window in windows]
        assert max(likeness) > 0.9999


@pytest.mark.parametrize(("size", "levels"), [(28, [28]), (50, [50, 25]), (64, [64, 32, 16]), (112, [112, 56, 28])])
def test_the_pyramid_ends_above_sixteen_pixels_or_at_an_odd_size(size: int, levels: list[int]) -> None:
    assert level_sizes(size) == levels


def test_precision_recall_density_and_coverage_are_their_definitions() -> None:
    reals, fakes = features(40, 3, 0), features(30, 3, 1, shift=1.0)

    def radius(points: Numbers, index: int, neighbour: int) -> float:
        return float(np.sort([np.linalg.norm(points[index] - other) for other in points])[neighbour])

    def inside(point: Numbers, points: Numbers, neighbour: int) -> list[bool]:
        return [bool(np.linalg.norm(point - centre) <= radius(points, i, neighbour)) for i, centre in enumerate(points)]

    found = overlap(reals, fakes)
    assert found.precision == pytest.approx(np.mean([any(inside(fake, reals, 3)) for fake in fakes]))
    assert found.recall == pytest.approx(np.mean([any(inside(real, fakes, 3)) for real in reals]))
    assert found.density == pytest.approx(np.mean([sum(inside(fake, reals, 5)) / 5 for fake in fakes]))
    assert found.coverage == pytest.approx(np.mean(np.any([inside(fake, reals, 5) for fake in fakes], axis=0)))


@pytest.mark.parametrize("size", [28, 64])
def test_ms_ssim_is_pggans(size: int) -> None:
    """Its code convolves with a Gaussian of min(11, size) pixels in two dimensions at every scale."""
    signal = pytest.importorskip("scipy.signal")
    tiles = synthetic(6, size)[0]
    tiles[1] = tiles[0] // 2 + 60
    tiles[3] = np.roll(tiles[2], 1, axis=0)
    one, two = tiles[0::2].astype(np.float64), tiles[1::2].astype(np.float64)
    count, product = scales(size), np.ones(3)
    for scale in range(count):
        width = min(11, one.shape[1])
        places = np.arange(width) - (width - 1) / 2
        bell = np.exp(-(places**2) / (2 * (width * 1.5 / 11) ** 2))
        window = (np.outer(bell, bell) / bell.sum() ** 2)[None, :, :, None]

        def blurred(images: Numbers, window: Numbers = window) -> Numbers:
            result: Numbers = signal.fftconvolve(images, window, mode="valid")
            return result

        mean_one, mean_two = blurred(one), blurred(two)
        shared = 2 * (blurred(one * two) - mean_one * mean_two) + (0.03 * 255) ** 2
        own = blurred(one**2) - mean_one**2 + blurred(two**2) - mean_two**2 + (0.03 * 255) ** 2
        light = (2 * mean_one * mean_two + (0.01 * 255) ** 2) / (mean_one**2 + mean_two**2 + (0.01 * 255) ** 2)
        last = scale == count - 1
        figure = np.mean(light * shared / own if last else shared / own, axis=(1, 2, 3))
        product *= np.clip(figure, 0, None) ** (
            SCALE_WEIGHTS[scale] * SCALE_WEIGHTS.sum() / SCALE_WEIGHTS[:count].sum()
        )
        if last:
            break
        one, two = ((x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4 for x in (one, two))
    assert ms_ssim(tiles) == pytest.approx(product.mean(), rel=1e-3)


def test_ms_ssim_of_equal_tiles_is_one_and_a_64_pixel_tile_has_all_five_scales() -> None:
    assert ms_ssim(np.repeat(synthetic(4, 32)[0], 2, axis=0)) == pytest.approx(1, abs=1e-4)
    assert (scales(64), scales(28), scales(256)) == (5, 3, 5)


def test_the_radial_distance_is_that_of_white_noise_by_its_variance() -> None:
    """White noise is equally strong at every frequency, so twice the deviation is ln 4 in each ring."""
    chance = np.random.Generator(np.random.Philox(0)).standard_normal((64, 32, 32, 2))
    quiet, loud = (np.rint(127.5 + level * chance).astype(np.uint8) for level in (15, 30))
    assert radial_distance(log_power(quiet), log_power(loud)) == pytest.approx(np.log(4), rel=0.02)


@pytest.mark.parametrize("size", [28, 64])
def test_the_checkerboard_index_knows_each_grid_by_its_frequency(size: int) -> None:
    noise = np.random.Generator(np.random.Philox(0)).normal(128, 10, (16, size, size, 1))
    rows, columns = np.indices((size, size))
    plain = checkerboard_index(log_power(noise.astype(np.uint8)))
    assert np.abs(plain).max() < 1
    for number, (down, right) in enumerate(STRIDE_FREQUENCIES):
        grid = 8 * np.cos(2 * np.pi * (down * rows + right * columns))[None, :, :, None]
        index = checkerboard_index(log_power((noise + grid).astype(np.uint8)))[0]
        assert index.argmax() == number
        assert index[number] > 2


def test_blur_and_noise_leave_the_checkerboard_score_where_the_grid_raises_it() -> None:
    tiles, kinds = synthetic(64)
    clean = log_power(tiles)
    grid, blurred, noisy = (
        checkerboard_distance(clean, log_power(DAMAGES[name](tiles, kinds, 1)))
        for name in ("checkerboard", "blur", "noise")
    )
    assert grid > 2 * max(blurred, noisy)


def test_the_encoder_is_scaled_on_its_tiles_and_the_same_every_time() -> None:
    tiles = synthetic(64, 32)[0]
    encoder, again = fit_encoder(tiles), fit_encoder(tiles)
    assert all(np.array_equal(one.weights, two.weights) for one, two in zip(encoder, again, strict=True))
    shallow, deep = extract(tiles, encoder)
    assert (shallow.shape, deep.shape) == ((64, 64), (64, 128))
    np.testing.assert_allclose(extract(tiles[:7], encoder).deep, deep[:7], rtol=1e-4, atol=1e-4)
