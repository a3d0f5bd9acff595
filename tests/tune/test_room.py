"""How many trials run together follows from what each machine has."""

import pytest

from satgan.errors import InputError
from tests.tune.plans import plan_of
from tune.room import slots, trials_at_once

TWO = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 2.0}]


def test_a_need_fits_on_one_machine_or_not_at_all() -> None:
    assert slots([{"CPU": 3.0}, {"CPU": 3.0}], {"CPU": 2.0}) == 2
    assert slots([{"CPU": 1.0}] * 8, {"CPU": 2.0}) == 0
    assert slots(TWO, {"CPU": 1.0, "GPU": 0.25}) == 16
    assert slots([{"CPU": 3.0, "GPU": 1.0}], {"CPU": 1.0, "GPU": 0.1}) == 3, "cores run out first"


def test_trials_of_several_workers_take_a_gpu_each() -> None:
    two_each = plan_of(workers=2, gpus=None)
    assert trials_at_once(two_each, TWO, True, None) == 2
    assert trials_at_once(two_each, TWO, False, None) == 8
    assert trials_at_once(plan_of(workers=3, gpus=None), TWO, True, None) == 1


def test_what_is_wished_is_a_limit_only() -> None:
    alone = plan_of(gpus=0.5)
    assert [trials_at_once(alone, TWO, True, most) for most in (None, 3, 99)] == [8, 3, 8]


@pytest.mark.parametrize("workers", [0, 5])
def test_no_room_for_one_is_told_with_what_there_is(workers: int) -> None:
    plan = plan_of(workers=workers, gpus=0.5)
    with pytest.raises(InputError, match=r"2 GPU\(s\)|0 GPU\(s\)"):
        trials_at_once(plan, TWO if workers else [{"CPU": 4.0}], True, None)
