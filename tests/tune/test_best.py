"""Settings are ranked by their mean over seeds."""

import pytest

from satgan.errors import InputError, SatganError
from satgan.judge.score import Score, overall
from tests.tune.plans import found, row
from tune.best import judged_by, standings, table, verdicts


def test_the_mean_over_seeds_ranks_and_not_the_luckiest_trial() -> None:
    ranked = standings(found(row(0, 1, 2.0), row(0, 2, 12.0), row(1e-4, 1, 4.0), row(1e-4, 2, 5.0)))
    assert [one.values["recipe.generator_l2"] for one in ranked] == [1e-4, 0]
    assert ranked[0].mean == pytest.approx(20**0.5)
    assert ranked[0].spread == pytest.approx(0.5**0.5)
    assert [one.trials[0].seed for one in ranked] == [1, 1]
    assert "2 complete" in table(ranked, ["recipe.generator_l2"], 1)


def test_a_mean_is_one_figure_wherever_it_is_told() -> None:
    """Of a setting, and of the level of the only option that it has."""
    told = verdicts(found(row(0, 1, 30.0), row(0, 2, 40.0), row(1e-4, 1, 10.0), row(1e-4, 2, 20.0)))
    assert told[0].startswith("the base setting (recipe.generator_l2 = 0.0001) scores 14.14 ")
    assert "0.0001 scores 14.14, 0 34.64" in told[1]


def test_trials_that_were_judged_by_other_numbers_of_tiles_are_told_not_to_compare() -> None:
    assert judged_by(found(row(0, 1, 5.0, tiles=1024), row(1e-4, 1, 6.0, tiles=1024))) == "scores by 1,024 tiles a side"
    unlike = judged_by(found(row(0, 1, 5.0, tiles=24), row(1e-4, 1, 6.0, tiles=1024)))
    assert unlike == "scores by 24 and 1,024 tiles a side: these do not compare"
    assert judged_by(found(row(0, 1, None, "missing"))) == ""


def test_a_setting_whose_trials_did_not_all_reach_the_end_comes_last() -> None:
    """Whatever the mean of those that did: one that diverges from one seed of two is no winner."""
    ranked = standings(found(row(0, 1, 2.0), row(0, 2, None, "diverged"), row(1e-4, 1, 8.0), row(1e-4, 2, 8.0)))
    assert [one.whole for one in ranked] == [True, False]
    assert ranked[1].states == "1 complete, 1 diverged"


def test_another_score_ranks_by_its_ratio() -> None:
    ranked = standings(found(row(0, 1, 2.0), row(1e-4, 1, 5.0)), by="spectrum")
    assert [one.mean for one in ranked] == pytest.approx([95.0, 98.0])
    with pytest.raises(InputError, match="'spectum'") as raised:
        standings(found(row(0, 1, 2.0)), by="spectum")
    assert "spectrum" in raised.value.remedy


def test_a_bad_base_is_said_and_a_good_one_is_kept() -> None:
    bad = found(
        *(row(1e-1, seed, 30.0 + seed) for seed in (1, 2)),
        *(row(0, seed, 5.0 + seed / 10) for seed in (1, 2)),
        base=1e-1,
    )
    assert "larger than changing the seed" in verdicts(bad)[0]
    assert "change to recipe.generator_l2 = 0" in verdicts(bad)[0]
    equal = found(row(1e-4, 1, 5.0), row(1e-4, 2, 6.0), row(0, 1, 5.8), row(0, 2, 5.0))
    assert "keep the base setting" in verdicts(equal)[0]
    best = found(row(1e-4, 1, 5.0), row(1e-4, 2, 5.1), row(0, 1, 9.0), row(0, 2, 9.0))
    assert "none is better" in verdicts(best)[0]
    gone = found(row(1e-1, 1, None, "diverged", why="step 3: real_loss = nan"), row(0, 1, 5.0), base=1e-1)
    assert "has no score (1 diverged): the best one is recipe.generator_l2 = 0" in verdicts(gone)[0]
    assert "gl2_0.1-s1 diverged: step 3: real_loss = nan" in verdicts(gone)


def test_a_setting_that_gets_worse_as_it_trains_is_found_at_the_end() -> None:
    """Its best checkpoint is an early one, as good as those of others."""
    ill = [row(1e-1, seed, 5.0 + seed / 10, curve=[(10, 5.0 + seed / 10), (20, 11.0 + seed / 10)]) for seed in (1, 2)]
    well = [row(0, seed, 5.0 + seed / 10) for seed in (1, 2)]
    sweep = found(*ill, *well, base=1e-1)
    assert standings(sweep)[0].mean == standings(sweep)[1].mean == pytest.approx(5.15, abs=1e-3)
    assert [one.mean for one in standings(sweep, "last")] == pytest.approx([5.15, 11.15], abs=1e-3)
    told = verdicts(sweep)
    assert "change to" not in told[0]
    assert told[1].startswith(
        "at the end of the runs (--by last) the base setting (recipe.generator_l2 = 0.1) scores 11"
    )
    assert told[1].endswith("change to recipe.generator_l2 = 0")
    assert any(line.startswith("at the end of the runs recipe.generator_l2: 0 scores 5.15") for line in told)
    assert "at the end" not in " ".join(verdicts(found(*well, row(1e-1, 1, 7.0))))


def test_runs_that_all_end_without_a_score_are_not_ranked_by_their_best_ones() -> None:
    """Those are what `--by last` does not mean."""
    broken = [(10, 5.0), (20, float("inf"))]
    sweep = found(*(row(value, seed, 5.0, curve=broken) for value in (0, 1e-4) for seed in (1, 2)))
    with pytest.raises(SatganError, match="after its last step, 20, is not a finite number"):
        standings(sweep, "last")
    assert any("at the end of the runs (--by last) no trial has a score" in line for line in verdicts(sweep))
    one = found(row(0, 1, 5.0, curve=broken), row(1e-4, 1, 6.0))
    assert [(one.mean, one.whole) for one in standings(one, "last")] == [(6.0, True), (float("inf"), False)]


def test_runs_in_which_nothing_comes_near_the_reals_are_too_short_to_rank_by() -> None:
    def with_coverage(*values: float) -> str:
        scores = [{"coverage": {"value": value, "floor": 0.95, "ratio": 20.0}} for value in values]
        rows = [row(0, seed, 5.0, scores=one) for seed, one in enumerate(scores, 1)]
        return " ".join(verdicts(found(*rows, row(1e-4, 1, 6.0))))

    assert "no trial's tiles lie near more than 6% of the reals" in with_coverage(0.01, 0.06)
    assert "too short" not in with_coverage(0.01, 0.2)
    assert "too short" not in with_coverage(), "it is not known"


def test_what_the_doctor_finds_in_most_trials_of_the_base_setting_is_told() -> None:
    """A share of the loss is large (S25) long before a score shows it."""
    share = {"rule": "S25", "level": "warning", "found": "the L2 term is 60%", "action": "--recipe.generator-l2 0.01"}
    ill = [row(1e-1, seed, 5.0, findings=[share]) for seed in (1, 2)]
    well = [row(0, seed, 5.0) for seed in (1, 2)]
    (told,) = (line for line in verdicts(found(*ill, *well, base=1e-1)) if "the doctor" in line)
    assert told == (
        "the doctor, in 2 of 2 trials of the base setting: S25 warning: the L2 term is 60% (--recipe.generator-l2 0.01)"
    )
    assert "the doctor" not in " ".join(verdicts(found(*ill, *well, base=0)))
    assert "the doctor" not in " ".join(verdicts(found(ill[0], row(1e-1, 2, 5.0), *well, base=1e-1))), "not in most"


def test_a_sweep_that_is_not_through_says_so_first() -> None:
    told = verdicts(
        found(row(0, 1, 5.0), row(0, 2, 5.0), row(1e-4, 1, None, "missing"), row(1e-4, 2, 4.0, "broken off"))
    )
    assert told[0].startswith("2 of 4 trials have not come to their end (1 missing, 1 broken off)")
    assert "come to their end" not in verdicts(found(row(0, 1, 5.0), row(0, 2, None, "diverged")))[0]


def test_no_score_at_all_is_told_with_every_trials_reason() -> None:
    with pytest.raises(InputError, match="has begun"):
        standings(found(row(0, 1, None, "missing")))
    failed = row(0, 1, None, "failed", why="no tiles"), row(0, 2, None, "diverged", why="step 3: loss = nan")
    with pytest.raises(SatganError, match=r"1 failed, 1 diverged(.|\n)*no tiles(.|\n)*loss = nan"):
        standings(found(*failed))
    with pytest.raises(SatganError, match="not a finite number"):
        standings(found(row(0, 1, None, why="its score is not a finite number")))


def test_a_ratio_that_is_no_number_makes_the_score_infinite() -> None:
    """And not as good as real."""
    scores = {"spectrum": Score(1.0, 1.0, 2.0), "recall": Score(float("nan"), 1.0, float("nan"))}
    assert overall(scores) == float("inf")
    assert overall({"spectrum": Score(1.0, 1.0, 2.0)}) == pytest.approx(2.0)
