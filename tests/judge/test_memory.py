"""Copies are found, in any of the eight symmetries, and blur is not taken for copying."""

import numpy as np

from satgan.judge.judgement import judge
from satgan.judge.memory import nearness, symmetries, thumbnails
from satgan.judge.reference import make_reference
from tests.judge.damage import DAMAGES, synthetic


def test_a_copy_in_any_symmetry_has_nearness_zero() -> None:
    training = thumbnails(synthetic(40, 64)[0])
    for form in symmetries(training):
        assert nearness(form[:20], training) < 0.01


def test_the_eight_symmetries_are_all_different() -> None:
    forms = symmetries(thumbnails(synthetic(1, 32)[0]))
    assert len({form.tobytes() for form in map(np.ascontiguousarray, forms)}) == 8


def test_the_nearest_is_found_as_by_plain_search() -> None:
    tiles, training = thumbnails(synthetic(3, 32)[0]), thumbnails(synthetic(30, 32, seed=1)[0])
    expected = []
    for tile in tiles:
        turned = [form[0] for form in symmetries(tile[None])]
        distances = sorted(min(float(np.linalg.norm(form - known)) for form in turned) for known in training)
        expected.append(distances[0] / np.mean(distances[:16]))
    np.testing.assert_allclose(nearness(tiles, training), np.mean(expected), rtol=1e-4)


def test_copies_and_half_copies_show_and_new_or_blurred_tiles_do_not() -> None:
    tiles, kinds = synthetic(240, 32)
    reals, fakes = tiles[:160], tiles[160:]
    reference = make_reference(reals)

    def ratio(judged: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
        return judge(judged, reference).scores["memory"].ratio

    assert ratio(reals[:80][:, ::-1]) < 0.05
    assert ratio(np.concatenate([fakes[:40], reals[80:120]])) < 0.6
    assert 0.95 < ratio(fakes) < 1.05
    assert 0.9 < ratio(DAMAGES["blur"](fakes, kinds[160:], 2)) < 1.1


def test_held_out_tiles_give_the_floor_when_there_are_any() -> None:
    tiles, _ = synthetic(200, 32)
    reals, held_out = tiles[:80], tiles[80:]
    expected = nearness(thumbnails(held_out), thumbnails(reals))
    assert make_reference(reals, held_out).floors["memory"] == expected
    assert make_reference(reals, reals).floors["memory"] < 0.01  # no held-out tiles at all
