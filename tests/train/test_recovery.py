"""A run goes on from its newest whole checkpoint, and ends with the bits of one that was left alone."""

import json
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import chain, count, repeat
from pathlib import Path
from typing import Any

import pytest

from satgan.errors import CorruptData, SatganError
from satgan.tiles.aside import UNFINISHED_SUFFIX
from satgan.tiles.folder import Taker, nobody
from satgan.tiles.store import FolderStore, open_store
from satgan.train.checkpoint import Checkpoint, best_of, complete_steps
from satgan.train.journal_writer import DONE_ANEW
from satgan.train.loop import train_loop
from satgan.train.recovery import recover
from satgan.train.snapshot import write_files
from satgan.train.start import prepare
from satgan.train.watch import Watch
from tests.train.conftest import MakeConfig, journal_numbers, run, weights_of


def damaged(path: Path, damage: str) -> dict[str, bytes]:
    """Does it, and returns what the checkpoint's files hold then, by name."""
    folder = path.parent.parent if path.parent.name == "history" else path.parent
    raw = bytearray(path.read_bytes())
    if damage == "flipped":
        raw[len(raw) // 2] ^= 1
    path.unlink() if damage == "gone" else path.write_bytes(raw[:-7] if damage == "truncated" else raw)
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def noted(run_folder: str) -> list[dict[str, Any]]:
    """What a run's journal holds."""
    return [json.loads(line) for line in (Path(run_folder) / "journal.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("generator.safetensors", "truncated"), ("generator.safetensors", "flipped"), ("generator.safetensors", "gone"),
        ("history/lane-001.safetensors", "flipped"), ("state.json", "flipped"), ("state.json", "gone"),
        ("COMPLETE", "truncated"),
    ],
)  # fmt: skip
def test_a_corrupt_checkpoint_is_named_and_set_aside_and_the_one_before_taken(
    make_config: MakeConfig, name: str, damage: str
) -> None:
    whole = run(make_config(train={"name": "whole"}))
    config = make_config()
    outcome = run(config)
    left = damaged(Path(outcome.checkpoint) / name, damage)
    said: list[str] = []
    train_loop(config, Watch(progress=lambda progress: None, checkpoint=lambda *told: None, say=said.append))
    assert weights_of(outcome.checkpoint) == weights_of(whole.checkpoint)
    assert journal_numbers(outcome.run) == journal_numbers(whole.run)
    (aside,) = (Path(outcome.run) / "checkpoints").glob("corrupt-step-00000012-*")
    assert {str(p.relative_to(aside)): p.read_bytes() for p in aside.rglob("*") if p.is_file()} == left
    entries = noted(outcome.run)
    (told,) = [entry for entry in entries if entry.get("event") == "corrupt_checkpoint"]
    assert (told["step"], told["corrupt_step"], told["aside"]) == (10, 12, f"checkpoints/{aside.name}")
    assert Path(name).name in told["found"] or "state.json" in told["found"]
    (resumed,) = [entry for entry in entries if entry.get("event") == "resume"]
    assert (resumed["step"], resumed["undone_steps"]) == (10, 2)
    assert told["found"] in said[0]
    assert said[1:] == ["resuming run after step 10 of 12"]


COPIED = -1
"""As in a bucket, where a move is a copy and a deletion: COMPLETE is copied, and stays."""


@pytest.mark.parametrize("moves", [0, 3, 99, COPIED])
def test_a_kill_takes_no_word_of_a_corrupt_checkpoint(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """While it is set aside, or before that is noted: the next attempt goes on, and notes what is wrong, once."""
    config = make_config()
    outcome = run(config)
    left = damaged(Path(outcome.checkpoint) / "generator.safetensors", "flipped")
    move, moved = FolderStore.move, count()

    def killed(store: FolderStore, key: str, to: str) -> None:
        is_copied = moves == COPIED and key.endswith("COMPLETE")
        if is_copied:
            store.write(to, store.read(key))
        if next(moved) == moves or is_copied:
            raise KeyboardInterrupt
        move(store, key, to)

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "move", killed)
        with suppress(KeyboardInterrupt):
            recover(open_store(outcome.run))
    assert next(moved) == (len(left) if moves == COPIED else min(moves + 1, len(left)))
    for steps in (12, 14):
        run(make_config(train={"steps": steps}))
        (aside,) = (Path(outcome.run) / "checkpoints").glob("corrupt-*")
        assert {str(p.relative_to(aside)): p.read_bytes() for p in aside.rglob("*") if p.is_file()} == left
        (told,) = [entry for entry in noted(outcome.run) if entry.get("event") == "corrupt_checkpoint"]
        assert (told["step"], told["corrupt_step"], told["aside"]) == (10, 12, f"checkpoints/{aside.name}")
        assert "generator.safetensors has" in told["found"]


def test_a_resume_keeps_what_befell_the_attempts_before_it(make_config: MakeConfig) -> None:
    """Each in its place and once, though the steps after which it happened are undone; all numbers are taken anew."""
    whole = run(make_config(train={"name": "whole"}))
    config = make_config()
    for taken in (3, 9, 2):  # before the first checkpoint; after it; fewer than the attempt before
        fault = chain(repeat(False, taken - 1), [SatganError(f"fault {taken}", "none")])

        def stop(fault: Iterator[Any] = fault) -> bool:
            if isinstance(found := next(fault), SatganError):
                raise found
            return False

        with pytest.raises(SatganError, match=f"fault {taken}"):
            train_loop(config, Watch(lambda progress: None, lambda *told: None, stop, lambda text: None))
    outcome = run(config)
    assert weights_of(outcome.checkpoint) == weights_of(whole.checkpoint)
    assert journal_numbers(outcome.run) == journal_numbers(whole.run)
    told = [entry for entry in noted(outcome.run) if entry.get("event") in ("start", "resume", "failed", "end")]
    assert [(entry["event"], entry["step"], entry.get("found", entry.get("undone_steps"))) for entry in told] == [
        ("start", 0, 0), ("failed", 2, "fault 3"), ("start", 0, 2), ("failed", 8, "fault 9"),
        ("resume", 5, 3), ("failed", 6, "fault 2"), ("resume", 5, 1), ("end", 12, None),
    ]  # fmt: skip
    computed = [(entry["event"], entry["step"]) for entry in noted(outcome.run) if entry.get("event") in DONE_ANEW]
    assert computed == [
        (entry["event"], entry["step"]) for entry in noted(whole.run) if entry.get("event") in DONE_ANEW
    ]


def test_a_run_whose_last_checkpoint_is_corrupt_is_not_complete(make_config: MakeConfig) -> None:
    config = make_config()
    path = Path(run(config).checkpoint) / "discriminator.safetensors"
    assert prepare(config, print)[1] == 12
    damaged(path, "truncated")
    assert prepare(config, print)[1] == 10
    assert path.exists(), "only looked at: whoever holds the lease sets it aside"


def test_where_none_is_whole_nothing_is_touched(make_config: MakeConfig) -> None:
    outcome = run(make_config())
    folder = Path(outcome.run)
    for step in (5, 10, 12):
        damaged(folder / "checkpoints" / f"step-{step:08d}" / "state.json", "flipped")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CorruptData, match=r"none of the 3 checkpoint(.|\n)*step 12(.|\n)*step 10(.|\n)*step 5"):
        run(make_config(train={"steps": 20}))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_bytes_that_changed_on_the_way_are_read_again(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(make_config())
    read, flipped = FolderStore.read_range_into, list[str]()

    def read_range_into(store: FolderStore, key: str, offset: int, buffer: memoryview, taker: Taker = nobody) -> None:
        def flip(part: memoryview) -> None:
            if key == "optimizers.safetensors" and not flipped:
                flipped.append(key)
                part[100] ^= 1
            taker(part)

        read(store, key, offset, buffer, flip)

    monkeypatch.setattr(FolderStore, "read_range_into", read_range_into)
    assert recover(open_store(outcome.run)) == []
    assert flipped
    assert complete_steps(open_store(outcome.run)) == [5, 10, 12]


def test_files_are_verified_in_parts_to_the_last_byte(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever byte of whichever part differs, in a folder as in a bucket; and no file is held whole."""
    monkeypatch.setattr("satgan.train.checkpoint.PART_BYTES", 7)
    files = {"empty": b"", "short": b"tiles", "even": bytes(range(14)), "odd": bytes(range(17))}
    run = open_store(place)
    write_files(run, "checkpoints/step-00000005", {"format_version": 1}, files.items())
    checkpoint = Checkpoint(run.child("checkpoints/step-00000005"))
    with monkeypatch.context() as patch:
        patch.setattr(type(run), "read", lambda _, key: pytest.fail(f"{key} was read at once"))
        checkpoint.verify()
    for name, raw in files.items():
        changed = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
        for other in [*changed, raw[:-1], raw + b"x"]:
            checkpoint.store.write(name, other)
            if other != raw:
                with pytest.raises(CorruptData, match=f"{name} has {len(other)} bytes"):
                    checkpoint.verify()
        checkpoint.store.write(name, raw)
    checkpoint.verify()


def test_what_killed_attempts_left_is_swept(place: str) -> None:
    """Folders without COMPLETE, and unfinished files; in a bucket too. What is whole, or was set aside, stays."""
    store = open_store(place)
    text = json.dumps({"format_version": 1, "sha256": {}}).encode()
    for step in ("step-00000005", "step-00000010"):
        store.write(f"checkpoints/{step}/state.json", text)
        store.write(f"checkpoints/{step}/COMPLETE", sha256(text).hexdigest().encode())
    store.delete("checkpoints/step-00000010/COMPLETE")
    stay = ["checkpoints/corrupt-step-00000007-x/state.json", "checkpoints/step-best/COMPLETE", "film/strip.png"]
    for key in stay:
        store.write(key, b"x")
    if not place.startswith("s3://"):
        path = Path(place, "checkpoints", "step-00000010", f".generator.1234{UNFINISHED_SUFFIX}")
        path.write_bytes(b"half")
    assert [one.step for one in recover(store)] == [7], "no journal names it"
    assert store.unfinished() == []
    assert [key for key, _ in store.list()] == sorted(
        [*stay, "checkpoints/step-00000005/COMPLETE", "checkpoints/step-00000005/state.json"]
    )
    assert complete_steps(store) == [5]
    if not place.startswith("s3://"):
        assert not Path(place, "checkpoints", "step-00000010").exists()


@pytest.mark.parametrize(
    "text", [b"", b'{"step": 5, "sc', b"\xff\xfe", b"[]", b'{"step": 5}', b'{"step": "x", "score": 1}']
)
def test_a_best_json_that_cannot_be_read_counts_as_none(make_config: MakeConfig, text: bytes) -> None:
    outcome = run(make_config(train={"steps": 5}))
    (Path(outcome.run) / "best.json").write_bytes(text)
    assert recover(open_store(outcome.run)) == []
    assert best_of(open_store(outcome.run)) is None
