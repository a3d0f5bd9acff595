"""What the job server is handed: the user's own words, places that all machines see, no secret, no junk."""

import json
import shlex
import subprocess
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from satgan.cluster.cluster_file import ClusterFile
from satgan.cluster.job_server import cluster_file, shown, use_token
from satgan.cluster.prices import INSTANCES
from satgan.cluster.submission import RUN, prices_of
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


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-of-the-laptop")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-laptop")


def test_the_words_are_the_users_and_what_they_leave_open_is_added() -> None:
    """As many workers as there is room for; the prices, unless they are given."""
    words = ["demo", *SHARED, "--name", "x"]
    made = train_submission(words, {"train.head_price": 0.1, "train.worker_price": 0.5})
    assert made.run == "s3://bucket/runs/x"
    added = ["--train.head-price", "0.1", "--train.worker-price", "0.5", "--workers", "1:2"]
    assert list(made.words) == ["python", "-m", "satgan", "train", *words, *added]
    own = [*words, "--workers", "1", "--train.worker-price", "9", "--budget", "20"]
    assert list(train_submission(own, {"train.worker_price": 0.5}).words[4:]) == own
    assert train_submission(["demo", *SHARED, "--budget", "20"], {"train.worker_price": 1}).run.endswith("/demo")
    assert train_submission(["article", *SHARED], {}).words[-2:] == ("--workers", "1")
    assert train_submission(["demo", *SHARED, "--fork", "y"], {}).run == "s3://bucket/runs/y"
    same = train_submission(words, {})
    assert same.job_id(1) == train_submission(words, {}).job_id(1) != same.job_id(2)
    other = train_submission(["demo", "--store", "s3://other/runs", "--name", "x"], {})
    assert other.job_id(1) != same.job_id(1)


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
    made = train_submission(["demo", *SHARED], {})
    line = shown(["ray", "job", "submit", *made.options(1)])
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
        train_submission(["demo", *SHARED], {})
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
        train_submission(words, {})


def test_a_file_goes_by_its_place_in_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From whatever folder the command is given; one that does not travel is refused."""
    monkeypatch.chdir(ROOT / "tests")
    space = ROOT / "tests" / "space.yaml"
    words = sweep_submission(
        ["--trials", "5", "space.yaml", *SHARED],
    ).words
    assert words == ("python", "-m", "satgan", "sweep", "--trials", "5", "tests/space.yaml", *SHARED, "--resume")
    assert sweep_submission([str(space), *SHARED]).run == "s3://bucket/runs/space"
    outside = tmp_path / "own.yaml"
    outside.write_text("train: {steps: 7}")
    for place in (outside, ROOT / "runs" / "own.yaml"):
        with pytest.raises(ConfigError, match="does not travel to the cluster"):
            sweep_submission([str(place), *SHARED])
    with pytest.raises(ConfigError, match="does not travel"):
        train_submission(["demo", *SHARED, "--config", str(outside)], {})
    with pytest.raises(ConfigError, match="no space"):
        sweep_submission(SHARED)


def test_what_git_ignores_stays_here(tmp_path: Path) -> None:
    """What Ray packs of our source is what git knows, or would take."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")
    if not known[0]:
        pytest.skip("not a git checkout")
    root = train_submission(["demo", *SHARED], {}).working_dir
    assert root == ROOT
    junk = ROOT / "runs" / "junk-of-a-test"
    junk.parent.mkdir(exist_ok=True)
    junk.write_text("large")
    try:
        create_package(str(root), tmp_path / "package.zip", include_gitignore=True, excludes=[".git", ".venv"])
    finally:
        junk.unlink()
    with zipfile.ZipFile(tmp_path / "package.zip") as package:
        names = {name for name in package.namelist() if not name.endswith("/")}
    assert {"pyproject.toml", "satgan/__main__.py", "satgan/cluster/spot.py"} <= names <= set(known)


def test_a_worker_costs_its_share_of_the_machine_that_is_preferred(tmp_path: Path) -> None:
    """A machine with four GPUs has four workers."""
    file = tmp_path / "cluster.yaml"
    file.write_text(CLUSTER)
    machine, head = INSTANCES["g6e.24xlarge"], INSTANCES["m7i.large"]
    assert prices_of(file) == {
        "train.head_price": head.on_demand_dollars_per_hour,
        "train.worker_price": machine.spot_dollars_per_hour / 4,
    }
    assert ClusterFile(file).tree["head_node_type"] == "head"


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
