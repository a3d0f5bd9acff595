"""OpenStack Swift with its S3 interface, on loopback: a server that checks signatures, which moto does not.

It runs from an environment of its own, `.venv-swift`, which `scripts/test` makes: four daemons (proxy, account,
container, object), one disk (a folder), one copy of everything.
"""

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parents[2] / ".venv-swift" / "bin"
KEY, SECRET, BUCKET = "test:tester", "testing", "satgan-test"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
STORES = ("account", "container", "object")

COMMON = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}
mount_check = false
disable_fallocate = true
"""

STORE = """
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""

PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""

RINGS = """
import sys
from swift.common.ring import RingBuilder
for name, port in zip(sys.argv[2::2], sys.argv[3::2]):
    builder = RingBuilder(4, 1, 1)
    builder.add_dev({
        "id": 0, "region": 1, "zone": 1, "weight": 1, "device": "disk", "meta": "",
        "ip": "127.0.0.1", "port": int(port), "replication_ip": "127.0.0.1", "replication_port": int(port),
    })
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{name}.ring.gz")
"""


def missing() -> str | None:
    """Why Swift cannot be started; None where it can."""
    if (PROGRAMS / "swift-proxy-server").exists():
        return None
    return f"OpenStack Swift is not installed in {PROGRAMS.parent}: `scripts/test` makes it, where pip can"


@contextmanager
def swift_server(folder: Path) -> Iterator[str]:
    """Swift over an empty folder, which has to know extended attributes. Gives the endpoint's url."""
    ports = {name: _free_port() for name in (*STORES, "proxy")}
    _configure(folder, ports)
    with ExitStack() as stack:
        for name in ports:
            stack.callback(_stop, _start(folder, name))
        for name, port in ports.items():
            _wait_for(port, folder / f"{name}.log")
        yield f"http://127.0.0.1:{ports['proxy']}"


def _configure(folder: Path, ports: dict[str, int]) -> None:
    (folder / "disk").mkdir()
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
    for name, port in ports.items():
        text = COMMON + (PROXY if name == "proxy" else STORE)
        settings = text.format(name=name, port=port, folder=folder, user=getpass.getuser(), secret=SECRET)
        (folder / f"{name}.conf").write_text(settings)
    rings = [word for name in STORES for word in (name, str(ports[name]))]
    subprocess.run([PROGRAMS / "python", "-W", "ignore", "-c", RINGS, folder, *rings], check=True)


def _start(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    command = [str(PROGRAMS / f"swift-{name}-server"), str(folder / f"{name}.conf"), "--verbose"]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait(STOP_SECONDS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise OSError(f"Swift does not answer on port {port}: {log.read_text()[-2000:]}")
