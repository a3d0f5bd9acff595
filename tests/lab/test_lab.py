"""One day in the mini cloud: a cluster comes up, trains on machines that come and go, and leaves nothing behind."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import Any

import pytest

from tests.cluster.cloud import STORE, filled_in
from tests.cluster.stack import ROOT
from tests.lab.lab import Lab, lab, skip_unless_possible, until

SUBSTITUTIONS = (
    # moto gives its machines addresses of others as their public ones.
    ("cache_stopped_nodes: false", "cache_stopped_nodes: false\n  use_internal_ips: true"),
    # No GPU here, and two cores for all machines.
    ("InstanceType: g6.2xlarge", "InstanceType: m7i.large"),
    ("    resources: {}\n", "    resources: {CPU: 1}\n"),
    # The environment is there, with PyTorch for CPUs: what CUDA takes is left out.
    ("requirements.lock: requirements.lock", "requirements.lock: ~/requirements.lock"),
    # Nobody waits ten minutes here for machines to be given back.
    ("idle_timeout_minutes: 10", "idle_timeout_minutes: 0.75"),
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
AT_HOME = "/home/ubuntu/runs"
NOTICE_SECONDS = 20
"""EC2 gives two minutes."""


class Watch:
    """Says what happens when, and keeps a run's journal.

    Args:
        lab: where.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab, self._start = lab, time.monotonic()
        self.entries: list[dict[str, Any]] = []

    def say(self, text: str) -> None:
        """A line of the transcript (`pytest -s`)."""
        print(f"{time.monotonic() - self._start:6.1f} s  {text}", flush=True)

    @contextmanager
    def following(self, url: str) -> Iterator[None]:
        """Keeps the journal's entries while the block lasts."""
        command = self._lab.on_laptop(sys.executable, "-m", "tests.lab.errands", "follow", url)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            thread = threading.Thread(target=self._keep, args=[process.stdout], daemon=True)
            thread.start()
            try:
                yield
            finally:
                process.stdin.close()  # it ends then; a signal would reach nsenter alone
                thread.join(timeout=60)
                process.kill()

    def _keep(self, lines: Any) -> None:
        for line in lines:
            entry = json.loads(line)
            self.entries.append(entry)
            if "event" in entry:
                self.say(f"journal: {json.dumps(entry)[:300]}")

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The journal's events of these names."""
        return [entry for entry in self.entries if entry.get("event") in names]

    def attempts(self) -> list[tuple[int, int]]:
        """With how many workers each attempt began, and the last step that is known of it."""
        found: list[tuple[int, int]] = []
        for entry in list(self.entries):
            if entry.get("event") in ("start", "resume"):
                found.append((entry["workers"], entry["step"]))
            elif found and "numbers" in entry:
                found[-1] = (found[-1][0], entry["step"])
        return found

    def trains(self, workers: int, after: int = 0) -> bool:
        """Whether so many workers have taken steps in the newest attempt, which is not one of the first `after`."""
        attempts, began = self.attempts(), self.events("start", "resume")
        return len(attempts) > after and attempts[-1][0] == workers and attempts[-1][1] > began[-1]["step"]


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


def lose_one(world: Lab, watch: Watch, lost: dict[str, Any]) -> None:
    """EC2 announces that it takes a machine back, and does; the run saves, goes on, and gets another machine."""
    attempts, before = len(watch.attempts()), ids(world)
    deadline = datetime.now(UTC) + timedelta(seconds=NOTICE_SECONDS)
    world.announce(lost, deadline.strftime("%Y-%m-%dT%H:%M:%SZ"))
    watch.say(f"EC2's notice to {lost['id']}")
    until(lambda: watch.events("preemption"), NOTICE_SECONDS, "the run hears of it")
    notice = watch.events("preemption")[-1]
    until(lambda: [saved for saved in watch.events("checkpoint") if saved["step"] == notice["step"]], 60, "it saves")
    watch.say(f"the run has heard of it and saved, after step {notice['step']}")
    time.sleep(max(0.0, (deadline - datetime.now(UTC)).total_seconds()))
    world.run_out_of_spot()
    world.take_back(lost)
    watch.say("the machine is gone, and EC2 has no other on spot")
    until(lambda: len(watch.attempts()) > attempts, 600, "the run goes on")
    watch.say(f"the run goes on with {watch.attempts()[-1][0]} worker(s)")
    until(lambda: watch.trains(2, after=attempts), 600, "2 workers again")
    assert lost["id"] not in ids(world)
    (new,) = [machine for machine in world.machines() if machine["id"] not in before]
    assert (new["profile"], new["life"]) == ("satgan-worker", "on-demand")
    watch.say("2 workers train again, one of them on a machine that came on demand")


def lose_the_head(world: Lab, watch: Watch, head: dict[str, Any]) -> str:
    """The head dies, and Ray with it. `ray up` again, the same command: the run goes on from its store, to its end."""
    world.take_back(head)
    until(lambda: head["id"] not in ids(world), 60, "the head is gone")
    watch.say("the head is gone, with job server, driver and Ray")
    ray_up(world, watch)
    stands = watch.events("checkpoint")[-1]["step"]
    steps = str(stands + 155)
    world.run(*SUBMIT, "--train.steps", steps, timeout_seconds=600)
    watch.say(f"the same command, with {steps} steps, has resumed the run and come to its end")
    assert watch.events("resume")[-1]["step"] >= stands
    assert watch.events("end")
    return steps


def bring_home(world: Lab, watch: Watch, steps: str) -> None:
    """On the laptop: the same run in one process has the same bits; its checkpoint is pulled, and tiles are drawn."""
    train = ["satgan", "train", "article", *OPTIONS, "--workers", "0", "--train.steps", steps, "--store", AT_HOME]
    world.run(*train, timeout_seconds=600)
    errand = [sys.executable, "-m", "tests.lab.errands", "same", RUN, f"{AT_HOME}/lab"]
    compared = json.loads(world.run(*errand, timeout_seconds=120))
    watch.say(f"beside the same run on the laptop, in one process: {compared}")
    assert compared["steps"] == [int(steps)] * 2
    assert compared["weights"]
    assert compared["numbers"]
    assert compared["count"] >= int(steps) // 50
    world.run("satgan", "pull", RUN, "--to", f"{AT_HOME}/pulled", timeout_seconds=120)
    drawn = world.run("satgan", "sample", f"{AT_HOME}/pulled", "--count", "4", "--out", f"{AT_HOME}/new",
                      timeout_seconds=120)  # fmt: skip
    assert len(drawn.split()) == 4
    watch.say("the checkpoint was pulled from the bucket, and 4 tiles drawn from it")


def go_idle(world: Lab, watch: Watch) -> None:
    """Machines that have nothing to do are given back."""
    until(lambda: [machine["profile"] for machine in world.machines()] == ["satgan-head"], 400, "the workers go")
    watch.say("the autoscaler has given the idle workers back")


def take_down(world: Lab, watch: Watch) -> None:
    """`ray down` leaves no machine."""
    world.run("ray", "down", FILE, "-y", timeout_seconds=300)
    until(lambda: not world.machines(), 60, "every machine is gone")
    until(lambda: not any(machine["pid"] for machine in world.machines("terminated")), 60, "every host is gone")
    watch.say(f"ray down left nothing of {len(world.machines('terminated'))} machines")


@pytest.mark.slow
@pytest.mark.lab
def test_a_cluster_from_ray_up_to_ray_down(world: Lab) -> None:
    watch = Watch(world)
    prepare(world)
    head = bring_up(world, watch)
    with watch.following(RUN), ThreadPoolExecutor(1) as meanwhile:
        others = meanwhile.submit(refused, world, watch, head)
        spot = train_on_two(world, watch)
        others.result()
        lose_one(world, watch, spot[0])
        steps = lose_the_head(world, watch, head)
    with ThreadPoolExecutor(1) as meanwhile:
        laptop = meanwhile.submit(bring_home, world, watch, steps)
        go_idle(world, watch)
        laptop.result()
    take_down(world, watch)
