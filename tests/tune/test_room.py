"""How many trials run together follows from what each machine has."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import ray
import yaml

from satgan.config import load_config
from satgan.errors import InputError
from satgan.train.ray_cluster import slots_of
from tests.tune.plans import plan_of
from tests.waiting import PATIENCE_SECONDS
from tune.room import check_placed, slots, trials_at_once, with_shared_prices

none = partial(slots_of, {"max_workers": 0, "head_node_type": "head", "available_node_types": {"head": {}}})
TWO = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 2.0}]


def test_a_need_fits_on_one_machine_or_not_at_all() -> None:
    assert slots([{"CPU": 3.0}, {"CPU": 3.0}], {"CPU": 2.0}) == 2
    assert slots([{"CPU": 1.0}] * 8, {"CPU": 2.0}) == 0
    assert slots(TWO, {"CPU": 1.0, "GPU": 0.25}) == 16
    assert slots([{"CPU": 3.0, "GPU": 1.0}], {"CPU": 1.0, "GPU": 0.1}) == 3, "cores run out first"


def test_trials_of_several_workers_take_a_gpu_each() -> None:
    two_each = plan_of(workers=2, gpus=None)
    assert trials_at_once(two_each, TWO, True, None, none) == 2
    assert trials_at_once(two_each, TWO, False, None, none) == 8
    assert trials_at_once(plan_of(workers=3, gpus=None), TWO, True, None, none) == 1


def test_what_is_wished_is_a_limit_only() -> None:
    alone = plan_of(gpus=0.5)
    assert [trials_at_once(alone, TWO, True, most, none) for most in (None, 3, 99)] == [8, 3, 8]


@pytest.mark.parametrize("workers", [0, 5])
def test_no_room_for_one_is_told_with_what_there_is(workers: int) -> None:
    plan = plan_of(workers=workers, gpus=0.5)
    with pytest.raises(InputError, match=r"2 GPU\(s\)|0 GPU\(s\)"):
        trials_at_once(plan, TWO if workers else [{"CPU": 4.0}], True, None, none)


def test_machines_that_the_cluster_will_start_count() -> None:
    """By the shipped file there is no more than a head without CPUs when a sweep begins."""
    tree = yaml.safe_load(Path(__file__).parents[2].joinpath("cluster.yaml").read_text())
    for name, kind in tree["available_node_types"].items():  # as `ray up` fills them in
        kind["resources"] = {"CPU": 0} if name == tree["head_node_type"] else {"CPU": 8, "GPU": 1}
    to_come, head = partial(slots_of, tree), {"CPU": 0.0}
    one_up = [head, {"CPU": 8.0, "GPU": 1.0}]
    for machines in ([head], one_up):
        assert trials_at_once(plan_of(gpus=1), machines, True, None, to_come) == 8
        assert trials_at_once(plan_of(gpus=0.25), machines, True, None, to_come) == 32
        assert trials_at_once(plan_of(gpus=None, workers=3), machines, True, None, to_come) == 2
    with pytest.raises(InputError, match="starts none with more"):
        trials_at_once(plan_of(gpus=0, cpus=9.0), one_up, False, None, to_come)


def test_trials_pay_the_head_once_together_and_each_its_share_of_a_gpu() -> None:
    config = load_config("demo", {"train": {"head_price": 0.5, "worker_price": 2}})
    for gpus, workers, price in ((0.25, 0, 0.5), (1, 0, 2.0), (0, 0, 2.0), (None, 2, 2.0)):
        plan = with_shared_prices(plan_of(base_config=config, gpus=gpus, workers=workers), 4)
        train = plan.trial({}, 1).config.train
        assert (train.head_price, train.worker_price) == (0.125, price)


@pytest.fixture(scope="module")
def two_cores() -> Iterator[None]:
    """A local Ray."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_workers_are_given_the_time_in_which_machines_come(two_cores: None) -> None:
    patient, hurried = (load_config("demo", {"train": {"start_seconds": seconds}}) for seconds in (PATIENCE_SECONDS, 1))
    check_placed(plan_of(workers=2, base_config=patient), 1, False)
    with pytest.raises(InputError, match="no room for 1 s"):
        check_placed(plan_of(workers=2, base_config=hurried), 2, False)
