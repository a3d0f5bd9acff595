"""What is decided and refused before a run starts: its tiles, and whether the networks fit them."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from satgan.config import load_config
from satgan.errors import TilesError
from satgan.tiles.tile_set import open_tile_set
from satgan.train.progress import Progress, ProgressLine
from satgan.train.start import prepare
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
