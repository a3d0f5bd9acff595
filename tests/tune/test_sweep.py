"""Sweeps with real Ray: trials are ordinary runs, whatever is killed is finished, and nothing is done twice."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from satgan.__main__ import main
from satgan.config import load_config
from satgan.sweep_verbs import plan_from, sweep_parser
from satgan.tiles.shards import pack
from satgan.tiles.store import open_store
from satgan.train.journal import JOURNAL_NAME, events_in
from tests.train.conftest import made_tiles, run, weights_of
from tests.tune.conftest import SMALL
from tests.waiting import until
from tune.sweep import sweep
from tune.table import Found, Row, sweep_in

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
NAMES = {f"glr_{rate}-s{seed}" for rate in ("4e-05", "0.001", "0.01") for seed in (1, 2)}


def words_of(space: str, small: str, tiles: str, store: str, *more: str) -> list[str]:
    return ["sweep", space, "article", "--config", small, "--tiles", tiles, "--store", store, "--seeds", "1,2", *more]


def begun(words: list[str], log: Path) -> "subprocess.Popen[bytes]":
    """A sweep in a process of its own."""
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "satgan", *words], stdout=file, stderr=file)


def events(trial: Row, *names: str) -> list[str]:
    found = [entry["event"] for entry in events_in(open_store(trial.url).read(JOURNAL_NAME))]
    return [name for name in found if name in names]


def scores(found: Found) -> dict[str, Any]:
    return {row.trial: (row.state, row.best_step, row.curve, row.scores, row.numbers) for row in found.rows}


def alone(trial: str, tile_set: str, tmp_path: Path, **train: Any) -> dict[str, bytes]:
    """The last checkpoint of what `satgan train` makes of a trial's config."""
    rate, seed = trial.removeprefix("glr_").split("-s")
    own: dict[str, Any] = {"store": str(tmp_path / "alone"), "name": trial, "seed": seed, "workers": 0, **train}
    more = {
        "train": own,
        "recipe": {"generator_learning_rate": rate},
        "tiles": {"source": tile_set},
    }
    return weights_of(run(load_config("article", SMALL, more)).checkpoint)


def fetched(row: Row, folder: Path) -> dict[str, bytes]:
    store = open_store(f"{row.url}/checkpoints/step-{row.step:08d}")
    for key, _ in store.list():
        store.download(key, folder / row.trial / key)
    return weights_of(str(folder / row.trial))


def test_a_sweep_on_a_bucket_is_killed_resumed_ranked_pulled_and_sampled(
    local_ray: None, s3_prefix: str, tile_set: str, small: str, rates: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Driver and all die after the first trial; the rest is finished, to the bits of trials that ran alone."""
    tiles, store = f"{s3_prefix}/tiles", f"{s3_prefix}/store"
    pack(made_tiles(), tiles, size=16, channels=3, seed=1, source="made", cut={})
    cache = ("--tiles.cache", "disk", "--tiles.cache-folder", str(tmp_path / "cache"))
    words = words_of(rates, small, tiles, store, *cache, "--seeds", "1", "--max-concurrent", "1")
    names = {name for name in NAMES if name.endswith("-s1")}
    url = f"{store}/rates"
    driver = begun(words, tmp_path / "log")
    try:
        until(lambda: driver.poll() is not None or open_store(f"{url}/trials").list("glr_0.001-s1/lease.json"))
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before = sweep_in(url)
    done = [row for row in before.rows if row.state == "complete"]
    assert 1 <= len(done) < len(names), "one at a time: the second may have ended before the kill, the third not begun"
    assert {row.trial for row in before.rows} == names
    assert main(words) == 2, "it is there: without --resume nothing is touched"
    assert main([*words, "--resume", "--recipe.generator-updates", "1"]) == 2, "other settings are another sweep"
    assert "recipe.generator_updates: 2 before, 1 now" in capsys.readouterr().err
    assert main([*words, "--resume", "--json"]) == 0
    ranking = json.loads(capsys.readouterr().out)["ranking"]
    found = sweep_in(url)
    assert {row.trial for row in found.rows if row.state == "complete"} == names
    assert all(len(row.curve) == 3 for row in found.rows), "every checkpoint is judged"
    for row in done:
        assert events(row, "start", "resume") == ["start"], "what was done was not done again"
    for row in found.rows[:2]:
        assert fetched(row, tmp_path) == alone(row.trial, tile_set, tmp_path)
    pieces = list((tmp_path / "cache").rglob("piece-*"))
    assert pieces, "trials share what was read of the bucket"
    assert [len(one["trials"]) for one in ranking] == [1, 1, 1]
    keys = {key for key, _ in open_store(url).list() if "/" not in key}
    assert keys == {"sweep.yaml", "sweep.html", "sweep.parquet"}
    assert main(["best", url, "--by", "spectrum", "--top", "1"]) == 0
    capsys.readouterr()
    assert main(["pull", url, "--best", "--to", str(tmp_path / "home"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"].startswith(ranking[0]["trials"][0]["run"])
    assert main(["sample", str(tmp_path / "home"), "--count", "2", "--out", str(tmp_path / "new"), "--grid"]) == 0
    assert (tmp_path / "new" / "grid.png").stat().st_size > 100


def test_a_killed_trial_goes_on_and_a_repeated_sweep_gives_the_same_table(
    local_ray: None, tile_set: str, small: str, rates: str, tmp_path: Path
) -> None:
    words = words_of(rates, small, tile_set, str(tmp_path), "--train.steps", "40", "--seeds", "1")
    assert main([*words, "--name", "undisturbed"]) == 0
    trial = tmp_path / "disturbed" / "trials" / "glr_4e-05-s1"

    def kill() -> None:
        until(lambda: [*trial.glob("checkpoints/*/COMPLETE")])
        os.kill(json.loads((trial / "lease.json").read_text())["pid"], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert main([*words, "--name", "disturbed"]) == 0
    killer.join()
    undisturbed, disturbed = (sweep_in(str(tmp_path / name)) for name in ("undisturbed", "disturbed"))
    assert scores(undisturbed) == scores(disturbed)
    hit = next(row for row in disturbed.rows if row.trial == "glr_4e-05-s1")
    assert events(hit, "start", "resume") == ["start", "resume"]
    assert fetched(hit, tmp_path / "fetched") == alone(hit.trial, tile_set, tmp_path, steps=40)


def test_what_a_scheduler_ended_stays_ended(
    local_ray: None, tile_set: str, small: str, rates: str, tmp_path: Path
) -> None:
    words = words_of(rates, small, tile_set, str(tmp_path), "--stop", "asha")
    assert main(words) == 0
    found = sweep_in(str(tmp_path / "rates"))
    states = {row.trial: (row.state, row.step) for row in found.rows}
    early = [row for row in found.rows if row.state == "stopped early"]
    assert early, states
    assert all(row.step < 12 and row.score is not None and "asha" in row.why for row in early)
    assert all(state in ("complete", "stopped early") for state, _ in states.values())
    assert main([*words, "--resume"]) == 0
    again = sweep_in(str(tmp_path / "rates"))
    assert {row.trial: (row.state, row.step) for row in again.rows} == states


def test_members_of_a_population_are_forks_of_those_whose_place_they_took(
    local_ray: None, tile_set: str, small: str, tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "search: pbt\ntrials: 4\nvary:\n  recipe.generator_learning_rate: {log_uniform: [1.0e-5, 5.0e-2]}\n"
        "  recipe.generator_updates: [1, 2]\n"
    )
    words = words_of(str(space), small, tile_set, str(tmp_path), "--name", "population")
    assert main(words) == 0
    found = sweep_in(str(tmp_path / "population"))
    forks = [row for row in found.rows if "-turn-0-" not in row.trial]
    assert forks
    assert {row.state for row in found.rows} == {"complete", "replaced"}
    for row in forks:
        parent = row.config["about"]["forked_from"]
        assert parent["step"] in (4, 8)
        assert parent["run"] in {other.url for other in found.rows}
        assert 1e-5 <= row.values["recipe.generator_learning_rate"] <= 5e-2
    assert sum(row.state == "complete" for row in found.rows) == 4
    names = {row.trial for row in found.rows}
    assert main([*words, "--resume"]) == 0
    assert {row.trial for row in sweep_in(str(tmp_path / "population")).rows} == names


def test_tpe_tries_settings_from_every_seed_and_goes_on(
    local_ray: None, tile_set: str, small: str, tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    space = tmp_path / "space.yaml"
    space.write_text("vary:\n  recipe.generator_learning_rate: {log_uniform: [0.5, 50], times: base}\n")
    words = words_of(str(space), small, tile_set, str(tmp_path), "--search", "tpe", "--name", "tpe")
    assert main([*words, "--trials", "1"]) == 0
    few = sweep_in(str(tmp_path / "tpe"))
    assert sorted(row.seed for row in few.rows) == [1, 1, 2, 2]
    assert main([*words, "--trials", "2", "--resume"]) == 0
    more = sweep_in(str(tmp_path / "tpe"))
    assert len(more.rows) == 6
    assert all(events(row, "start", "resume") == ["start"] for row in more.rows)
    assert {row.trial for row in few.rows} < {row.trial for row in more.rows}


def test_trials_of_several_workers_have_the_numbers_of_one(
    local_ray: None, tile_set: str, small: str, tmp_path: Path
) -> None:
    space = tmp_path / "one.yaml"
    space.write_text("vary:\n  recipe.generator_learning_rate: [1.0e-2]\n")
    words = words_of(str(space), small, tile_set, str(tmp_path), "--workers-per-trial", "2")
    words[words.index("1,2")] = "1"
    assert main(words) == 0
    for row in sweep_in(str(tmp_path / "one")).rows:
        assert row.state == "complete"
        assert len(row.curve) == 3
        assert fetched(row, tmp_path / "fetched") == alone(row.trial, tile_set, tmp_path)


def test_a_sweep_of_which_every_trial_diverges_says_so(
    local_ray: None, tile_set: str, small: str, rates: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_of(rates, small, tile_set, str(tmp_path), "--recipe.instance-noise", "1e38")
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "(6 diverged)" in told
    assert "not finite" in told or "= nan" in told or "= inf" in told
    assert {row.state for row in sweep_in(str(tmp_path / "rates")).rows} == {"diverged"}
    assert main([*words, "--resume"]) == 1, "they would again"


def test_trials_that_cannot_begin_say_why(
    local_ray: None, tile_set: str, small: str, rates: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Their tiles vanish after all was looked at; none of them has a folder that could tell."""
    tiles = shutil.copytree(tile_set, tmp_path / "tiles")
    words = words_of(rates, small, str(tiles), str(tmp_path / "store"), "--train.restarts", "0")[1:]
    plan = plan_from(sweep_parser(words).parse_all(words))

    def vanish(text: str) -> None:
        shutil.rmtree(tiles, ignore_errors=True)

    found, _ = sweep(plan, False, None, vanish)
    assert {row.state for row in found.rows} == {"missing"}
    told = capfd.readouterr().err
    assert "Traceback" not in told
    for name in NAMES:
        assert re.search(rf"^{re.escape(name)}( failed)?: .*{re.escape(str(tiles))}", told, re.MULTILINE)
