"""A run's numbers follow from its config and seed alone: not from stops, prefetch or lanes at a time."""

import json
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from satgan.config import Config
from satgan.errors import CheckpointError
from satgan.gallery.draw import draw_tiles, open_checkpoint, sample_noise
from satgan.gan.noise import Draws, draw
from satgan.tiles.store import open_store
from satgan.tiles.stream import TileStream
from satgan.tiles.tile_set import open_tile_set
from satgan.train.checkpoint import complete_steps
from satgan.train.feed import Feed
from satgan.train.lane_tree import lanes_of
from satgan.train.restored import generator_of, tensors_of
from satgan.train.start import prepare
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of
from tests.train.options import OPTIONS, TOGETHER


@pytest.mark.parametrize("options", OPTIONS)
def test_two_runs_of_one_config_are_bit_equal(make_config: MakeConfig, options: dict[str, Any]) -> None:
    train = options.get("train", {})
    outcomes = [run(make_config(**(options | {"train": train | {"name": name}}))) for name in ("first", "second")]
    assert weights_of(outcomes[0].checkpoint) == weights_of(outcomes[1].checkpoint)
    assert journal_numbers(outcomes[0].run) == journal_numbers(outcomes[1].run)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("stop", [1, 5, 7])
def test_stop_and_resume_equals_uninterrupted(make_config: MakeConfig, options: dict[str, Any], stop: int) -> None:
    train = options.get("train", {})
    whole = run(make_config(**(options | {"train": train | {"name": "whole"}})))
    run(make_config(**(options | {"train": train | {"name": "parts", "steps": stop}})))
    parts = run(make_config(**(options | {"train": train | {"name": "parts"}})))
    assert weights_of(whole.checkpoint) == weights_of(parts.checkpoint)
    assert journal_numbers(whole.run) == journal_numbers(parts.run)


def test_both_paths_and_the_history_were_walked(make_config: MakeConfig) -> None:
    """What the tests of this file compare is worth comparing."""
    numbers = [numbers for _, numbers in journal_numbers(run(make_config(train={"log_steps": 1})).run)]
    assert {entry["path_a"] for entry in numbers} == {0.0, 1.0}
    assert any("history_loss_before" in entry for entry in numbers)
    assert any("history_loss_before" not in entry for entry in numbers)


@pytest.mark.parametrize(
    "speed", [{"prefetch_steps": 1, "connections": 1}, {"prefetch_steps": 7, "connections": 5, "memory_megabytes": 1}]
)
def test_how_tiles_are_fetched_changes_nothing(make_config: MakeConfig, speed: dict[str, int]) -> None:
    usual = run(make_config(train={"name": "usual"}))
    other = run(make_config(train={"name": "other"}, tiles=speed))
    assert weights_of(usual.checkpoint) == weights_of(other.checkpoint)


@pytest.mark.parametrize(
    "cache",
    [{"cache": "memory"}, {"cache": "none"}, {"cache": "disk"}, {"cache": "disk", "memory_megabytes": 1}],
    ids=str,
)
def test_where_tiles_are_kept_changes_nothing(make_config: MakeConfig, tmp_path: Path, cache: dict[str, Any]) -> None:
    """12 steps of 16 tiles of 150 are more than an epoch; the second run finds what the first left on the disk."""
    usual = run(make_config(train={"name": "usual"}))
    for name in ("cold", "warm"):
        folder = {"cache_folder": str(tmp_path / "scratch")}
        other = run(make_config(train={"name": name}, tiles=cache | folder))
        assert weights_of(usual.checkpoint) == weights_of(other.checkpoint)
        assert journal_numbers(usual.run) == journal_numbers(other.run)
        entries = [json.loads(line) for line in (Path(other.run) / "journal.jsonl").read_text().splitlines()]
        assert [entry["cache"] for entry in entries if "cache" in entry] == [cache["cache"]]
    assert (tmp_path / "scratch").exists() == (cache["cache"] == "disk")


def test_the_reference_batch_is_the_sets_and_the_seeds(make_config: MakeConfig, tmp_path: Path) -> None:
    """S23: distinct real tiles, whoever reads them through whichever cache; in every checkpoint, and none too many."""
    batches = {}
    for seed in (1, 2, 3):
        gan = {"discriminator_norm": "virtual", "virtual_batch": 100}
        for cache, lanes in (("none", [0]), ("memory", [1, 3]), ("disk", [0, 1, 2, 3])):
            tiles = {"cache": cache, "cache_folder": str(tmp_path / "scratch")}
            config = make_config(gan=gan, tiles=tiles, train={"seed": seed})
            batches[seed, cache] = Feed(config, lanes, torch.device("cpu")).reference()
        assert torch.equal(batches[seed, "none"], batches[seed, "memory"])
        assert torch.equal(batches[seed, "none"], batches[seed, "disk"])
        assert len(torch.unique(batches[seed, "none"].flatten(1), dim=0)) == 100
    assert not torch.equal(batches[1, "none"], batches[2, "none"])
    saved = tensors_of(open_checkpoint(run(config).checkpoint), "discriminator.safetensors")["reference"]
    assert torch.equal(saved, batches[3, "none"])


def test_a_tile_drawn_by_virtual_norm_is_the_same_in_any_batch(make_config: MakeConfig) -> None:
    """S23: from a checkpoint, the averaged generator and the one as trained, bit for bit."""
    checkpoint = open_checkpoint(run(make_config(**TOGETHER)).checkpoint)
    drawn = sample_noise(7, 0, 70, 6)
    for which in ("average", "raw"):
        network = generator_of(checkpoint, which)
        together = draw_tiles(network, drawn)
        assert len(np.unique(together.reshape(70, -1), axis=0)) > 60
        for first, count in ((0, 1), (69, 1), (3, 10)):
            assert np.array_equal(draw_tiles(network, drawn[first : first + count]), together[first : first + count])


def test_no_random_number_is_drawn_in_the_step(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()

    def noted(config: Config, step: int, lane: int, attempt: int) -> Draws:
        threads.add(threading.current_thread().name)
        return draw(config, step, lane, attempt)

    monkeypatch.setattr("satgan.train.feed.draw", noted)
    run(make_config())
    assert threads == {"tiles-gather"}


@pytest.mark.parametrize("options", [{}, TOGETHER])
def test_lanes_at_the_same_time_change_nothing(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    outcomes = []
    for cores in (1, 4):
        monkeypatch.setattr("satgan.train.device.usable_cores", lambda cores=cores: cores)
        outcomes.append(run(make_config(**options, train={"name": f"cores-{cores}", "precision": "bfloat16"})))
    assert weights_of(outcomes[0].checkpoint) == weights_of(outcomes[1].checkpoint)


def _global_batches(config: Config, workers: int) -> list[tuple[int, int, bytes, str]]:
    """(step, lane, tiles, draws) of steps 3 to 14, put together from what each worker reads and draws."""
    assert config.tiles.source is not None
    tile_set, lanes, found = open_tile_set(config.tiles.source), config.train.lanes, []
    for worker in range(workers):
        mine = lanes_of(worker, workers, lanes)
        with TileStream(tile_set, lanes=lanes, my_lanes=mine, lane_batch=4, seed=1234, start_step=3) as stream:
            for step, tiles, _ in islice(stream, 12):
                for lane, part in zip(mine, tiles.numpy(), strict=True):
                    found.append((step, lane, part.tobytes(), repr(draw(config, step, lane))))
    return sorted(found)


def test_the_global_batch_does_not_depend_on_the_workers(make_config: MakeConfig) -> None:
    """Tiles, noise and choices of every lane and step, whoever holds the lane."""
    config = make_config(train={"lanes": 8})
    alone = _global_batches(config, 1)
    assert [(step, lane) for step, lane, _, _ in alone] == [(s, lane) for s in range(3, 15) for lane in range(8)]
    for workers in (2, 3, 5, 8):
        assert _global_batches(config, workers) == alone


def test_old_checkpoints_are_removed(make_config: MakeConfig, place: str) -> None:
    """From a bucket too, with all their files."""
    outcome = run(make_config(train={"store": place, "steps": 12, "checkpoint_steps": 2, "keep_checkpoints": 2}))
    store = open_store(outcome.run)
    assert complete_steps(store) == [10, 12]
    assert {key.split("/")[1] for key, _ in store.list("checkpoints/")} == {"step-00000010", "step-00000012"}
    if not place.startswith("s3://"):
        assert len(list(Path(outcome.run, "checkpoints").iterdir())) == 2


def test_other_settings_are_refused_with_every_difference(make_config: MakeConfig) -> None:
    run(make_config())
    changed = make_config(recipe={"beta1": 0.4, "history_capacity": 6}, train={"seed": 3})
    with pytest.raises(CheckpointError) as caught:
        prepare(changed, lambda text: None)
    for told in ("recipe.beta1: 0.5 before, 0.4 now", "train.seed: 1234 before, 3 now"):
        assert told in str(caught.value)


def test_what_the_machine_decided_is_kept_on_resume(make_config: MakeConfig) -> None:
    run(make_config(train={"precision": "float32", "threads_per_lane": 1}))
    config, step = prepare(make_config(train={"precision": "auto", "threads_per_lane": None}), lambda text: None)
    assert (config.train.precision, config.train.threads_per_lane, step) == ("float32", 1, 12)


def test_a_checkpoint_without_its_end_is_passed_over(make_config: MakeConfig) -> None:
    """A kill while a checkpoint is written leaves it without COMPLETE: the one before counts."""
    whole = run(make_config(train={"name": "whole"}))
    outcome = run(make_config())
    (Path(outcome.checkpoint) / "COMPLETE").unlink()
    again = run(make_config())
    assert again.checkpoint == outcome.checkpoint
    assert weights_of(again.checkpoint) == weights_of(whole.checkpoint)
