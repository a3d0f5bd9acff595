"""What the discriminator sees, and the probe on it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import csv, parquet, table
from torch.nn.functional import leaky_relu

from satgan.config import load_config
from satgan.errors import InputError, StoreMissing, TilesError
from satgan.gallery.draw import open_checkpoint
from satgan.gallery.features import features_of, layer_sizes, write_features
from satgan.gallery.labelled import open_collection
from satgan.gallery.linear import fit, tails, wilson
from satgan.gallery.probe import DISCRIMINATOR, PIXELS, UNTRAINED, USUAL, probe, untrained_like
from satgan.gan.networks import Discriminator, initialise
from satgan.randomness import Purpose, generator
from satgan.tiles.images import pack_folder
from satgan.tiles.inspect import NO_LIMITS
from satgan.tiles.pixels import to_unit_range
from satgan.tiles.store import open_store
from satgan.train.restored import discriminator_of
from tests.train.conftest import MakeConfig, made_tiles, run

HOW = {"test": None, "by": "label", "table": None, "count": 500, "seed": 0, "device": "cpu"}


def some_tiles(count: int, size: int, channels: int) -> np.ndarray:
    return np.stack([tile for _, tile in made_tiles(count, size, channels)])


@pytest.mark.parametrize(("preset", "norm"), [("demo", "batch"), ("digits", "batch"), ("digits", "virtual")])
def test_features_are_the_maxima_of_each_layers_maps(preset: str, norm: str) -> None:
    """As the paper has them, here of the network's parts put together anew; maps of 7 pixels in overlapping windows."""
    config = load_config(preset, {"gan": {"discriminator_norm": norm, "virtual_batch": 3}}).gan
    network = Discriminator(config).eval()
    initialise(network, 3, 1)
    tiles = some_tiles(5, config.size, config.channels)
    found = features_of(network, tiles)
    assert found.shape == (5, sum(layer_sizes(network)))
    with torch.no_grad():
        maps, first = to_unit_range(torch.from_numpy(tiles)), 0
        if network.reference is not None:
            maps = torch.cat([network.reference, maps])
        for number, convolution in enumerate(network.convolutions):
            maps = convolution(maps)
            maps = leaky_relu(network.norms[number - 1](maps) if number else maps, config.discriminator_leak)
            side, filters = maps.shape[2], maps.shape[1]
            own = found[:, first : first + filters * 16].reshape(5, filters, 4, 4)
            for row in range(4):
                for column in range(4):
                    rows = slice(row * side // 4, -(-(row + 1) * side // 4))
                    columns = slice(column * side // 4, -(-(column + 1) * side // 4))
                    expected = maps[-5:, :, rows, columns].amax(dim=(2, 3)).numpy()
                    assert np.allclose(own[:, :, row, column], expected, atol=1e-4)
            first += filters * 16


def test_a_tiles_features_follow_from_the_tile_alone() -> None:
    config = load_config("digits").gan
    network = Discriminator(config).eval()
    initialise(network, 3, 1)
    tiles = some_tiles(130, config.size, config.channels)
    together = features_of(network, tiles)
    for first, count in ((0, 1), (129, 1), (50, 70)):
        assert np.array_equal(features_of(network, tiles[first : first + count]), together[first : first + count])


def test_parquet_and_npy_hold_the_features_of_every_tile(trained: str, tile_set: str, place: str) -> None:
    for name in ("features.parquet", "features.npy"):
        assert write_features(trained, tile_set, f"{place}/{name}", "cpu") == f"{place}/{name}"
    store, collection = open_store(place), open_collection(tile_set)
    array = np.load(io.BytesIO(store.read("features.npy")), allow_pickle=False)
    network = discriminator_of(open_checkpoint(trained))
    tiles = np.concatenate(list(collection.batches()))
    assert len(tiles) == len(collection.names) == 150
    assert np.array_equal(array, features_of(network, tiles))
    rows = parquet.read_table(io.BytesIO(store.read("features.parquet")))
    assert json.loads(rows.schema.metadata[b"layers"]) == layer_sizes(network)
    assert rows["tile"].to_pylist() == list(range(150))
    assert rows["name"].to_pylist() == collection.names
    assert np.array_equal(np.array(rows["features"].to_pylist(), np.float32), array)


@pytest.fixture
def classes(tmp_path: Path) -> str:
    """A folder of two classes of 60 tiles: noise with and without stripes, at random places, so that the mean of a
    pixel tells nothing; and 5 files without a class."""
    for number in range(125):
        stream = generator(9, Purpose.SAMPLE, step=number)
        tile = stream.integers(60, 200, (16, 16, 3), dtype=np.uint8)
        name = f"plain/{number:03d}" if number % 2 else f"striped/{number:03d}"
        if number >= 120:
            name = f"{number:03d}"
        elif not number % 2:
            tile[stream.integers(0, 4) :: 4] = 255
        path = tmp_path / "classes" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tile).save(path)
    return str(tmp_path / "classes")


def test_a_probe_finds_what_can_be_told_and_only_that(trained: str, classes: str, tmp_path: Path) -> None:
    found = probe(trained, classes, **HOW)  # type: ignore[arg-type]
    assert found.training == {"plain": 45, "striped": 45}
    assert found.test == {"plain": 15, "striped": 15}
    assert found.unlabelled == 5
    assert list(found.measured) == [DISCRIMINATOR, UNTRAINED, PIXELS, USUAL]
    assert found.measured[PIXELS].features == 16 * 16 * 3
    assert found.measured[DISCRIMINATOR].accuracy > 0.9
    assert found.measured[USUAL].accuracy == 0.5
    for one in found.measured.values():
        assert one.low <= one.accuracy <= one.high
    # The same tiles under classes that are drawn by lot, in a side table: there is nothing to find.
    files = [key for key, _ in open_store(classes).list()]
    lots = generator(1, Purpose.SAMPLE).permutation(len(files)) % 2
    drawn = table({"name": files, "label": [f"lot {lot}" for lot in lots]})
    csv.write_csv(drawn, tmp_path / "lots.csv")
    parquet.write_table(drawn, tmp_path / "lots.parquet")
    for ending in ("csv", "parquet"):
        by_lot = probe(trained, classes, **HOW | {"table": str(tmp_path / f"lots.{ending}")})  # type: ignore[arg-type]
        assert by_lot.unlabelled == 0
        assert by_lot.measured[DISCRIMINATOR].low < 0.5 < by_lot.measured[DISCRIMINATOR].high


def test_a_set_is_probed_by_label_or_source_and_against_another(trained: str, classes: str, tmp_path: Path) -> None:
    """A packed folder has the same classes, and every tile is a source of its own."""
    packed = str(tmp_path / "set")
    pack_folder(classes, packed, seed=3, limits=NO_LIMITS)
    for training in (packed, classes):
        found = probe(trained, training, **HOW | {"test": packed, "count": 50})  # type: ignore[arg-type]
        assert sum(found.training.values()) == sum(found.test.values()) == 50
        assert found.unlabelled == 10
    with pytest.raises(TilesError, match="has 1 tiles to train on"):
        probe(trained, packed, **HOW | {"by": "source"})  # type: ignore[arg-type]


def test_the_untrained_network_tells_tiles_apart() -> None:
    """Its deep maps vary from tile to tile as much as the statistics that it was given say."""
    config = load_config("demo").gan
    trained, tiles = Discriminator(config), some_tiles(64, config.size, config.channels)
    features = features_of(untrained_like(trained, Discriminator(config), tiles, seed=1), tiles)
    deepest = features[:, -layer_sizes(trained)[-1] :]
    assert deepest.std(axis=0).mean() > 0.3


def test_an_interval_of_95_percent_covers_95_percent() -> None:
    stream = np.random.default_rng(0)
    for share, count in ((0.5, 40), (0.9, 100), (0.99, 400)):
        draws = stream.binomial(count, share, 4000)
        covered = [low <= share <= high for low, high in (wilson(int(right), count) for right in draws)]
        assert 0.92 < np.mean(covered) < 0.98
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-9)
    assert wilson(10, 10)[1] == pytest.approx(1)


def test_the_tail_of_each_class_is_held_out_and_never_fitted() -> None:
    labels = np.array(["a"] * 40 + ["b"] * 20)
    held = tails(labels)
    assert np.flatnonzero(held).tolist() == [*range(30, 40), *range(55, 60)]
    features = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    features[labels == "b"] += 3
    assert fit(features, labels).score(features, labels) > 0.95


def test_what_cannot_be_probed_is_refused(
    trained: str, classes: str, tile_set: str, make_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(StoreMissing, match="no such folder"):
        open_collection(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="has 0 class"):
        probe(trained, tile_set, **HOW)  # type: ignore[arg-type]
    (tmp_path / "table.csv").write_text("tile,class\n1,a\n")
    for name in ("table.csv", "table.txt", "table.parquet"):
        (tmp_path / "table.parquet").write_text("no table")
        with pytest.raises(TilesError, match="table of labels"):
            open_collection(classes, table=str(tmp_path / name))
    other = run(
        make_config(gan={"size": 32, "filters": "8,8,8"}, tiles={"source": _large(tmp_path)}, train={"name": "o"})
    )
    with pytest.raises(TilesError, match="32 pixels and 3 channels"):
        write_features(other.run, classes, str(tmp_path / "f.npy"), "cpu")
    assert not (tmp_path / "f.npy").exists()


def _large(folder: Path) -> str:
    from satgan.tiles.shards import pack

    destination = str(folder / "large")
    pack(made_tiles(40, size=32), destination, size=32, channels=3, seed=1, source="made", cut={})
    return destination
