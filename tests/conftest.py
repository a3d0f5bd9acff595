"""Fixtures that more than one room's tests use."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

Begin = Callable[..., "subprocess.Popen[Any]"]
"""Begins a process: a command, and `subprocess.Popen`'s further arguments."""

REPOSITORY = Path(__file__).resolve().parent.parent
# Ray's workers stand back (nice 15) from whatever else runs: the test file beside theirs would starve them for minutes.
os.environ |= {"RAY_worker_niceness": "0"}
S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves tests marked `soak` out unless `-m` names them."""
    if "soak" not in config.option.markexpr:
        soaking = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=soaking)
        items[:] = [item for item in items if item not in soaking]


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """An S3 server (moto) on loopback with one bucket, for the whole session; the standard AWS variables lead to it.

    Returns:
        The bucket's url, `s3://…`. Tests share it: take a prefix of your own, or the fixture `s3_prefix`.
    """
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    for name, value in {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
        patch.setenv(name, value)
    patch.delenv("AWS_PROFILE", raising=False)
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket="satgan-test")
    client.close()
    yield "s3://satgan-test"
    patch.undo()
    server.stop()
    if server._server is not None:  # moto leaves its listening socket open
        server._server.server_close()


@pytest.fixture
def s3_prefix(s3: str) -> str:
    """A prefix of this test alone in the bucket of `s3`."""
    return f"{s3}/{uuid4().hex}"


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The test runs twice: with an empty local folder and with an empty `s3://` prefix; this is its url."""
    if request.param == "folder":
        return str(tmp_path / "place")
    return str(request.getfixturevalue("s3_prefix"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """`shared/data` beside the repository: real imagery that is never committed."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real imagery: {folder} is absent (it is not part of the repository)")
    return folder


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Begins processes, which leave no load behind where a test fails: they end with it."""
    with ExitStack() as stack:

        def begin_one(command: Sequence[str], **how: Any) -> "subprocess.Popen[Any]":
            one = stack.enter_context(subprocess.Popen(command, start_new_session=True, **how))
            stack.callback(_end, one)
            return one

        yield begin_one


def _end(process: "subprocess.Popen[Any]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def small_disk_at(folder: Path, size: str) -> Iterator[Path]:
    """A disk of that size (`64k`, `8m`), mounted at a new folder; skips the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """With room for next to nothing."""
    with small_disk_at(tmp_path / "tiny", "64k") as folder:
        yield folder


@pytest.fixture(autouse=True)
def surroundings_left_as_they_were() -> Iterator[None]:
    """Ray reads its environment when it starts: a variable that a test leaves there fails others, minutes later."""
    before = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}
    yield
    assert {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")} == before


@pytest.fixture(scope="module")
def local_ray(s3: str) -> Iterator[None]:
    """A local Ray that inherits the way to the S3 server."""
    import ray

    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()
    patch.undo()
