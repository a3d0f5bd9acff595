"""A checkpoint that was fetched is what was written, or is not there; and what is there is not fetched twice."""

from pathlib import Path

import pytest

from satgan.__main__ import main
from satgan.errors import CorruptData, InputError
from satgan.gallery.draw import Choice
from satgan.gallery.pull import pull
from satgan.gallery.sample import sample
from satgan.tiles.store import Store, open_store
from satgan.train.checkpoint import Checkpoint, complete_steps
from tests.train.conftest import MakeConfig, make_config, run, threads_put_back, tile_set, weights_of

__all__ = ["make_config", "threads_put_back", "tile_set"]  # fixtures


def test_the_generator_alone_is_enough_for_sampling(make_config: MakeConfig, place: str, tmp_path: Path) -> None:
    outcome = run(make_config(train={"store": place, "steps": 5}))
    pulled = pull(outcome.run, tmp_path / "home", "sampling")
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"generator.safetensors", "state.json", "COMPLETE"}
    assert (pulled.step, pulled.files, pulled.fetched) == (5, 1, 1)
    there = sample(outcome.run, 4, str(tmp_path / "there"), "grid", Choice())
    here = sample(str(tmp_path / "home"), 4, str(tmp_path / "here"), "grid", Choice())
    assert Path(there).read_bytes() == Path(here).read_bytes()
    assert pull(outcome.run, tmp_path / "home", "sampling").fetched == 0
    here_too = tmp_path / "home" / "generator.safetensors"
    whole = here_too.read_bytes()
    here_too.write_bytes(whole[:-1] + b"x")
    assert pull(outcome.run, tmp_path / "home", "sampling").fetched == 1
    assert here_too.read_bytes() == whole


def test_a_run_that_was_fetched_goes_on_to_the_same_bits(make_config: MakeConfig, place: str, tmp_path: Path) -> None:
    whole = run(make_config(train={"name": "whole"}))
    half = run(make_config(train={"store": place, "steps": 5}))
    pulled = pull(half.run, tmp_path / "home", "resuming")
    assert f"--name {(tmp_path / 'home').name}" in pulled.command
    words = pulled.command.split()[1:]
    assert main([*words, "--train.steps", "12"]) == 0
    assert weights_of(str(tmp_path / "home" / "checkpoints" / "step-00000012")) == weights_of(whole.checkpoint)


def test_what_was_broken_off_goes_on_and_is_whole_only_at_the_end(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, home = run(make_config(train={"steps": 5})), tmp_path / "home"
    taken: list[str] = []
    download = type(open_store(outcome.run)).download

    def breaking(store: Store, key: str, path: Path) -> None:
        taken.append(key)
        if len(taken) == 5:
            raise KeyboardInterrupt
        download(store, key, path)

    monkeypatch.setattr(type(open_store(outcome.run)), "download", breaking)
    with pytest.raises(KeyboardInterrupt):
        pull(outcome.run, home, "resuming")
    assert complete_steps(open_store(str(home))) == []
    pulled = pull(outcome.run, home, "resuming")
    assert pulled.fetched == pulled.files - 2
    (step,) = complete_steps(open_store(str(home)))
    Checkpoint(open_store(f"{home}/checkpoints/step-{step:08d}")).verify()


def test_other_bytes_than_were_written_are_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    outcome = run(make_config(train={"steps": 5}))
    path = Path(outcome.checkpoint) / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptData, match=r"generator\.safetensors"):
        pull(outcome.run, tmp_path / "home", "sampling")
    assert not list((tmp_path / "home").iterdir())


def test_another_checkpoint_is_left_alone(make_config: MakeConfig, tmp_path: Path) -> None:
    first, second = (run(make_config(train={"steps": 5, "name": name, "seed": len(name)})) for name in ("a", "bb"))
    pull(first.run, tmp_path / "home", "sampling")
    before = (tmp_path / "home" / "generator.safetensors").read_bytes()
    with pytest.raises(InputError, match="another checkpoint"):
        pull(second.run, tmp_path / "home", "sampling")
    assert (tmp_path / "home" / "generator.safetensors").read_bytes() == before


def test_a_run_that_went_on_at_home_is_left_alone(make_config: MakeConfig, tmp_path: Path) -> None:
    """And so is another run."""
    half, home = run(make_config(train={"steps": 5})), tmp_path / "home"
    words = pull(half.run, home, "resuming").command.split()[1:]
    assert pull(half.run, home, "resuming").fetched == 0
    assert main([*words, "--train.steps", "8"]) == 0
    other = run(make_config(train={"steps": 10, "name": "other"}))
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    for url in (half.run, other.run):
        with pytest.raises(InputError, match=r"home holds (this run after step 8|a run with another)"):
            pull(url, home, "resuming")
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
