"""What is decided and refused before a run starts: its tiles, and whether the networks fit them."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bench.processes import train_workers
from satgan.config import Config, load_config
from satgan.errors import Diverged, SatganError, Stopped, TilesError
from satgan.tiles.store import open_store
from satgan.tiles.tile_set import open_tile_set
from satgan.train.journal import events_in
from satgan.train.progress import Progress, ProgressLine
from satgan.train.start import hold, prepare, start
from satgan.train.tile_source import EMBEDDED, look, tiles_of
from tests.train.conftest import TILES, MakeConfig


def test_digits_without_tiles_are_the_bundled_ones(tmp_path: Path) -> None:
    """G05: the preset starts from nothing but the package."""
    said: list[str] = []
    config, step = prepare(load_config("digits", {"train": {"store": str(tmp_path)}}), said.append)
    assert step == 0
    assert config.tiles.source is not None
    manifest = open_tile_set(config.tiles.source).manifest
    assert (manifest.size, manifest.channels, manifest.tile_count) == (28, 1, 1797)
    assert said == ["tiles: handwritten digits of scikit-learn, embedded"]


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (64, 1), (64, 4), (32, 1)])
def test_without_tiles_only_the_embedded_shapes_are_taken(tmp_path: Path, size: int, channels: int) -> None:
    gan = {"size": size, "channels": channels}
    with pytest.raises(TilesError, match=rf"{size}×{size} tiles of {channels} channel") as caught:
        prepare(load_config("article", {"gan": gan, "train": {"store": str(tmp_path)}}), lambda text: None)
    assert "--tiles SET" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_virtual_batch_larger_than_the_set_is_refused(make_config: MakeConfig) -> None:
    gan = {"discriminator_norm": "virtual", "virtual_batch": TILES}
    assert prepare(make_config(gan=gan), lambda text: None)[1] == 0
    with pytest.raises(TilesError, match=f"{TILES} tile.*virtual_batch = {TILES + 1}") as caught:
        prepare(make_config(gan=gan | {"virtual_batch": TILES + 1}), lambda text: None)
    assert f"--gan.virtual-batch {TILES}" in str(caught.value)
    alone = {"generator_norm": "virtual", "virtual_batch": TILES + 1}
    assert prepare(make_config(gan=alone), lambda text: None)[1] == 0, "the generator's reference is noise"


def test_a_dry_run_refuses_embedded_tiles_that_do_not_do(tmp_path: Path) -> None:
    """As the run would, whose set has as many tiles as the dry run knows of."""
    store = {"train": {"store": str(tmp_path)}}
    tile_set = tiles_of(load_config("digits", store), lambda text: None)
    assert tile_set.manifest.tile_count == EMBEDDED[28, 1].tiles
    virtual = {"gan": {"discriminator_norm": "virtual", "virtual_batch": EMBEDDED[28, 1].tiles + 1}}
    for refuses in (look, lambda config: tiles_of(config, lambda text: None)):
        with pytest.raises(TilesError, match=r"1797 tile\(s\), gan.virtual_batch = 1798"):
            refuses(load_config("digits", store, virtual))


def test_a_dry_run_takes_digits_that_are_packed_without_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config("digits", {"train": {"store": str(tmp_path)}})
    packed = tiles_of(config, lambda text: None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert look(config) is None
    assert tiles_of(config, lambda text: None).digest == packed.digest


def test_channels_that_are_not_the_sets_are_refused(make_config: MakeConfig) -> None:
    with pytest.raises(TilesError, match=r"16×16 tiles of 3 channel.*16×16 of 4"):
        prepare(make_config(gan={"channels": 4}), lambda text: None)


def test_progress_that_nobody_reads_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", buffering=1)
    line = ProgressLine(stream)
    line(Progress(1, 2, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, at_checkpoint=True))
    line.say("a line")
    line.close()
    with suppress(BrokenPipeError):
        stream.close()
    line.say("a line for a file that was closed")


def ends_of(store: str) -> list[tuple[str, int, str]]:
    """Event, step and reason of each end that a run's journal tells."""
    entries = events_in(open_store(f"{store}/run").read("journal.jsonl"))
    return [(one["event"], one["step"], one["found"]) for one in entries if one["event"] in ("failed", "diverged")]


def tried(config: Config, expected: type[SatganError], stop: Callable[[], bool] = lambda: False) -> str:
    """What ended a run, as `satgan train` meets it."""
    with hold(config, lambda text: None) as lease:
        config, _ = prepare(config, lambda text: None)
        with pytest.raises(expected) as caught:
            start(config, lease, lambda progress: None, lambda text: None, stop=stop)
    return caught.value.found


def test_what_ends_a_run_stands_in_its_journal_once(
    make_config: MakeConfig, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nobody has the journal open, and whatever a kill has left of its last line."""
    config = make_config(train={"store": place, "steps": 5})
    with hold(config, lambda text: None) as lease:
        start(prepare(config, lambda text: None)[0], lease, lambda progress: None, lambda text: None)
    run = open_store(f"{place}/run")
    run.write("journal.jsonl", run.read("journal.jsonl") + b'{"step": 6, "num')
    config = make_config(train={"store": place})

    def fails(*given: object) -> bool:
        raise SatganError("workers crashed", "wait")

    with monkeypatch.context() as patch:
        patch.setattr("satgan.train.start.train_loop", fails)
        for _ in range(2):
            tried(config, SatganError)
    assert ends_of(place) == [("failed", 5, "workers crashed")]
    tried(config, SatganError, fails)
    tried(config, Stopped, lambda: True)
    assert ends_of(place)[1:] == [("failed", 6, "workers crashed")]


def test_a_run_that_diverges_has_no_second_end(make_config: MakeConfig) -> None:
    config = make_config(recipe={"discriminator_l2": 1e25})
    tried(config, Diverged)
    assert [event for event, _, _ in ends_of(config.train.store)] == ["diverged"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_ends_a_run_that_has_no_worker_left_stands_in_its_journal(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    monkeypatch.setenv("RAY_AUTH_MODE", "what Ray sets as it starts shall go again")
    monkeypatch.delenv("RAY_AUTH_MODE")
    killed: list[int] = []

    def show(progress: Progress) -> None:
        if not killed:
            killed.extend(train_workers(os.getpid()))
            os.kill(killed[0], signal.SIGKILL)

    config = make_config(train={"workers": 1, "restarts": 0, "steps": 100_000, "checkpoint_steps": 50_000})
    with hold(config, lambda text: None) as lease:
        config, _ = prepare(config, lambda text: None)
        with pytest.raises(SatganError, match=r"workers crashed 1 time\(s\)") as caught:
            start(config, lease, show, lambda text: None)
    ((event, _, found),) = ends_of(config.train.store)
    assert (event, found) == ("failed", caught.value.found)
