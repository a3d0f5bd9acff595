"""A run that was handed to a cluster outlives who did so; the same command finds it again."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from satgan.tiles.shards import pack
from satgan.tiles.store import open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.journal import events_in
from satgan.train.lease import LEASE_NAME
from tests.cluster.ray_head import Head, answer, head_running
from tests.cluster.relay import Relay, relay_to
from tests.conftest import Begin
from tests.train.conftest import made_tiles
from tests.waiting import until
from tune.table import sweep_in

ROOT = Path(__file__).resolve().parents[2]
RUN_OPTIONS = [
    "article", "--gan.size", "16", "--gan.filters", "8,8", "--gan.smoothing-layers", "0", "--gan.noise-size", "6",
    "--gan.kernel-size", "4", "--gan.dense-head=", "--judge.tiles", "64", "--recipe.history-capacity", "6",
    "--train.lanes", "2", "--train.lane-batch", "4", "--train.threads-per-lane", "1", "--train.precision", "float32",
    "--train.log-steps", "5", "--train.film-steps", "1000", "--train.checkpoint-steps", "100",
    "--train.checkpoint-seconds", "0", "--train.worker-price", "36",
]  # fmt: skip
Laptop = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def head(s3: str) -> Iterator[Head]:
    """It has credentials, but does not know where the S3 server is: a job tells it."""
    surroundings = {name: value for name, value in os.environ.items() if name.startswith("AWS_")} | {"HOME": "/"}
    del surroundings["AWS_ENDPOINT_URL"], surroundings["AWS_DEFAULT_REGION"]
    with tempfile.TemporaryDirectory(prefix="r") as folder, head_running(Path(folder), surroundings) as running:
        yield running


@pytest.fixture
def relay(head: Head) -> Iterator[Relay]:
    with relay_to(urlsplit(head.url).port or 0) as running:
        yield running


@pytest.fixture
def laptop(head: Head, relay: Relay, tmp_path: Path, begin: Begin) -> Laptop:
    """Runs satgan as a user at a laptop does; what it says goes into a file."""
    surroundings = os.environ | {
        "RAY_AUTH_TOKEN_PATH": str(head.token), "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{relay.port}",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip

    def run(*words: str, **others: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "satgan", *words]
        heard = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return begin(command, env=surroundings | others, cwd=tmp_path, **heard)

    return run


@pytest.mark.ray
@pytest.mark.slow
def test_a_submitted_run_survives_the_laptop_and_is_found_again(
    laptop: Laptop, relay: Relay, head: Head, s3_prefix: str
) -> None:
    """Submit; kill the laptop; the run goes on. The same command follows it, also over a cut line; stop saves; once
    more, and it resumes."""
    pack(made_tiles(), f"{s3_prefix}/tiles", size=16, channels=3, seed=1, source="made", cut={})
    words = ["submit", "train", *RUN_OPTIONS, "--tiles", f"{s3_prefix}/tiles", "--store", f"{s3_prefix}/runs"]
    words += ["--name", "far"]
    run = open_store(f"{s3_prefix}/runs/far")
    first = laptop(*words, "--train.steps", "1000000")
    until(lambda: first.poll() is not None or complete_steps(run))
    os.killpg(first.pid, signal.SIGKILL)
    told = first.communicate()[1]
    before = complete_steps(run)
    until(lambda: complete_steps(run)[-1] > before[-1])
    (shown,) = re.findall(r"^\$ RAY_AUTH_MODE=token (ray job submit .*)$", told, re.MULTILINE)
    assert "--workers 1:2" in shown
    assert os.environ["AWS_ENDPOINT_URL"] in shown
    assert head.token.read_text() not in told
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in shown

    other = laptop(*words, "--train.steps", "5")
    second = laptop(*words, "--train.steps", "1000000")
    lines = list[str]()
    threading.Thread(target=lambda: lines.extend(iter((second.stdout or pytest.fail("?")).readline, ""))).start()
    until(lambda: sum(line.startswith("step ") for line in lines) > 2)
    figures = scraped(head)
    assert "is being trained by far-" in other.communicate()[1]
    assert relay.cut() > 0
    stopped = laptop("jobs", "stop", "far")
    ended = stopped.communicate()[0]
    assert second.wait(60) == 130
    assert "far-" in ended.splitlines()[-1]
    assert ended.splitlines()[-1].endswith(" stopped")
    assert len([line for line in lines if "Running entrypoint" in line]) == 1
    shown_steps = [line.split()[1] for line in lines if line.startswith("step ")]
    assert shown_steps == sorted(set(shown_steps), key=shown_steps.index), "a line came twice"
    last = events_in(run.read("journal.jsonl"))[-1]
    assert (last["event"], last["step"]) == ("stop", complete_steps(run)[-1])
    assert last["dollars"] > 0
    assert not run.exists(LEASE_NAME)
    assert figures >= {"step", "steps", "tiles_per_second", "waited_share", "loss", "dollars", "score", "path_a_share"}

    more = complete_steps(run)[-1] + 20
    third = laptop(*words, "--train.steps", str(more))
    said = third.communicate()[0]
    assert third.returncode == 0, said
    assert f"resuming far after step {last['step']} of {more}" in said
    assert complete_steps(run)[-1] == more
    listed, shown, watched = (laptop("jobs", *words) for words in (["--json"], ["show", "far"], ["watch", run.url]))
    assert [job["state"] for job in json.loads(listed.communicate()[0])] == ["succeeded", "stopped"]
    about = shown.communicate()[0]
    assert "state: succeeded" in about
    assert f"resuming far after step {last['step']} of {more}" in about
    assert f"grid={run.url}/film/grid-{more:08d}.png" in watched.communicate()[0]


def scraped(head: Head) -> set[str]:
    """Names of our gauges, as the machine exports them; both workers are among the tags."""
    until(lambda: _has_all(head))
    found = _metrics(head)
    for worker in ("0", "1"):
        assert re.search(rf'ray_satgan_tiles_per_second{{.*run="far",worker="{worker}"', found)
    return set(re.findall(r"^ray_satgan_(\w+){", found, re.MULTILINE))


def _has_all(head: Head) -> bool:
    found = _metrics(head)
    return "ray_satgan_score{" in found and 'worker="1"' in found


def _metrics(head: Head) -> str:
    with urllib.request.urlopen(f"{head.metrics}/metrics", timeout=10) as told:
        return bytes(told.read()).decode()


@pytest.mark.ray
@pytest.mark.slow
def test_a_submitted_sweep_outlives_the_laptop_and_the_same_command_goes_on(
    laptop: Laptop, s3_prefix: str, tmp_path: Path
) -> None:
    """Submit; kill the laptop; the same command follows the same job to its ranking; once more, all is done."""
    pack(made_tiles(), f"{s3_prefix}/tiles", size=16, channels=3, seed=1, source="made", cut={})
    space = tmp_path / "rates.yaml"
    space.write_text("vary:\n  recipe.generator_learning_rate: [1.0e-3]\n")
    words = ["submit", "sweep", str(space), *RUN_OPTIONS, "--tiles", f"{s3_prefix}/tiles", "--seeds", "1"]
    words += ["--store", f"{s3_prefix}/runs", "--train.steps", "60"]
    first, trials = laptop(*words), open_store(f"{s3_prefix}/runs/rates/trials")
    until(lambda: first.poll() is not None or trials.list())
    os.killpg(first.pid, signal.SIGKILL)
    rankings = []
    for _ in range(2):
        again = laptop(*words)
        said, told = again.communicate()
        assert again.returncode == 0, told
        rankings.append(re.findall(r"^\d .*complete$", said, re.MULTILINE))
    known = json.loads(laptop("jobs", "--json").communicate()[0])
    jobs = [job["state"] for job in known if job["run"].endswith("/rates")]
    assert jobs == ["succeeded"] * 2, "the first command and the second had one job together"
    assert rankings[0] == rankings[1]
    assert len(rankings[0]) == 2
    found = sweep_in(f"{s3_prefix}/runs/rates")
    assert [row.state for row in found.rows] == ["complete"] * 2
    for row in found.rows:
        starts = [one for one in events_in(open_store(row.url).read("journal.jsonl")) if one["event"] == "start"]
        assert len(starts) == 1, "nothing was done twice"


@pytest.mark.ray
@pytest.mark.slow
def test_who_has_no_token_is_refused(laptop: Laptop, head: Head, tmp_path: Path) -> None:
    """By the server, whoever asks; and our own words say why."""
    job = json.dumps({"entrypoint": "touch /tmp/satgan-was-here"}).encode()
    for path, body in (("jobs/", None), ("version", None), ("jobs/", job)):
        assert answer(f"{head.url}/api/{path}", body=body) == 401
        assert answer(f"{head.url}/api/{path}", "0" * 64, body) == 403
    assert answer(f"{head.url}/api/jobs/", head.token.read_text()) == 200
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    refused = laptop("jobs", RAY_AUTH_TOKEN_PATH=str(wrong))
    told = refused.communicate()[1]
    assert refused.returncode == 2
    assert "did not let us in" in told
    assert wrong.stat().st_mode & 0o077 == 0
