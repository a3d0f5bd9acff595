"""The overall score rises with every kind of damage; a reference survives its bytes; bad input is refused."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from satgan.errors import CorruptData, TilesError
from satgan.judge.judgement import judge
from satgan.judge.reference import Reference, load_reference, make_reference, save_reference
from satgan.judge.score import SCORES, Kind, ratio, score_names
from satgan.judge.spectrum import checkerboard_index, log_power
from tests.judge.damage import DAMAGES, STRENGTHS, synthetic
from tests.judge.imagery import real_tiles

COUNT = 128


class Ladder(NamedTuple):
    """A reference, and tiles that have yet to be damaged."""

    reference: Reference
    tiles: NDArray[np.uint8]
    kinds: NDArray[np.int64]
    undamaged: float


@pytest.fixture(scope="module", params=["synthetic", "real"])
def ladder(request: pytest.FixtureRequest) -> Ladder:
    if request.param == "real":
        tiles, kinds = real_tiles(request.getfixturevalue("shared_data"), 3 * COUNT)
    else:
        tiles, kinds = synthetic(3 * COUNT, size=32)
    reference, fakes = make_reference(tiles[: 2 * COUNT]), tiles[2 * COUNT :]
    return Ladder(reference, fakes, kinds[2 * COUNT :], judge(fakes, reference).score)


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_overall_score_rises_with_the_strength_of_each_damage(ladder: Ladder, damage: str) -> None:
    rungs = [DAMAGES[damage](ladder.tiles, ladder.kinds, strength) for strength in range(STRENGTHS)]
    scores = [ladder.undamaged, *(judge(fakes, ladder.reference).score for fakes in rungs)]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)
    assert scores[0] < 1.5 < 2 < scores[-1]


def test_a_reference_read_back_gives_the_same_judgement(ladder: Ladder) -> None:
    again = load_reference(save_reference(ladder.reference))
    assert judge(ladder.tiles, again) == judge(ladder.tiles, ladder.reference)


def test_a_damaged_reference_is_refused(ladder: Ladder) -> None:
    raw = bytearray(save_reference(ladder.reference))
    raw[len(raw) // 2] ^= 1
    with pytest.raises(CorruptData, match="sha256"):
        load_reference(bytes(raw))


def test_a_judge_in_a_thread_gives_the_same_figures_and_leaves_the_global_state_alone(ladder: Ladder) -> None:
    def state() -> list[object]:
        return [torch.get_num_threads(), torch.random.get_rng_state().tolist(), str(np.random.get_state())]

    before = state()
    with ThreadPoolExecutor(1) as thread:
        judgement = thread.submit(judge, ladder.tiles, ladder.reference).result()
    assert judgement.score == ladder.undamaged
    assert state() == before


def test_the_reals_themselves_are_no_worse_than_reals(ladder: Ladder) -> None:
    assert judge(ladder.reference.half.tiles, ladder.reference).score < 1.01


def test_a_perfect_generator_scores_about_one() -> None:
    """Fakes from the distribution of the reals: over several references and fakes the mean ratio of the distances is
    near 1."""
    tiles, _ = synthetic(15 * 64, size=32)
    judgements = [
        judge(tiles[first + 128 : first + 192], make_reference(tiles[first : first + 128]))
        for first in range(0, 15 * 64, 192)
    ]
    names = [name for name in SCORES if SCORES[name].kind is Kind.DISTANCE]
    ratios = [judgement.scores[name].ratio for judgement in judgements for name in names]
    assert 0.6 < np.exp(np.mean(np.log(ratios))) < 1.6
    assert np.mean([judgement.score for judgement in judgements]) < 1.5


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 2), (50, 3), (56, 4), (64, 16), (256, 1)])
def test_any_size_and_number_of_channels_is_judged(size: int, channels: int) -> None:
    tiles, _ = synthetic(60, size, channels)
    judgement = judge(tiles[40:], make_reference(tiles[:40]))
    assert list(judgement.scores) == score_names(size)
    assert all(np.isfinite(score).all() for score in judgement.scores.values())


def test_blank_tiles_are_judged_as_bad_and_not_as_an_error() -> None:
    tiles, _ = synthetic(80, 32)
    judgement = judge(np.full_like(tiles[:40], 128), make_reference(tiles))
    assert 5 < judgement.score < np.inf


@pytest.mark.parametrize(
    ("fakes", "said"),
    [
        (np.zeros((40, 32, 32, 1), np.uint8), "32 × 32 × 1, the real tiles 32 × 32 × 3"),
        (np.zeros((40, 16, 16, 3), np.uint8), "16 × 16 × 3, the real tiles 32 × 32 × 3"),
        (np.zeros((30, 32, 32, 3), np.uint8), "30 fakes against 40 reals"),
        (np.zeros((3, 32, 32, 3), np.uint8), "fakes: 3"),
        (np.zeros((40, 32, 32, 3), np.float32), "float32"),
    ],
)
def test_fakes_that_do_not_fit_are_refused(fakes: NDArray[np.uint8], said: str) -> None:
    tiles, _ = synthetic(80, 32)
    with pytest.raises(TilesError, match=said):
        judge(fakes, make_reference(tiles))


def test_too_few_reals_are_refused() -> None:
    with pytest.raises(TilesError, match="39 real tiles"):
        make_reference(synthetic(39, 32)[0])


def test_a_share_is_not_resolved_finer_than_a_tile() -> None:
    assert ratio(Kind.SHARE, 1.0, 1.0, 100) == 1
    assert ratio(Kind.SHARE, 0.0, 1.0, 100) == pytest.approx(101)
    assert ratio(Kind.DISTANCE, 0.0, 0.0, 100) == 1


@pytest.mark.parametrize("size", range(16, 33))
def test_every_size_has_its_stride_frequencies(size: int) -> None:
    tiles = np.random.default_rng(size).integers(0, 256, (24, size, size, 1), dtype=np.uint8)
    assert np.isfinite(checkerboard_index(log_power(tiles))).all()
