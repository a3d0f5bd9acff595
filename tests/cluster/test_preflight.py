"""`satgan preflight`: hours, bytes and prices follow from the config, the machines and nothing else."""

import json
from pathlib import Path

import pytest

from satgan.__main__ import main
from satgan.cluster.preflight import INSIDE_LATENCY_SECONDS, NETWORK_LATENCY_SECONDS, Forecast, forecast
from satgan.cluster.prices import INSTANCES, Instance, dollars, instances
from satgan.cluster.speed import updates_of
from satgan.config import load_config
from satgan.errors import ConfigError
from satgan.tiles.shards import pack
from tests.train.conftest import made_tiles

HEAD, L4, FOUR = INSTANCES["m7i.large"], INSTANCES["g6.2xlarge"], INSTANCES["g6e.24xlarge"]


def of(workers: int | str, lanes: int = 8, machine: Instance = L4, tiles: int | None = None, **train: int) -> Forecast:
    config = load_config("dcgan", {"train": {"workers": workers, "lanes": lanes, **train}})
    return forecast(config, machine, HEAD, tiles, 1000.0)


def test_a_step_waits_for_the_worker_with_most_lanes() -> None:
    alone = of(1)
    assert alone.step_seconds["compute"] == pytest.approx(8 * 64 / 1000)
    assert alone.step_seconds["messages"] == 0
    assert alone.seconds == pytest.approx(20_000 * 8 * 64 / 1000)
    assert [of(workers).lanes_per_worker for workers in (1, 2, 3, 5, 8)] == [8, 4, 3, 2, 2 // 2]


def test_messages_are_those_of_an_all_reduce_between_machines() -> None:
    """A worker with one of W lanes tells (W - 1) / W of each update's message twice."""
    eight = of(8)
    (often, discriminator), (twice, generator) = (
        (update.often, update.parts) for update in updates_of(load_config("dcgan"))
    )
    assert (often, twice) == (2.3, 2)
    numbers = (2.3 * sum(part.bytes for part in discriminator) + 2 * sum(part.bytes for part in generator)) / 4
    updates = 2.3 * len(discriminator) + 2 * len(generator)
    waits = 2 * 3 * NETWORK_LATENCY_SECONDS * updates  # two collectives each, over 2³ workers
    assert eight.step_seconds["messages"] == pytest.approx(2 * 7 / 8 * 4 * numbers / (5e9 / 8) + waits)
    one_machine = of(4, lanes=4, machine=FOUR).step_seconds
    waits = 2 * 2 * INSIDE_LATENCY_SECONDS * updates
    assert one_machine["messages"] == pytest.approx(2 * 3 / 4 * 4 * numbers / 32e9 + waits)
    assert one_machine["network"] == one_machine["reading"]


def test_workers_that_wait_for_messages_are_held_against_one_that_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    """More machines may be slower than one of them."""
    assert of(1).times_one_worker == 1
    few, many = of(8), of(8, lane_batch=8)
    assert few.times_one_worker == pytest.approx(of(1).seconds / few.seconds)
    assert many.times_one_worker < 1 < of(8, lane_batch=512).times_one_worker < 8
    words = ["preflight", "dcgan", "--train.lanes", "8", "--train.lane-batch", "8", "--worker-tiles-per-second", "1000"]
    assert main([*words, "--workers", "8"]) == 0
    assert "--workers 1 takes no longer" in capsys.readouterr().out
    assert main([*words, "--workers", "1"]) == 0
    assert "one worker" not in capsys.readouterr().out


@pytest.mark.parametrize("speed", ["0", "-5", "nan", "inf", "fast"])
def test_a_speed_that_is_none_is_refused(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", "demo", f"--worker-tiles-per-second={speed}"]) == 2
    assert "invalid speed" in capsys.readouterr().err


def test_what_bounds_a_run_is_named() -> None:
    assert of(1).bound.startswith("computing")
    assert of(8, lane_batch=8).bound.startswith("messages")
    slow = L4.model_copy(update={"network_gigabits_per_second": 0.01})
    assert of(1, machine=slow).bound.startswith("reading tiles")


def test_tiles_are_read_once_where_they_stay() -> None:
    tile = 64 * 64 * 3
    assert of(8, tiles=1_000_000).s3_bytes_per_machine == 1_000_000 * tile / 8
    assert of(8).s3_bytes_per_machine == 20_000 * 64 * tile
    assert of(8, tiles=10**9).s3_bytes_per_machine == 20_000 * 64 * tile


def test_prices_are_by_the_second_with_the_head() -> None:
    assert dollars(1, 3600) == 60  # a minute at least
    assert dollars(90, 3600, machines=2) == 180
    found = of(8)
    hours = found.seconds / 3600
    assert found.dollars_on_demand == pytest.approx(hours * (0.12075 + 8 * 1.22249))
    assert found.dollars_on_spot == pytest.approx(hours * (0.12075 + 8 * 0.4618))


def test_the_users_prices_lie_over_the_table(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("g6.2xlarge: {spot_dollars_per_hour: 0.1}\n")
    table = instances(path)
    assert table["g6.2xlarge"] == L4.model_copy(update={"spot_dollars_per_hour": 0.1})
    assert table["m7i.large"] == HEAD
    for text in ("g6.2xlarge: {spot: 1}", "x1.large: {vcpus: 2}", "g6.2xlarge: {spot_dollars_per_hour: -1}", "- 1"):
        path.write_text(text)
        with pytest.raises(ConfigError, match="--prices"):
            instances(path)


def test_the_verb_tells_it_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    destination = str(tmp_path / "set")
    pack(made_tiles(64, 64, 3), destination, size=64, channels=3, seed=1, source="made", cut={})
    words = ["preflight", "article", "--workers", "8", "--train.lanes", "8", "--tiles", destination]
    assert main(words) == 0
    told = capsys.readouterr().out
    for what in ("tiles/s", " h\n", "GB of tiles per machine", "GPU memory", "checkpoints", "on spot", "bound by"):
        assert what in told
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["machines"] == 8
    assert found["s3_bytes_per_machine"] == 64 * 64 * 64 * 3 / 8
    assert main(["preflight", "--instance", "g6.2xlage"]) == 2
    assert "g6.2xlarge" in capsys.readouterr().err
    assert main(["preflight", "--workers", "0"]) == 2
    assert main(["preflight", "--instance", "m7i.large"]) == 2
    assert "--worker-tiles-per-second" in capsys.readouterr().err
