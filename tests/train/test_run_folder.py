"""What a run writes, and what happens where it cannot."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from satgan.errors import CheckpointError, StoreFull, StoreMissing
from satgan.train.run_folder import RunFolder, read_config
from satgan.train.start import prepare
from tests.train.conftest import MakeConfig, journal_numbers, run


def test_a_run_leaves_what_the_readme_says(make_config: MakeConfig, tile_set: str) -> None:
    outcome = run(make_config())
    folder = Path(outcome.run)
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "journal.jsonl", "tensorboard", "inputs.png", "film", "film.png", "checkpoints",
    }  # fmt: skip
    about = yaml.safe_load((folder / "config.yaml").read_text())["about"]
    assert {"satgan", "commit", "torch", "numpy", "python"} <= set(about["versions"])
    assert np.asarray(Image.open(outcome.grid)).shape == (8 * 18 + 2, 8 * 18 + 2, 3)
    assert outcome.film is not None
    # Frames at steps 3, 6, 9, 12; strips end at the checkpoints of steps 5, 10, 12.
    assert np.asarray(Image.open(outcome.film)).shape == (3 * 18, 2 * 17 + 1, 3)
    entries = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert [entry["event"] for entry in entries if "event" in entry] == [
        "start", "inputs", "checkpoint", "finding", "checkpoint", "checkpoint", "end",
    ]  # fmt: skip
    assert [entry["step"] for entry in entries if "numbers" in entry] == [2, 4, 6, 8, 10, 12]
    assert any((folder / "tensorboard").iterdir())


def test_config_is_read_as_it_was_written(make_config: MakeConfig) -> None:
    config = make_config()
    run(config)
    recorded = read_config(RunFolder(config.train.store, config.train.name))
    assert recorded is not None
    assert recorded[0] == config


@pytest.mark.parametrize("text", ["", "train: 3", "about: {tile_set: x}\ngan: {preset: nosuch}", "a: [", "\x00"])
def test_a_config_that_is_none_is_refused(make_config: MakeConfig, text: str) -> None:
    config = make_config()
    run(config)
    (Path(config.train.store) / "run" / "config.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        prepare(config, lambda text: None)


def test_checkpoints_without_a_config_are_not_taken_over(make_config: MakeConfig) -> None:
    config = make_config()
    run(config)
    (Path(config.train.store) / "run" / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.yaml"):
        prepare(config, lambda text: None)


def test_the_scratch_folder_of_a_killed_process_is_swept(s3_prefix: str, tmp_path: Path) -> None:
    code = (
        "import os; from satgan.train.run_folder import RunFolder; "
        f"folder = RunFolder({s3_prefix!r}, 'run'); print(folder.local); os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    told = subprocess.run([sys.executable, "-uc", code], capture_output=True, text=True, env=environment, check=False)
    left = Path(told.stdout.strip())
    assert left.parent == tmp_path
    assert left.exists()
    before = tempfile.tempdir
    tempfile.tempdir = str(tmp_path)
    try:
        folders = [RunFolder(s3_prefix, "run") for _ in range(2)]
    finally:
        tempfile.tempdir = before
    assert not left.exists()
    assert all(folder.local.exists() for folder in folders)
    for folder in folders:
        folder.close()
    assert list(tmp_path.iterdir()) == []


def test_a_torn_journal_line_is_dropped(make_config: MakeConfig) -> None:
    run(make_config(train={"steps": 5}))
    config = make_config()
    path = Path(config.train.store) / "run" / "journal.jsonl"
    path.write_text(path.read_text() + '{"step": 6, "num')
    run(config)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["step"] for entry in entries if "numbers" in entry] == [2, 4, 6, 8, 10, 12]


@pytest.mark.usefixtures("short_limit")
def test_a_full_disk_is_named(make_config: MakeConfig, tiny_disk: Path) -> None:
    with pytest.raises(StoreFull, match="tiny"):
        run(make_config(train={"store": str(tiny_disk)}))


def test_a_store_that_is_a_file_is_named(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreMissing, match="file"):
        prepare(make_config(train={"store": str(tmp_path / "file")}), lambda text: None)


def test_a_journal_is_read_whatever_stands_in_it(make_config: MakeConfig) -> None:
    run(make_config(train={"steps": 5}))
    config = make_config()
    path = Path(config.train.store) / "run" / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{}\n[1]\n"x"\n\xff\xfe\n')
    run(config)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()][-1] == 12


@pytest.mark.parametrize("first", [1, 6, 12])
def test_events_hold_what_the_journal_holds_once(make_config: MakeConfig, first: int) -> None:
    """Read back with the protocol buffers, each record framed by lengths and checksums, as TensorBoard does: a restart
    drops what was there from its step on. After a stop at the first step nothing was logged; after one without a
    checkpoint the run begins anew."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    stopped = run(make_config(train={"steps": first}))
    if first == 12:
        shutil.rmtree(Path(stopped.run) / "checkpoints")
        Path(stopped.run, "best.json").unlink(missing_ok=True)
    outcome = run(make_config())
    found: list[tuple[int, str, float]] = []
    for path in sorted((Path(outcome.run) / "tensorboard").iterdir(), key=lambda path: path.stat().st_mtime_ns):
        raw, position = path.read_bytes(), 0
        while position < len(raw):
            length = int.from_bytes(raw[position : position + 8], "little")
            event = Event.FromString(raw[position + 12 : position + 12 + length])
            if event.session_log.status == SessionLog.START:
                found = [one for one in found if one[0] < event.step]
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            position += 16 + length
    assert len(found) == len({one[:2] for one in found})
    values = {(step, name): value for step, name, value in found}
    for step, numbers in journal_numbers(outcome.run):
        for name, value in numbers.items():
            assert values[step, name] == pytest.approx(value, rel=1e-6)


def test_folders_of_other_names_are_not_checkpoints(make_config: MakeConfig) -> None:
    outcome = run(make_config(train={"steps": 5}))
    shutil.copytree(outcome.checkpoint, Path(outcome.checkpoint).with_name("step-best"))
    assert run(make_config()).step == 12


def test_a_checkpoint_of_other_settings_is_refused(make_config: MakeConfig) -> None:
    """Also where config.yaml was exchanged."""
    run(make_config(train={"steps": 5}))
    with pytest.raises(CheckpointError, match="other settings"):
        run(make_config(recipe={"beta1": 0.4}))


def test_a_run_that_begins_anew_says_so(make_config: MakeConfig) -> None:
    """Killed before its first checkpoint; of what it wrote then it keeps that it had begun."""
    outcome = run(make_config(train={"name": "killed"}))
    shutil.rmtree(Path(outcome.run) / "checkpoints")
    run(make_config(train={"name": "killed"}))
    entries = [json.loads(line) for line in (Path(outcome.run) / "journal.jsonl").read_text().splitlines()]
    assert [entry["event"] for entry in entries if entry["step"] == 0] == ["start", "start", "inputs"]
    assert [entry["undone_steps"] for entry in entries if entry.get("event") == "start"] == [0, 12]
    assert [entry.get("event") for entry in entries].count("end") == 1
