"""What the job server is handed: the user's own words, places that all machines see, no secret, no junk."""

import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from satgan.__main__ import main
from satgan.cluster.cluster_file import SPOT_FIRST, ClusterFile
from satgan.cluster.job_server import cluster_file, shown, use_token
from satgan.cluster.prices import INSTANCES
from satgan.cluster.submission import RUN, Submission, head_price, worker_price
from satgan.errors import ConfigError, InputError
from satgan.jobs_verbs import sweep_submission, train_submission
from satgan.provenance import COMMIT_NAME, commit

ROOT = Path(__file__).resolve().parents[2]
SHARED = ["--store", "s3://bucket/runs", "--tiles", "s3://bucket/tiles"]
CLUSTER = """
available_node_types:
  head: {resources: {CPU: 0}, node_config: {InstanceType: m7i.large}}
  fallback: {node_config: {InstanceType: g6.2xlarge}, priority: 0}
  many: {node_config: {InstanceType: g6e.24xlarge, InstanceMarketOptions: {MarketType: spot}}, priority: 1}
head_node_type: head
"""
MIXED = CLUSTER.replace("g6e.24xlarge", "g6.2xlarge")
HEAD = f"{INSTANCES['m7i.large'].on_demand_dollars_per_hour:g}"
WORKER = f"{INSTANCES['g6e.24xlarge'].spot_dollars_per_hour / 4:g}"


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")  # so that what the code sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-of-the-laptop")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-laptop")


def test_the_words_are_the_users_and_what_they_leave_open_is_added(tmp_path: Path) -> None:
    """As many workers as there is room for; the prices, unless they are given."""
    words = ["demo", *SHARED, "--name", "x"]
    made = train_submission(words, cluster(tmp_path))
    assert made.run == "s3://bucket/runs/x"
    added = ["--train.head-price", HEAD, "--train.worker-price", WORKER, "--workers", "1:2"]
    assert list(made.words) == ["python", "-m", "satgan", "train", *words, *added]
    own = [*words, "--workers", "1", "--train.worker-price", "9", "--train.head-price", "1", "--budget", "20"]
    assert list(train_submission(own, cluster(tmp_path)).words[4:]) == own
    assert train_submission(["article", *SHARED]).words[-2:] == ("--workers", "1")
    assert train_submission(["demo", *SHARED, "--fork", "y"]).run == "s3://bucket/runs/y"
    same = train_submission(words)
    assert same.job_id(1) == train_submission(words).job_id(1) != same.job_id(2)
    other = train_submission(["demo", "--store", "s3://other/runs", "--name", "x"])
    assert other.job_id(1) != same.job_id(1)


def test_a_price_that_is_given_stays_and_the_other_is_found(tmp_path: Path) -> None:
    """Each by itself, be it given in the words or in --config."""
    known, workers = cluster(tmp_path), ("--workers", "1:2")
    words = ["demo", *SHARED, "--train.head-price", "0"]
    assert added(words, known) == ("--train.worker-price", WORKER, *workers)
    config = tmp_path / "config.yaml"
    config.write_text("train: {worker_price: 7}")
    assert added(["demo", *SHARED, "--config", str(config)], known) == ("--train.head-price", HEAD, *workers)
    config.write_text("train: 5")
    with pytest.raises(ConfigError, match="group 'train' holds 5"):
        train_submission(["demo", *SHARED, "--config", str(config)], known)


def test_a_machine_that_is_not_in_the_table_needs_no_price(tmp_path: Path) -> None:
    """It is told that there is none; --prices has one; a budget must have one; who names it needs no table."""
    known = cluster(tmp_path, CLUSTER.replace("g6e.24xlarge", "p9.huge"))
    words, said = ["demo", *SHARED], list[str]()
    made = train_submission(words, known, say=said.append).words[4 + len(words) :]
    assert made == ("--train.head-price", HEAD, "--workers", "1:2")
    assert "no --train.worker-price: unknown instance type 'p9.huge'" in said[-1]
    with pytest.raises(ConfigError, match=r"--budget, but no price: unknown instance type 'p9\.huge'"):
        train_submission([*words, "--budget", "20"], known)
    said.clear()
    train_submission([*words, "--train.worker-price", "9", "--budget", "20"], known, say=said.append)
    assert not any("p9.huge" in line for line in said)
    prices = tmp_path / "prices.yaml"
    fields = INSTANCES["g6e.24xlarge"].model_dump() | {"spot_dollars_per_hour": 8}
    prices.write_text(json.dumps({"p9.huge": fields}))
    assert train_submission(words, known, prices, said.append).words[4 + len(words) + 3] == "2"
    assert f"many, p9.huge on spot, one of its 4 GPUs, by {prices} over" in said[-1]


def test_a_sweep_has_the_prices_of_its_machines_and_the_dearest_ones_with_a_budget(tmp_path: Path) -> None:
    known, space = cluster(tmp_path), tmp_path / "space.yaml"
    space.write_text("vary: {}")
    words = [str(space), *SHARED]
    found = sweep_submission(words, known).words
    assert found[-5:] == ("--train.head-price", HEAD, "--train.worker-price", WORKER, "--resume")
    own = ["--train.worker-price", "9", "--train.head-price", "1"]
    assert sweep_submission([*words, *own], known).words[-5:] == (*own, "--resume")
    mixed = cluster(tmp_path, MIXED)
    usual, dear = (float(sweep_submission([*words, *more], mixed).words[-2]) for more in ((), ("--budget", "20")))
    assert dear > usual


@pytest.mark.parametrize("verb", [["train", "demo"], ["sweep", "space.yaml"]])
def test_submit_takes_prices(verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    submit = ["submit", "--cluster", str(cluster(tmp_path)), "--prices", str(tmp_path / "none.yaml")]
    assert main([*submit, *verb, *SHARED]) == 2
    assert f"--prices {tmp_path / 'none.yaml'} cannot be read" in capsys.readouterr().err


def added(words: list[str], known: Path) -> tuple[str, ...]:
    """What is behind the user's own words."""
    return train_submission(words, known).words[4 + len(words) :]


def cluster(folder: Path, text: str = CLUSTER) -> Path:
    """A cluster file."""
    (folder / "cluster.yaml").write_text(text)
    return folder / "cluster.yaml"


def test_region_endpoint_and_commit_travel_secrets_do_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://10.0.0.5:9000")
    token = tmp_path / "token"
    token.write_text("token-of-the-cluster")
    token.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    said = list[str]()
    use_token(said.append)
    assert token.stat().st_mode & 0o777 == 0o600
    assert "its owner alone" in said[0]
    made = train_submission(["demo", *SHARED])
    line = shown(["ray", "job", "submit", *made.options(1, made.source)])
    words = shlex.split(line.removeprefix("$ "))
    assert words[0] == "RAY_AUTH_MODE=token"
    environment = json.loads(words[words.index("--runtime-env-json") + 1])["env_vars"]
    assert environment["AWS_ENDPOINT_URL"] == "http://10.0.0.5:9000"
    assert environment["AWS_DEFAULT_REGION"] == "eu-central-1"
    assert environment[COMMIT_NAME] == commit()
    assert json.loads(words[words.index("--metadata-json") + 1]) == {RUN: made.run}
    assert words[words.index("--") + 1 :] == list(made.words)
    assert not any(secret in line for secret in ("of-the-laptop", "of-the-cluster"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:mine@10.0.0.5:9000")
    with pytest.raises(InputError, match="AWS_ENDPOINT_URL has a password") as refused:
        train_submission(["demo", *SHARED])
    assert "mine" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["demo"], "--store runs is a folder of this machine"),
        (["demo", "--store", "~/runs"], "--store ~/runs is a folder"),
        (["demo", "--store", "/disk/runs", "--tiles", "tiles/mine"], "--tiles tiles/mine is a folder"),
        (["demo", *SHARED, "--train.stepz", "5"], "unknown argument '--train.stepz'"),
        (["demo", *SHARED, "--train.steps", "none"], r"train\.steps"),
        (["demo", *SHARED, "--budget", "20"], "but no price"),
        (["demo", *SHARED, "--dry-run"], "--dry-run is not for a cluster"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(words: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        train_submission(words)


def test_a_file_goes_by_its_place_in_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From whatever folder the command is given; one that is not there is refused."""
    monkeypatch.chdir(ROOT / "tests")
    space = ROOT / "tests" / "space.yaml"
    words = sweep_submission(
        ["--trials", "5", "space.yaml", *SHARED],
    ).words
    assert words == ("python", "-m", "satgan", "sweep", "--trials", "5", "tests/space.yaml", *SHARED, "--resume")
    assert sweep_submission([str(space), *SHARED]).run == "s3://bucket/runs/space"
    with pytest.raises(ConfigError, match=r"own\.yaml cannot be read: No such file"):
        sweep_submission([str(tmp_path / "own.yaml"), *SHARED])
    with pytest.raises(ConfigError, match="no space"):
        sweep_submission(SHARED)


def test_a_file_may_be_written_in_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the shell completes it, and behind an option's `=`."""
    monkeypatch.chdir(ROOT / "tests")
    words = sweep_submission(["./cluster/space.yaml", "--config=./cluster//config.yaml", *SHARED]).words
    assert words[4:6] == ("tests/cluster/space.yaml", "--config=tests/cluster/config.yaml")


def test_what_git_ignores_stays_here(tmp_path: Path) -> None:
    """What Ray packs of our source is what git knows, or would take."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")
    if not known[0]:
        pytest.skip("not a git checkout")
    assert train_submission(["demo", *SHARED]).source == ROOT
    junk = ROOT / "runs" / "junk-of-a-test"
    junk.parent.mkdir(exist_ok=True)
    junk.write_text("large")
    try:
        names = set(uploaded(train_submission(["demo", *SHARED]), tmp_path))
    finally:
        junk.unlink()
    assert {"pyproject.toml", "satgan/__main__.py", "satgan/cluster/spot.py"} <= names <= set(known)


def test_a_projects_own_files_travel_by_their_content(tmp_path: Path) -> None:
    """Beside all that travels anyway, under names that follow from them; the checkout is not written into."""
    assert main(["init", str(tmp_path / "mine")]) == 0
    space, config = tmp_path / "mine/spaces/balance.yaml", tmp_path / "mine/config.yaml"
    made = sweep_submission([str(space), f"--config={config}", *SHARED])
    assert made.run == "s3://bucket/runs/balance"
    space_there, config_there = made.words[4], made.words[5].removeprefix("--config=")
    assert Path(space_there).name == "balance.yaml"
    plain, found = (uploaded(one, tmp_path) for one in (train_submission(["demo", *SHARED]), made))
    assert found == plain | {space_there: space.read_bytes(), config_there: config.read_bytes()}
    trained = ["demo", *SHARED, "--config", str(config)]
    assert config_there in train_submission(trained).words
    config.write_text(config.read_text().replace("20000", "30000"))
    assert config_there not in train_submission(trained).words
    ignored = ROOT / "runs" / "space-of-a-test.yaml"
    ignored.parent.mkdir(exist_ok=True)
    ignored.write_text("vary: {}")
    try:
        assert list(sweep_submission([str(ignored), *SHARED]).files.values()) == [b"vary: {}"]
    finally:
        ignored.unlink()


def uploaded(made: Submission, folder: Path) -> dict[str, bytes]:
    """What Ray packs of it, by path."""
    file = folder / "package.zip"
    file.unlink(missing_ok=True)
    with made.working_dir() as source:
        create_package(str(source), file, include_gitignore=True, excludes=[".git", ".venv"])
    with zipfile.ZipFile(file) as package:
        return {name: package.read(name) for name in package.namelist() if not name.endswith("/")}


def test_a_worker_costs_its_share_of_the_machine_that_is_preferred(tmp_path: Path) -> None:
    """A machine with four GPUs has four workers."""
    file = ClusterFile(cluster(tmp_path))
    machine, head = INSTANCES["g6e.24xlarge"], INSTANCES["m7i.large"]
    assert head_price(file, INSTANCES).dollars_per_hour == head.on_demand_dollars_per_hour
    price = worker_price(file, INSTANCES, is_dearest=False)
    assert price
    assert price.dollars_per_hour == machine.spot_dollars_per_hour / 4


@pytest.mark.parametrize("most", [None, 2, 0])
def test_a_budget_holds_on_the_dearest_machine_that_may_come(tmp_path: Path, most: int | None) -> None:
    """Spot is preferred; on demand may come in its place, unless there may be none of it."""
    on_demand = "" if most is None else f", max_workers: {most}"
    known = cluster(tmp_path, MIXED.replace("priority: 0", f"priority: 0{on_demand}"))
    words, said = ["demo", *SHARED, "--train.head-price", "0"], list[str]()
    machine = INSTANCES["g6.2xlarge"]
    spot, dearest = machine.spot_dollars_per_hour, machine.on_demand_dollars_per_hour
    assert added(words, known)[1] == f"{spot:g}"
    words += ["--budget", "20"]
    made = train_submission(words, known, say=said.append).words
    assert made[4 + len(words) + 1] == f"{spot if most == 0 else dearest:g}"
    kind = "many, g6.2xlarge on spot" if most == 0 else "fallback, g6.2xlarge on demand"
    assert f"{kind}, the dearest that may come, since there is a budget" in said[-1]


@pytest.mark.parametrize(("kind", "most"), [("external", 0), ("external", 1), ("aws", 1)])
def test_a_budget_counts_spot_machines_that_may_come_on_demand(tmp_path: Path, kind: str, most: int) -> None:
    """Of an `aws` provider Ray does not read the module."""
    provider = f"provider: {{type: {kind}, module: {SPOT_FIRST}, on_demand_instead: {most}}}"
    file, machine = ClusterFile(cluster(tmp_path, f"{CLUSTER}\n{provider}\n")), INSTANCES["g6e.24xlarge"]
    price = worker_price(file, INSTANCES, is_dearest=True)
    assert price
    assert price.dollars_per_hour == machine.dollars_per_hour(is_spot=kind == "aws" or not most) / 4


def test_the_cluster_is_found_by_address_environment_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    with pytest.raises(InputError, match=r"there is no cluster\.yaml"):
        cluster_file(None, None)
    Path("cluster.yaml").write_text(CLUSTER)
    assert cluster_file(None, None) == Path("cluster.yaml")
    assert cluster_file("http://127.0.0.1:8265", None) is None
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8265")
    assert cluster_file(None, None) is None
    assert cluster_file(None, Path("cluster.yaml")) == Path("cluster.yaml")


def test_without_credentials_the_way_to_the_cluster_says_so_and_no_traceback() -> None:
    """By Ray's own `ray dashboard`, which asks EC2 for the head."""
    nobody = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
    environment = kept | nobody | {"AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "satgan", "jobs", "--cluster", str(ROOT / "cluster.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "Unable to locate credentials" in done.stderr
    assert "what to do: say who you are to AWS: AWS_PROFILE" in done.stderr
    assert "Traceback" not in done.stderr
    assert "botocore" not in done.stderr
