"""One day in the mini cloud: a cluster comes up, trains on machines that come and go, and leaves nothing behind."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import Any

import pytest

from tests.cluster.cloud import STORE, filled_in
from tests.cluster.stack import ROOT
from tests.lab.lab import Lab, lab, skip_unless_possible, until
from tests.lab.watch import Watch

SUBSTITUTIONS = (
    # moto gives its machines addresses of others as their public ones.
    ("cache_stopped_nodes: false", "cache_stopped_nodes: false\n  use_internal_ips: true"),
    # No GPU here, and two cores for all machines.
    ("InstanceType: g6.2xlarge", "InstanceType: m7i.large"),
    ("    resources: {}\n", "    resources: {CPU: 1}\n"),
    # The environment is there, with PyTorch for CPUs: what CUDA takes is left out.
    ("requirements.lock: requirements.lock", "requirements.lock: ~/requirements.lock"),
    # Nobody waits ten minutes here for machines to be given back.
    ("idle_timeout_minutes: 10", "idle_timeout_minutes: 1"),
)
"""All that differs from the repository's cluster.yaml, once its places are filled in."""

RUN = f"{STORE}/runs/lab"
OPTIONS = [
    "--tiles", f"{STORE}/tiles/made", "--gan.size", "16", "--gan.filters", "8,8", "--gan.smoothing-layers", "0",
    "--gan.noise-size", "6", "--gan.kernel-size", "4", "--gan.dense-head", "", "--judge.tiles", "0",
    "--recipe.history-capacity", "6", "--recipe.history-share", "0.5", "--train.lanes", "4", "--train.lane-batch", "4",
    "--train.threads-per-lane", "1", "--train.precision", "float32", "--train.log-steps", "50", "--train.film-steps",
    "100000", "--train.checkpoint-steps", "200", "--train.resize-seconds", "5", "--name", "lab",
]  # fmt: skip
FILE = "/home/ubuntu/cluster.yaml"
SUBMIT = ["satgan", "submit", "--cluster", FILE, "train", "article", *OPTIONS, "--store", f"{STORE}/runs",
          "--workers", "1:2"]  # fmt: skip
SPACE = "vary:\n  recipe.generator_learning_rate: [1.0e-2]\n"
"""Beside the base setting: two trials."""
SWEEP = f"{STORE}/runs/rates"
SUBMIT_SWEEP = [
    "satgan", "submit", "--cluster", FILE, "sweep", "/home/ubuntu/rates.yaml", "article", *OPTIONS, "--store",
    f"{STORE}/runs", "--name", "rates", "--seeds", "1", "--max-concurrent", "1", "--train.lanes", "1",
    "--judge.tiles", "24", "--train.steps", "40", "--train.checkpoint-steps", "20", "--recipe.average-half-life-tiles",
    "8",
]  # fmt: skip
"""One trial after the other, on one machine. What is judged are averaged generators: of the last few steps here."""
AT_HOME = "/home/ubuntu/runs"
NOTICE_SECONDS = 30
"""EC2 gives two minutes."""


@pytest.fixture
def world() -> Iterator[Lab]:
    skip_unless_possible()
    with lab() as world:
        yield world


def prepare(world: Lab) -> None:
    """What the operator has before the first `ray up`: a token, a filled-in file, tiles in the bucket."""
    text = filled_in((ROOT / "cluster.yaml").read_text(), world.image, world.group)
    for there, instead in SUBSTITUTIONS:
        assert there in text, there
        text = text.replace(there, instead)
    world.write("cluster.yaml", text)
    world.write("requirements.lock", lock_without_cuda())
    world.run("ray", "get-auth-token", "--generate", timeout_seconds=60)
    world.run("chmod", "600", "/home/ubuntu/.ray/auth_token", timeout_seconds=10)
    world.run(sys.executable, "-m", "tests.lab.errands", "tiles", f"{STORE}/tiles/made", timeout_seconds=120)


def lock_without_cuda() -> str:
    """requirements.lock without what is not installed here."""
    here = {dist.metadata["Name"].lower().replace("_", "-") for dist in metadata.distributions()}
    text = (ROOT / "requirements.lock").read_text()
    blocks = ("\n" + text).split("\n")
    kept, keeping = [], True
    for line in blocks:
        if line and not line[0].isspace() and not line.startswith("#"):
            keeping = line.split("==")[0].lower().replace("_", "-").replace(".", "-") in {
                name.replace(".", "-") for name in here
            }
        if keeping:
            kept.append(line)
    return "\n".join(kept)


def refused(world: Lab, watch: Watch, head: dict[str, Any]) -> None:
    """Without the token nobody gets in: not through the job server, not through Ray's own port, not from elsewhere."""
    ask = (
        "import sys, urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=dict(a.split('=') for a in "
        "sys.argv[2:])), timeout=10).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
        "except OSError as error: print(type(error).__name__, error)\n"
    )
    outside = world.run(sys.executable, "-c", ask, f"http://{head['address']}:8265/api/jobs/", timeout_seconds=30)
    assert "refused" in outside, outside
    modes = world.enter(head["pid"], "stat", "--format", "%a", "/home/ubuntu/.ray/auth_token")
    assert subprocess.run(modes, capture_output=True, text=True, check=True).stdout.strip() == "600"
    local = ["http://127.0.0.1:8265/api/jobs/"]
    token = world.run("cat", "/home/ubuntu/.ray/auth_token", timeout_seconds=10).strip()
    told = []
    for headers in ([], ["Authorization=Bearer " + "0" * 64], [f"Authorization=Bearer {token}"]):
        command = world.enter(head["pid"], sys.executable, "-c", ask, *local, *headers)
        told.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    assert told[0] in ("401", "403"), told
    assert told[1] in ("401", "403"), told
    assert told[2] == "200", told
    gcs = f"{head['address']}:6379"
    script = f"import ray; ray.init(address='{gcs}', log_to_driver=False); print('IN', ray.cluster_resources())"
    command = world.on_laptop(sys.executable, "-c", script, RAY_AUTH_TOKEN="0" * 64)
    tried = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert tried.returncode, tried.stdout
    assert "IN" not in tried.stdout
    assert "token" in tried.stderr.lower(), tried.stderr[-2000:]
    watch.say("who has no token was refused")


def bring_up(world: Lab, watch: Watch) -> dict[str, Any]:
    """`ray up`; the head."""
    world.run("satgan", "cluster", "check", FILE, timeout_seconds=120)
    watch.say("the file is checked")
    return ray_up(world, watch)


def ray_up(world: Lab, watch: Watch) -> dict[str, Any]:
    """A head, which was not there."""
    before = ids(world)
    world.run("ray", "up", FILE, "-y", timeout_seconds=600)
    watch.say("ray up has ended")
    (head,) = [machine for machine in world.machines() if machine["id"] not in before]
    assert (head["profile"], head["life"]) == ("satgan-head", "on-demand")
    return head


def ids(world: Lab) -> set[str]:
    """Of the machines that run."""
    return {machine["id"] for machine in world.machines()}


def train_on_two(world: Lab, watch: Watch) -> list[dict[str, Any]]:
    """Submits a run to a cluster of a head alone; the machines that came for it."""
    job = world.run(*SUBMIT[:4], "--detach", *SUBMIT[4:], "--train.steps", "1000000", timeout_seconds=300).strip()
    watch.say(f"submitted as {job}")
    until(lambda: len(world.machines()) == 3, 600, "two machines asked for")
    watch.say("the autoscaler, on the head, asked for two machines")
    spot = [machine for machine in world.machines() if machine["profile"] != "satgan-head"]
    assert {(machine["profile"], machine["life"]) for machine in spot} == {("satgan-worker", "spot")}
    until(lambda: watch.trains(2), 600, "2 workers train")
    watch.say("2 workers train")
    return spot


def lose_one(world: Lab, watch: Watch, stays: dict[str, Any]) -> None:
    """EC2 announces that it takes a machine back, and does; the run saves, goes on, and gets another machine.

    With it goes any third one: Ray sometimes starts one while a run gets another size, and the run would go on there.
    """
    attempts, before = len(watch.attempts()), ids(world)
    workers = [machine for machine in world.machines() if machine["profile"] != "satgan-head"]
    lost = [machine for machine in workers if machine["id"] != stays["id"]]
    deadline = datetime.now(UTC) + timedelta(seconds=NOTICE_SECONDS)
    world.run_out_of_spot()
    for machine in lost:
        world.announce(machine, deadline.strftime("%Y-%m-%dT%H:%M:%SZ"))
        watch.say(f"EC2's notice to {machine['id']}; it has no other on spot")
    until(lambda: watch.events("preemption"), NOTICE_SECONDS, "the run hears of it")
    notice = watch.events("preemption")[-1]
    until(lambda: [saved for saved in watch.events("checkpoint") if saved["step"] == notice["step"]], 60, "it saves")
    watch.say(f"the run has heard of it and saved, after step {notice['step']}")
    time.sleep(max(0.0, (deadline - datetime.now(UTC)).total_seconds()))
    for machine in lost:
        world.take_back(machine)
        watch.say("the machine is gone")
    until(lambda: len(watch.attempts()) > attempts, 600, "the run goes on")
    watch.say(f"the run goes on with {watch.attempts()[-1][0]} worker(s)")
    until(lambda: watch.trains(2, after=attempts), 600, "2 workers again")
    new = {(machine["profile"], machine["life"]) for machine in world.machines() if machine["id"] not in before}
    assert new == {("satgan-worker", "on-demand")}
    watch.say("2 workers train again, one of them on a machine that came on demand")


def lose_the_head(world: Lab, watch: Watch, head: dict[str, Any]) -> int:
    """The head dies, and Ray with it; the last step that the run shall take."""
    world.take_back(head)
    watch.say("the head is gone, with job server, driver and Ray")
    return int(watch.events("checkpoint")[-1]["step"]) + 355  # one more may have been on its way


def go_on(world: Lab, watch: Watch, steps: int) -> None:
    """`ray up` again, the same command: the run goes on from its store, to its end."""
    workers = ids(world)
    ray_up(world, watch)
    world.run(*SUBMIT, "--train.steps", str(steps), timeout_seconds=600)
    watch.say(f"the same command, with {steps} steps, has resumed the run and come to its end")
    assert steps - 355 <= watch.events("resume")[-1]["step"] < steps
    until(lambda: watch.events("end"), 60, "the end is in the journal")
    assert workers < ids(world)
    watch.say("the new head has taken over the machines of the old one")


def train_at_home(world: Lab, watch: Watch, steps: int) -> None:
    """The same run on the laptop, in one process."""
    words = ["satgan", "train", "article", *OPTIONS, "--workers", "0", "--train.steps", str(steps), "--store", AT_HOME]
    world.run(*words, timeout_seconds=600)
    watch.say("the same run has ended on the laptop, in one process")


def compare_and_draw(world: Lab, watch: Watch, steps: int) -> None:
    """Both runs have the same bits; the cluster's is pulled out of the bucket, and tiles are drawn from that."""
    errand = [sys.executable, "-m", "tests.lab.errands", "same", RUN, f"{AT_HOME}/lab"]
    compared = json.loads(world.run(*errand, timeout_seconds=120))
    watch.say(f"the two beside each other: {compared}")
    assert compared["steps"] == [steps] * 2
    assert compared["weights"]
    assert compared["numbers"]
    assert compared["count"] >= steps // 50
    world.run("satgan", "pull", RUN, "--to", f"{AT_HOME}/pulled", timeout_seconds=120)
    drawn = world.run("satgan", "sample", f"{AT_HOME}/pulled", "--count", "4", "--out", f"{AT_HOME}/new",
                      timeout_seconds=120)  # fmt: skip
    assert len(drawn.split()) == 4
    watch.say("the checkpoint was pulled from the bucket, and 4 tiles drawn from it")


def sweep(world: Lab, watch: Watch) -> None:
    """A sweep on the cluster; its best trial comes home, which is the one that the trials' own scores say."""
    world.write("rates.yaml", SPACE)
    world.run(*SUBMIT_SWEEP, timeout_seconds=300)
    watch.say("a sweep of two trials was submitted and has come to its end")
    ranking = json.loads(world.run("satgan", "best", SWEEP, "--json", timeout_seconds=120))["ranking"]
    errand = [sys.executable, "-m", "tests.lab.errands", "trials", SWEEP]
    best, other = sorted(json.loads(world.run(*errand, timeout_seconds=120)), key=lambda trial: float(trial["score"]))
    assert best["score"] < other["score"]
    (named,), (last,) = (one["trials"] for one in ranking)
    assert (named["run"], named["score"], named["best_step"]) == (best["run"], best["score"], best["step"])
    assert (last["run"], last["score"]) == (other["run"], other["score"])
    home = f"{AT_HOME}/best"
    world.run("satgan", "pull", SWEEP, "--best", "--to", home, timeout_seconds=120)
    pulled = world.run("sha256sum", f"{home}/generator.safetensors", timeout_seconds=10).split()[0]
    assert pulled == best["generator"] != other["generator"]
    drawn = world.run("satgan", "sample", home, "--count", "4", "--out", f"{AT_HOME}/from-best", timeout_seconds=120)
    assert len(drawn.split()) == 4
    watch.say(f"the best of {best['score']:.3f} and {other['score']:.3f} was named, pulled, and 4 tiles drawn from it")


def go_idle(world: Lab, watch: Watch) -> None:
    """A machine that has nothing to do is given back, though another works."""
    until(lambda: len(world.machines()) <= 2, 400, "all workers go but one")
    watch.say("the autoscaler has given a worker back that was idle")


def take_down(world: Lab, watch: Watch) -> None:
    """`ray down` leaves no machine."""
    world.run("ray", "down", FILE, "-y", timeout_seconds=300)
    watch.say("ray down has ended")
    until(lambda: not world.machines(), 60, "every machine is gone")
    until(lambda: not any(machine["pid"] for machine in world.machines("terminated")), 60, "every host is gone")
    watch.say(f"ray down left nothing of {len(world.machines('terminated'))} machines")


@pytest.mark.slow
@pytest.mark.lab
def test_a_cluster_from_ray_up_to_ray_down(world: Lab) -> None:
    watch = Watch(world)
    prepare(world)
    head = bring_up(world, watch)
    with ThreadPoolExecutor(2) as meanwhile:
        with watch.following(RUN):
            refusals = meanwhile.submit(refused, world, watch, head)
            spot = train_on_two(world, watch)
            refusals.result()
            lose_one(world, watch, spot[1])
            steps = lose_the_head(world, watch, head)
            at_home = meanwhile.submit(train_at_home, world, watch, steps)
            go_on(world, watch, steps)
        sweeping = meanwhile.submit(sweep, world, watch)
        at_home.result()
        drawing = meanwhile.submit(compare_and_draw, world, watch, steps)
        go_idle(world, watch)
        drawing.result()
        sweeping.result()
    take_down(world, watch)
