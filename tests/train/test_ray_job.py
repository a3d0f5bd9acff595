"""Under Ray Train the numbers are those of one process, in a bucket as in a folder; errors come back as they were."""

import socket
import threading
import time
from pathlib import Path

import pytest
import ray

from satgan.errors import CorruptData, RunLost, StoreForbidden, StoreMissing, StoreUnreachable, TilesError
from satgan.gallery.draw import Choice
from satgan.gallery.sample import sample
from satgan.tiles.shards import pack
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.progress import Progress
from satgan.train.ray_board import Noticeboard, left_asker, open_board, watching
from satgan.train.ray_job import as_begun, launch
from satgan.train.start import hold, prepare, start
from satgan.train.stop import StopSignals
from tests.train.conftest import MakeConfig, made_tiles, run, weights_of
from tests.waiting import PATIENCE_SECONDS, until


def silent(told: object) -> None:
    """Shows and says nothing."""


def fetched(checkpoint: str, folder: Path) -> str:
    """A checkpoint brought from a bucket into a folder."""
    store = open_store(checkpoint)
    for key, _ in store.list():
        store.download(key, folder / key)
    return str(folder)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_ray_workers_on_a_bucket_equal_one_process(
    make_config: MakeConfig, local_ray: None, s3_prefix: str, tile_set: str, tmp_path: Path
) -> None:
    alone = run(make_config(train={"name": "alone"}))
    pack(made_tiles(), f"{s3_prefix}/tiles", size=16, channels=3, seed=1, source="made", cut={})
    bucket = {"store": f"{s3_prefix}/runs", "name": "two", "workers": 2}
    tiles = {"source": f"{s3_prefix}/tiles"}
    seen: list[Progress] = []
    config, step = prepare(make_config(train=bucket | {"steps": 7}, tiles=tiles), lambda text: None)
    assert step == 0
    launch(config, seen.append, silent)
    assert seen[-1].step == 7
    config, step = prepare(make_config(train=bucket | {"workers": 3}, tiles=tiles), lambda text: None)
    assert step == 7
    outcome = launch(config, seen.append, silent)
    assert outcome.run == f"{s3_prefix}/runs/two"
    assert weights_of(fetched(outcome.checkpoint, tmp_path / "two")) == weights_of(alone.checkpoint)
    grid = sample(outcome.run, 4, f"{s3_prefix}/new", "grid", Choice())
    assert open_store(s3_prefix).read("new/grid.png").startswith(b"\x89PNG")
    assert grid == f"{s3_prefix}/new/grid.png"
    assert open_store(outcome.run).read("journal.jsonl").count(b'"numbers"') == 6


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_a_worker_raised_comes_back_as_it_was(
    make_config: MakeConfig, local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With relative paths, which mean another folder to a worker."""
    monkeypatch.chdir(tmp_path)
    made = Path("set")
    pack(made_tiles(), str(made), size=16, channels=3, seed=1, source="made", cut={})
    shard = made / "shard-000000.npy"
    raw = bytearray(shard.read_bytes())
    raw[5_000] ^= 1
    shard.write_bytes(raw)
    config = make_config(tiles={"source": str(made)}, train={"workers": 1, "store": "runs"})
    config, _ = prepare(config, lambda text: None)
    said: list[str] = []
    with pytest.raises(CorruptData, match=r"shard-000000\.npy"):
        launch(config, silent, said.append)
    assert said == [], "it was tried again"


def test_workers_that_start_anew_compute_as_the_first_did(make_config: MakeConfig) -> None:
    """On whatever machine: what its cores and processor decided goes into the last bits."""
    left_open = make_config(train={"threads_per_lane": None, "precision": "auto"})
    assert as_begun(left_open) == left_open
    run(make_config(train={"threads_per_lane": 3, "precision": "bfloat16", "steps": 1}))
    train = as_begun(left_open).train
    assert (train.threads_per_lane, train.precision) == (3, "bfloat16")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_workers_words_reach_the_user_and_a_lost_lease_ends_them(make_config: MakeConfig, local_ray: None) -> None:
    """Two workers go on from the checkpoint before the corrupt one; then, without saving, they end: though by then
    the user's terminal is gone."""
    first = run(make_config(train={"steps": 7}))
    (Path(first.checkpoint) / "history" / "lane-003.safetensors").unlink()
    seen: list[Progress] = []
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        raise BrokenPipeError

    def seconds_left() -> float:
        if seen:
            raise RunLost("somebody has taken it over", "let it go on")
        return 20.0

    config, _ = prepare(make_config(train={"workers": 2, "steps": 10**6, "checkpoint_steps": 10**6}), said.append)
    with pytest.raises(RunLost, match="somebody has taken it over"):
        launch(config, seen.append, say, seconds_left)
    assert "the checkpoint after step 7 is corrupt" in said[0]
    assert complete_steps(open_store(first.run)) == [5]


@pytest.mark.ray
@pytest.mark.slow
def test_a_terminal_that_blocks_holds_up_neither_vouching_nor_the_wish_to_stop(local_ray: None) -> None:
    """As after Ctrl-S, or at a full pipe."""
    board = open_board()
    blocked, released, wish = threading.Event(), threading.Event(), threading.Event()

    def say(text: str) -> None:
        blocked.set()
        released.wait()

    board.say.remote("a line")
    with StopSignals(wish.is_set) as signals, watching(board, silent, say, lambda: 20.0, signals):
        try:
            assert blocked.wait(PATIENCE_SECONDS)
            ray.get(board.vouch.remote(0.0))
            wish.set()
            until(lambda: ray.get(board.stopping.remote()))
            until(lambda: ray.get(board.seconds_left.remote()) > 0)
        finally:
            released.set()


@pytest.mark.ray
@pytest.mark.slow
def test_an_answer_counts_from_when_it_was_asked_for(local_ray: None) -> None:
    """What was on its way for longer than the run was sure then allows nothing."""

    class Late(Noticeboard):
        def seconds_left(self) -> float:
            time.sleep(0.5)
            return 0.4

    with pytest.raises(StoreUnreachable, match="another process may take the run over"):
        left_asker(ray.remote(num_cpus=0)(Late).remote())()


def test_one_process_on_a_bucket_equals_a_folder(make_config: MakeConfig, s3_prefix: str, tmp_path: Path) -> None:
    alone = run(make_config(train={"name": "alone"}))
    pack(made_tiles(), f"{s3_prefix}/tiles", size=16, channels=3, seed=1, source="made", cut={})
    for steps in (5, 12):
        train = {"store": f"{s3_prefix}/runs", "steps": steps}
        config, _ = prepare(make_config(train=train, tiles={"source": f"{s3_prefix}/tiles"}), lambda text: None)
        with hold(config, silent) as lease:
            outcome = start(config, lease, silent, silent)
    assert weights_of(fetched(outcome.checkpoint, tmp_path / "fetched")) == weights_of(alone.checkpoint)
    keys = {key.split("/")[0] for key, _ in open_store(outcome.run).list()}
    assert keys == {"config.yaml", "journal.jsonl", "tensorboard", "inputs.png", "film", "film.png", "checkpoints"}


def test_a_bucket_that_is_missing_forbidden_or_away_is_named(
    make_config: MakeConfig, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises((StoreMissing, TilesError), match="no-such-bucket"):
        prepare(make_config(tiles={"source": "s3://no-such-bucket/set"}), lambda text: None)
    with pytest.raises(StoreMissing, match="no-such-bucket"):
        prepare(make_config(train={"store": "s3://no-such-bucket/runs"}), lambda text: None)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StoreForbidden, match="AWS_PROFILE"):
        prepare(make_config(train={"store": f"{s3}/runs"}), lambda text: None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(StoreUnreachable, match="AWS_ENDPOINT_URL"):
            prepare(make_config(train={"store": f"{s3}/runs"}), lambda text: None)
