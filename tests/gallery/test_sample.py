"""New tiles from a checkpoint."""

import io
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from satgan.config import load_config
from satgan.errors import CheckpointError, ConfigError, InputError, StoreMissing, TilesError
from satgan.gallery.draw import Choice, draw_tiles, open_artist, open_checkpoint, sample_noise
from satgan.gallery.sample import Form, sample
from satgan.gan.networks import Generator, initialise
from satgan.tiles.records import read_places
from satgan.tiles.shards import pack
from satgan.tiles.store import Store, open_store
from satgan.tiles.tile_set import open_tile_set
from satgan.train.restored import generator_of
from tests.train.conftest import MakeConfig, made_tiles, run


@pytest.mark.parametrize("preset", ["demo", "digits"])
def test_a_tile_follows_from_its_noise_alone(preset: str) -> None:
    """Not from the batch it is drawn in, nor from its place there."""
    config = load_config(preset).gan
    network = Generator(config).eval()
    initialise(network, 3, 0)
    noise = sample_noise(7, 0, 150, config.noise_size)
    together = draw_tiles(network, noise)
    assert len(np.unique(together.reshape(150, -1), axis=0)) == 150
    for first, count in ((0, 1), (149, 1), (3, 10), (60, 70)):
        assert np.array_equal(draw_tiles(network, noise[first : first + count]), together[first : first + count])
    assert np.array_equal(draw_tiles(network, noise[::-1].copy()), together[::-1])


def test_samples_of_a_seed_do_not_depend_on_the_count() -> None:
    assert np.array_equal(sample_noise(7, 0, 100, 5)[40:60], sample_noise(7, 40, 20, 5))
    assert not np.array_equal(sample_noise(7, 0, 3, 5), sample_noise(8, 0, 3, 5))


@pytest.mark.parametrize("size", [1, 6, 40])
def test_truncated_noise_is_drawn_again_where_it_is_too_large_and_only_there(size: int) -> None:
    plain, truncated = sample_noise(7, 0, 90, size), sample_noise(7, 0, 90, size, truncation=0.8)
    assert np.abs(truncated).max() <= 0.8
    kept = np.abs(plain) <= 0.8
    assert np.array_equal(truncated[kept], plain[kept])
    assert len(np.unique(truncated)) == truncated.size
    assert np.array_equal(truncated[40:60], sample_noise(7, 40, 20, size, truncation=0.8))


def opened(store: Store, key: str) -> np.ndarray:
    """A PNG as an array."""
    return np.asarray(Image.open(io.BytesIO(store.read(key))))


def test_every_form_holds_the_same_tiles(trained: str, place: str) -> None:
    """70 tiles, more than a batch; in a folder and in a bucket."""
    choice, count = Choice(seed=1, device="cpu"), 70
    expected = np.concatenate(list(open_artist(trained, choice).batches(count)))
    for form in ("files", "grid", "npy", "set"):
        seen = [0]
        sample(trained, count, f"{place}/{form}", form, choice, lambda more, total, seen=seen: seen.append(more))  # type: ignore[misc]
        assert sum(seen) == count
    files = open_store(f"{place}/files")
    assert [key for key, _ in files.list()] == [f"tile-{number:06d}.png" for number in range(count)]
    sheet = opened(open_store(f"{place}/grid"), "grid.png")
    tile_set = open_tile_set(f"{place}/set")
    names, _ = read_places(tile_set.store.read("tiles.parquet"), "label")
    packed = tile_set.read_piece(0)
    array = np.load(io.BytesIO(open_store(f"{place}/npy").read("tiles.npy")), allow_pickle=False)
    assert np.array_equal(array, expected)
    for number in range(count):
        top, left = 18 * (number // 8) + 2, 18 * (number % 8) + 2
        assert np.array_equal(opened(files, f"tile-{number:06d}.png"), expected[number])
        assert np.array_equal(sheet[top : top + 16, left : left + 16], expected[number])
        assert np.array_equal(packed[names.index(f"tile-{number:06d}")], expected[number])


@pytest.mark.parametrize("form", ["files", "npy"])
def test_memory_does_not_grow_with_the_count(trained: str, tmp_path: Path, form: Form) -> None:
    """3,000 tiles more are 2.3 MB more. A set is packed a shard at a time, as any is."""

    def peak_bytes(count: int) -> int:
        tracemalloc.start()
        try:
            sample(trained, count, str(tmp_path / f"{form}-{count}"), form, Choice(device="cpu"))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(10)  # what libraries set up at their first use
    assert peak_bytes(3200) < peak_bytes(200) + 1_000_000


def test_a_run_stands_for_its_newest_checkpoint(trained: str) -> None:
    assert open_checkpoint(trained).step == open_checkpoint(f"{trained}/checkpoints/step-00000012").step == 12
    assert open_checkpoint(f"{trained}/checkpoints/step-00000010").step == 10


def test_a_run_that_was_judged_stands_for_its_best_checkpoint(trained: str) -> None:
    (Path(trained) / "best.json").write_text('{"step": 5, "score": 2.0}')
    assert open_checkpoint(trained).step == 5
    (Path(trained) / "best.json").write_text('{"step": 7, "score": 2.0}')  # its checkpoint was taken away
    assert open_checkpoint(trained).step == 12


def test_averaged_and_raw_generator_differ(trained: str) -> None:
    checkpoint = open_checkpoint(trained)
    noise = sample_noise(0, 0, 4, 6)
    averaged, raw = (draw_tiles(generator_of(checkpoint, which), noise) for which in ("average", "raw"))
    assert averaged.shape == (4, 16, 16, 3)
    assert not np.array_equal(averaged, raw)


def test_what_cannot_be_sampled_is_refused(trained: str, make_config: MakeConfig, tmp_path: Path) -> None:
    out, choice = str(tmp_path / "new"), Choice(device="cpu")
    with pytest.raises(StoreMissing, match="nothing"):
        sample(str(tmp_path / "nothing"), 1, out, "files", choice)
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        sample(str(tmp_path), 1, out, "files", choice)
    with pytest.raises(InputError, match="--count 0"):
        sample(trained, 0, out, "files", choice)
    with pytest.raises(InputError, match="--truncation 0"):
        sample(trained, 1, out, "files", choice._replace(truncation=0.0))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="--device cuda"):
            sample(trained, 1, out, "files", Choice(device="cuda"))
    pack(made_tiles(60, channels=4), str(tmp_path / "four"), size=16, channels=4, seed=1, source="made", cut={})
    four = run(make_config(tiles={"source": str(tmp_path / "four")}, gan={"channels": 4}, train={"name": "four"}))
    with pytest.raises(InputError, match="4 channels do not fit"):
        sample(four.run, 1, out, "files", choice)
    assert not Path(out).exists()
    sample(four.run, 3, out, "npy", choice)
    assert np.load(f"{out}/tiles.npy").shape == (3, 16, 16, 4)


def test_files_are_drawn_into_a_place_of_their_own_and_one_file_is_replaced(trained: str, place: str) -> None:
    """Among another model's tiles nobody could tell which are whose."""
    store, choice = open_store(place), Choice(device="cpu")
    sample(trained, 3, place, "files", choice)
    store.write("tile-000001.png", b"another model's")
    before = held(store)
    with pytest.raises(InputError, match=r"holds 3 file\(s\) already, such as tile-000000\.png") as caught:
        sample(trained, 2, place, "files", choice._replace(seed=1))
    assert "--out" in caught.value.remedy
    assert held(store) == before
    for seed in (0, 1):
        sample(trained, 4, place, "npy", choice._replace(seed=seed))
    assert np.array_equal(
        np.load(io.BytesIO(store.read("tiles.npy"))), next(open_artist(trained, choice._replace(seed=1)).batches(4))
    )


def interrupted_after(tiles: int) -> Callable[[int, int | None], None]:
    """As Ctrl-C would, once so many tiles are there."""
    there = 0

    def progress(more: int, total: int | None) -> None:
        nonlocal there
        there += more
        if there >= tiles:
            raise KeyboardInterrupt

    return progress


def held(store: Store) -> dict[str, bytes]:
    return {key: store.read(key) for key, _ in store.list()}


@pytest.mark.parametrize("tiles", [0, 1, 69, 70])
def test_the_same_call_goes_on_where_it_was_interrupted(trained: str, place: str, tmp_path: Path, tiles: int) -> None:
    """Nothing is drawn twice, and it ends as one left alone."""
    call = partial(sample, trained, 70, place, "files", Choice(seed=1, device="cpu"))
    with pytest.raises(KeyboardInterrupt):
        call(interrupted_after(tiles))
    store, seen = open_store(place), list[int]()
    there = [key for key, _ in store.list() if not key.startswith(".")]
    assert len(there) >= tiles
    call(lambda more, total: seen.append(more))
    assert seen == [len(there), *[1] * (70 - len(there))]
    sample(trained, 70, str(tmp_path / "alone"), "files", Choice(seed=1, device="cpu"))
    assert held(store) == held(open_store(str(tmp_path / "alone")))
    with pytest.raises(InputError, match=r"holds 70 file\(s\) already"):
        call()


def test_what_killed_calls_left_goes_and_no_more(trained: str, tmp_path: Path) -> None:
    out, choice = tmp_path / "new", Choice(device="cpu")
    with pytest.raises(KeyboardInterrupt):
        sample(trained, 3, str(out), "files", choice, interrupted_after(1))
    for name in (".tile-000002.png.0badcafe", "..drawing.json.0badcafe", ".mine"):
        (out / f"{name}.unfinished").write_bytes(b"half")
    (out / "mine").mkdir()
    sample(trained, 3, str(out), "files", choice)
    drawn = [f"tile-{number:06d}.png" for number in range(3)]
    assert sorted(path.name for path in out.iterdir()) == [".mine.unfinished", "mine", *drawn]


def test_nobody_else_goes_on_there_and_no_other_file_is_touched(trained: str, place: str) -> None:
    store, choice = open_store(place), Choice(device="cpu")
    with pytest.raises(KeyboardInterrupt):
        sample(trained, 200, place, "files", choice, interrupted_after(1))
    before = held(store)
    for checkpoint, count, other in (
        (f"{trained}/checkpoints/step-00000010", 200, choice), (trained, 201, choice),
        (trained, 200, choice._replace(seed=1)), (trained, 200, choice._replace(truncation=1.0)),
        (trained, 200, choice._replace(raw=True)),
    ):  # fmt: skip
        with pytest.raises(InputError, match="another drawing was interrupted there") as caught:
            sample(checkpoint, count, place, "files", other)
        assert "--out" in caught.value.remedy
    assert held(store) == before
    store.write("mine.txt", b"mine")
    with pytest.raises(InputError, match=r"holds 1 file\(s\) already, such as mine.txt"):
        sample(trained, 200, place, "files", choice)
    assert held(store) == before | {"mine.txt": b"mine"}
    store.delete("mine.txt")
    store.write("tile-000199.png", b"mine")
    sample(trained, 200, place, "files", choice)
    assert len(held(store)) == 200
    assert store.read("tile-000199.png") == b"mine"


def test_a_set_takes_no_place_that_is_taken(trained: str, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("mine")
    with pytest.raises(TilesError, match="already holds files"):
        sample(trained, 3, str(tmp_path / "taken"), "set", Choice(device="cpu"))
