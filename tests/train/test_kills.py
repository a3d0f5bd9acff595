"""A run that is killed, at any moment and as often as you like, and started again ends as one that was left alone."""

from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from satgan.config import Config, load_config
from satgan.presets import PRESETS
from satgan.randomness import Purpose, generator
from satgan.tiles.shards import pack
from tests.train.conftest import MakeConfig, journal_numbers, made_tiles, weights_of
from tests.train.options import BALANCED, OPTIONS
from tests.train.processes import Fate, run_processes, ticks_of

KILLED = -9
JUDGED = {"judge": {"tiles": 20}}


def left_by(config: Config) -> tuple[dict[str, bytes], dict[str, bytes], list[tuple[int, dict[str, float]]]]:
    """Tensors, pictures and the journal's numbers; what tells times is left out."""
    folder = Path(config.train.store) / config.train.name
    assert not list(folder.rglob(".*")), "what killed writers left is swept"
    pictures = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("[!.]*.png")}
    last = weights_of(str(folder / "checkpoints" / f"step-{config.train.steps:08d}"))
    return last, pictures, journal_numbers(str(folder))


def check_kills(alone: Config, killed: Config, points: list[float]) -> None:
    """Kills a run at shares of the ticks of one that is left alone, start after start. One that was killed has fewer
    ticks left and may come to its end: then it is compared, and begun anew, so that most starts end by a kill."""
    assert run_processes(alone) == [0]
    expected, folder = left_by(alone), Path(killed.train.store) / killed.train.name
    kills = 0
    for point in points:
        if (folder / f"checkpoints/step-{killed.train.steps:08d}/COMPLETE").exists():
            assert run_processes(killed) == [0]
            assert left_by(killed) == expected
            rmtree(folder)
        (status,) = run_processes(killed, fate=Fate(kill_at=1 + int(point * ticks_of(alone))))
        assert status in (KILLED, 0)
        kills += status == KILLED
    assert 2 * kills >= len(points)
    assert run_processes(killed) == [0]
    assert left_by(killed) == expected


def points_of(seed: int, count: int) -> list[float]:
    return [float(point) for point in generator(seed, Purpose.SAMPLE).random(count)]


def both(make_config: MakeConfig, groups: dict[str, Any], tiles: dict[str, Any]) -> tuple[Config, Config]:
    """One config under two names."""
    train = {"keep_checkpoints": 2} | groups.get("train", {})
    given = groups | {"tiles": tiles | groups.get("tiles", {})}
    alone, killed = (make_config(**(given | {"train": train | {"name": name}})) for name in ("alone", "killed"))
    return alone, killed


FEW: list[tuple[dict[str, Any], str, int]] = [
    (OPTIONS[0] | JUDGED, "memory", 4),
    (OPTIONS[3], "disk", 1),
    (OPTIONS[1], "none", 4),
    (BALANCED, "memory", 4),
]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "cache", "lanes"), FEW, ids=str)
def test_a_killed_run_ends_as_one_left_alone(
    make_config: MakeConfig, tmp_path: Path, options: dict[str, Any], cache: str, lanes: int
) -> None:
    groups = options | {"train": options.get("train", {}) | {"lanes": lanes, "checkpoint_steps": 3}}
    tiles = {"cache": cache, "cache_folder": str(tmp_path / "scratch")}
    check_kills(*both(make_config, groups, tiles), points_of(lanes, 4))


@pytest.mark.soak
@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("number", range(len(OPTIONS)))
def test_a_run_killed_many_times_ends_as_one_left_alone(
    make_config: MakeConfig, tmp_path: Path, number: int, lanes: int, cache: str
) -> None:
    options = OPTIONS[number] | (JUDGED if number % 2 else {})
    train = {"lanes": lanes, "checkpoint_steps": 1 + number, "steps": 20}
    groups = options | {"train": options.get("train", {}) | train}
    tiles = {"cache": cache, "cache_folder": str(tmp_path / "scratch")}
    points = points_of(100 * number + 10 * lanes + len(cache), 10)
    check_kills(*both(make_config, groups, tiles), points)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_a_killed_run_of_a_preset_ends_as_one_left_alone(make_config: MakeConfig, tmp_path: Path, preset: str) -> None:
    """Each preset's own networks and recipe, at a width of 8."""
    networks = load_config(preset).gan
    tile_set = str(tmp_path / "set")
    tiles = made_tiles(150, networks.size, networks.channels)
    pack(tiles, tile_set, size=networks.size, channels=networks.channels, seed=1, source="made", cut={})
    gan = {"filters": ",".join("8" * networks.doublings), "dense_head": ""}

    def config(name: str) -> Config:
        base = make_config(train={"name": name, "checkpoint_steps": 4}).model_dump(mode="json")
        changed = {"tiles": base["tiles"] | {"source": tile_set}, "train": base["train"], "judge": base["judge"]}
        recipe = {"history_capacity": 6, "history_share": 0.5}
        return load_config(preset, changed, {"gan": gan, "recipe": recipe})

    check_kills(config("alone"), config("killed"), points_of(7, 8))
