"""Under Ray Train a run outlives the loss of a worker while the workers are finding each other."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from satgan.train.journal import events_in
from satgan.train.ray_job import launch
from satgan.train.start import prepare
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of

FATE = "TEST_FATE"
"""Names the file that tells what befalls worker 1 when it next meets the others."""


def fated() -> Callable[[], None]:
    """What each of Ray's processes does as it starts; made here so that it travels as it is: they know no tests."""

    def befall() -> None:
        import torch.distributed as dist

        meet = dist.init_process_group

        def met(*given: Any, **named: Any) -> None:
            fate = Path(os.environ[FATE])
            if named["rank"] == 1 and fate.exists():
                what = fate.read_text()
                fate.unlink()
                if what == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                os.environ["GLOO_SOCKET_IFNAME"] = "no-such-interface"
            meet(*given, **named)

        dist.init_process_group = met

    return befall


@pytest.fixture(scope="module")
def fate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A local Ray with room for two workers, and not for one more of which Ray would keep the room."""
    path = tmp_path_factory.mktemp("meeting") / "fate"
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    patch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "3")
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, object_store_memory=10**8, log_to_driver=False,
        runtime_env={"worker_process_setup_hook": fated(), "env_vars": {FATE: str(path)}},
    )  # fmt: skip
    yield path
    ray.shutdown()
    patch.undo()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("what", "why"), [("killed", "worker 1 (process "), ("unreachable", "worker 1 of 2 did not find the others")]
)
def test_a_worker_that_is_lost_among_the_greetings_is_replaced(
    make_config: MakeConfig, fate: Path, what: str, why: str
) -> None:
    alone = run(make_config(train={"name": "alone"}))
    train = {"workers": 2, "restarts": 1, "start_seconds": 30}
    config, _ = prepare(make_config(train=train), lambda text: None)
    fate.write_text(what)
    outcome = launch(config, lambda progress: None, lambda text: None)
    assert not fate.exists()
    assert weights_of(outcome.checkpoint) == weights_of(alone.checkpoint)
    assert journal_numbers(outcome.run) == journal_numbers(alone.run)
    told = events_in(Path(outcome.run, "journal.jsonl").read_bytes())
    (restart,) = [entry for entry in told if entry["event"] == "restart"]
    assert why in restart["why"]
