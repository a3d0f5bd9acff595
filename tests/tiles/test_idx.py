"""IDX files pack with their labels; what is wrong with one is told."""

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from satgan.__main__ import main
from satgan.errors import TilesError
from satgan.tiles.commands import pack
from satgan.tiles.idx import read_idx
from satgan.tiles.images import open_or_pack
from satgan.tiles.store import Store, open_store
from tests.tiles.sample_tiles import Pixels, textured


def idx(values: Pixels) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write_idx(store: Store, name: str, count: int, zipped: bool, side: int = 12) -> Pixels:
    images = textured(count, side, 1, seed=count)[..., 0]
    labels = np.arange(count, dtype=np.uint8) % 10
    for kind, data in (("images-idx3", idx(images)), ("labels-idx1", idx(labels))):
        ending = ".gz" if zipped else ""
        store.write(f"{name}-{kind}-ubyte{ending}", gzip.compress(data) if zipped else data)
    return images


@pytest.mark.parametrize("zipped", [True, False])
def test_images_and_labels_come_together(place: str, tmp_path: Path, zipped: bool) -> None:
    store = open_store(place)
    images = np.concatenate([write_idx(store, name, count, zipped) for name, count in (("a", 30), ("b", 20))])
    report = pack(place, str(tmp_path / "set"), seed=1, kind="idx")
    assert (report.accepted, report.manifest.size, report.manifest.channels) == (50, 12, 1)
    tiles = np.load(tmp_path / "set" / "shard-000000.npy")
    for number, row in enumerate(parquet.read_table(tmp_path / "set" / "tiles.parquet").to_pylist()):
        at = row["row"] + (30 if row["source"].startswith("b") else 0)
        assert row["tile"] == number
        assert np.array_equal(tiles[number, ..., 0], images[at])
        assert row["label"] == str(row["row"] % 10)


def test_a_single_file_is_enough_and_labels_may_be_absent(tmp_path: Path) -> None:
    write_idx(open_store(str(tmp_path)), "a", 5, zipped=False)
    (tmp_path / "a-labels-idx1-ubyte").unlink()
    (found,) = read_idx(str(tmp_path / "a-images-idx3-ubyte"))
    assert found.labels is None
    assert [tile.place and tile.place.label for tile in found.tiles()] == [None] * 5


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    whole = idx(textured(4, 12, 1)[..., 0])
    zipped = gzip.compress(whole)
    for name, data, words in (
        ("short", whole[:-1], "holds 575 values, its header says 576"),
        ("long", whole + b"x", "holds 577 values"),
        ("kind", b"\0\0\x0d\x03" + whole[4:], "no IDX file of bytes"),
        ("labels", idx(np.zeros(4, np.uint8)), "holds no images"),
        ("oblong", idx(np.zeros((4, 12, 11), np.uint8)), "images of 11 × 12"),
        ("cut", zipped[:-9], "is truncated"),
        ("bits", zipped[:30] + b"xxxxxxxx" + zipped[38:], "unzipped|truncated"),
        ("none", b"", "no IDX file"),
    ):
        path = tmp_path / name / "a-images-idx3-ubyte"
        path.parent.mkdir()
        path.write_bytes(data)
        with pytest.raises(TilesError, match=words):
            read_idx(str(path))
    write_idx(open_store(str(tmp_path / "pair")), "a", 5, zipped=False)
    (tmp_path / "pair" / "a-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(TilesError, match="4 labels for 5 images"):
        read_idx(str(tmp_path / "pair"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(TilesError, match="no IDX images"):
        read_idx(str(tmp_path / "empty"))


def test_mnist_packs(shared_data: Path, tmp_path: Path) -> None:
    source = str(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz")
    report = pack(source, str(tmp_path / "set"), seed=1, kind="idx")
    assert report.accepted >= 9_950
    labels = parquet.read_table(tmp_path / "set" / "tiles.parquet")["label"].to_pylist()
    assert set(labels) == set("0123456789")


def test_a_folder_of_idx_files_is_known_for_one(place: str, tmp_path: Path) -> None:
    """By whom takes it for a folder of pictures; what is said to do does it."""
    write_idx(open_store(place), "a", 30, zipped=True)
    remedies = set()
    for use in (lambda: pack(place, str(tmp_path / "set"), seed=1), lambda: open_or_pack(place, tmp_path, 1)):
        with pytest.raises(TilesError, match=r"IDX files of images, such as a-images-idx3-ubyte\.gz") as caught:
            use()
        remedies.add(caught.value.remedy)
    (command,) = re.findall(r"`satgan (.*?)`", remedies.pop())
    assert remedies == set()
    assert main(command.replace("DESTINATION", str(tmp_path / "set")).split()) == 0
    assert open_or_pack(str(tmp_path / "set"), tmp_path, 1).manifest.tile_count == 30


def test_mnists_own_folder_is_known(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(TilesError, match=r"such as t10k-images-idx3-ubyte\.gz"):
        pack(str(shared_data / "mnist"), str(tmp_path / "set"), seed=1)
