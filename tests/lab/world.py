"""The lab's own process, pid 1 of its namespaces: a network, a stand-in for AWS, and a machine for each instance.

`python -m tests.lab.world FOLDER`: says `ready` on stdout once the laptop stands, then keeps machines and instances
alike until it is killed, and everything with it. FOLDER is a tmpfs of the lab's; commands come as files in it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.cluster.cloud import BUCKET, Cloud, moto_server
from tests.cluster.refusing import refusing_spot
from tests.cluster.stack import ROOT

GATEWAY, METADATA = "172.31.255.254", "169.254.169.254"
"""In the network of moto's default VPC, where its instances get their addresses."""
BRIDGE = "02:00:00:00:00:01"
EC2_PORT, S3_PORT, BEHIND_PORT = 5000, 5001, 5002
HOST = Path(__file__).parent / "host.sh"
TOKEN = "a-metadata-token"


class Machine:
    """A machine that runs in namespaces of its own.

    Args:
        name: its name.
        address: in the lab's network.
        folder: the lab's.
        has_sshd: a cloud machine; else the laptop.
    """

    def __init__(self, name: str, address: str, folder: Path, has_sshd: bool = True) -> None:
        self.name = name
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", name, "master", "lab", "up")
        for words in (
            ("addr", "add", f"{address}/16", "dev", "eth0"), ("link", "set", "lo", "up"), ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", GATEWAY),
        ):  # fmt: skip
            _run("ip", "-n", name, *words)
        keep = [str(ROOT), sys.prefix, sys.base_prefix]
        command = ["ip", "netns", "exec", name, "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork",
                   "--kill-child"]  # fmt: skip
        with (folder / f"{name}.log").open("w") as log:
            self._process = subprocess.Popen(
                [*command, str(HOST), name, address if has_sshd else "none", str(folder), *keep],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of its pid 1, as the lab counts; 0 while there is none."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def cut(self) -> None:
        """The power goes: pid 1 dies, and the kernel ends the rest."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
        _run("ip", "netns", "del", self.name)


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2 of the machine that asks, known by its address."""

    cloud: Cloud
    notices: Path
    machines: dict[str, dict[str, Any]]
    """By address; asked of the cloud beforehand, since boto3 gives a metadata service a second to answer."""

    def do_PUT(self) -> None:
        """The token."""
        self._answer(200, TOKEN)

    def do_GET(self) -> None:
        """What a machine may know of itself."""
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._answer(401, "")
            return
        machine = self.machines[self.client_address[0]]
        role = machine["IamInstanceProfile"]["Arn"].rsplit("/", 1)[1]
        keys = self.cloud.roles[role]
        notice = self.notices / machine["InstanceId"]
        told = {
            "/latest/meta-data/instance-id": machine["InstanceId"],
            "/latest/meta-data/instance-type": machine["InstanceType"],
            "/latest/meta-data/instance-life-cycle": machine.get("InstanceLifecycle", "on-demand"),
            "/latest/meta-data/placement/availability-zone": machine["Placement"]["AvailabilityZone"],
            "/latest/meta-data/placement/region": "eu-central-1",
            "/latest/meta-data/iam/security-credentials": role,
            f"/latest/meta-data/iam/security-credentials/{role}": json.dumps({
                "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": keys.id, "SecretAccessKey": keys.secret,
                "Token": keys.token, "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-01-01T00:00:00Z",
            }),
        }  # fmt: skip
        if notice.exists():
            told["/latest/meta-data/spot/instance-action"] = notice.read_text()
        path = self.path.rstrip("/")  # boto3 asks for the role's name with a slash, pyarrow without
        self._answer(200, told[path]) if path in told else self._answer(404, "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *told: Any) -> None:
        """Silence."""


def main(folder: Path) -> None:
    """Runs the lab until it is killed."""
    _network(folder)
    with (
        moto_server(GATEWAY, BEHIND_PORT) as behind,
        refusing_spot(behind, (folder / "no-spot").exists, GATEWAY, EC2_PORT) as ec2,
        moto_server(GATEWAY, S3_PORT) as store,
    ):
        endpoint, cloud = ec2.url, Cloud(behind)
        cloud.deploy((folder / "key.pub").read_text().strip())
        # A server of its own: moto, where it enforces permissions, refuses signed urls.
        unguarded = Cloud(store)
        unguarded.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        _image(folder, endpoint, store)
        Metadata.cloud, Metadata.notices = cloud, folder / "notices"
        Metadata.notices.mkdir()
        threading.Thread(target=ThreadingHTTPServer((METADATA, 80), Metadata).serve_forever, daemon=True).start()
        laptop = Machine("laptop", "172.31.255.1", folder, has_sshd=False)
        while not (folder / "laptop.up").exists():
            time.sleep(0.05)
        keys = cloud.operator.environment(endpoint) | {
            "AWS_ENDPOINT_URL_S3": store,
            "AWS_DEFAULT_REGION": "eu-central-1",
        }
        about = {"laptop": laptop.pid, "image": cloud.image, "group": cloud.group, "environment": keys}
        print(json.dumps(about), flush=True)
        _keep_alike(cloud, folder)


def _keep_alike(cloud: Cloud, folder: Path) -> None:
    """A machine for each running instance, none for others; a file `terminate` names one that the cloud takes back."""
    machines: dict[str, Machine] = {}
    while True:
        wish = folder / "terminate"
        if wish.exists():
            cloud.client("ec2").terminate_instances(InstanceIds=[wish.read_text()])
            wish.unlink()
        known = cloud.machines()
        running = {machine["InstanceId"]: machine for machine in known if machine["State"]["Name"] == "running"}
        Metadata.machines = {machine["PrivateIpAddress"]: machine for machine in running.values()}
        for name in running.keys() - machines.keys():
            # The letter, because a name of digits alone would be read as an address.
            machines[name] = Machine(f"i-{name[-8:]}", running[name]["PrivateIpAddress"], folder)
        for name in machines.keys() - running.keys():
            machines.pop(name).cut()
        listed = [
            {
                "id": machine["InstanceId"], "type": machine["InstanceType"],
                "address": machine.get("PrivateIpAddress"), "life": machine.get("InstanceLifecycle", "on-demand"),
                "state": machine["State"]["Name"],
                "profile": machine.get("IamInstanceProfile", {"Arn": "gone"})["Arn"].rsplit("/", 1)[-1],
                "pid": machines[machine["InstanceId"]].pid if machine["InstanceId"] in machines else 0,
            }
            for machine in known
        ]  # fmt: skip
        (folder / "machines.new").write_text(json.dumps(listed))
        (folder / "machines.new").rename(folder / "machines")
        time.sleep(1)


def _network(folder: Path) -> None:
    for words in (
        # With an address of its own: else a bridge takes the lowest of its ports', and when the machine with that one
        # comes or goes, the others talk to nobody until they have forgotten the former one.
        "link set lo up", f"link add name lab address {BRIDGE} type bridge", f"addr add {GATEWAY}/16 dev lab",
        f"addr add {METADATA}/32 dev lab", "link set lab up",
    ):  # fmt: skip
        _run("ip", *words.split())
    for name in ("key", "hostkey"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(folder / name))


def _image(folder: Path, endpoint: str, store: str) -> None:
    """What an image of EC2's would bring: the shell's start file and an environment, which is this one."""
    # Ray puts its workers behind everything else on their machine, which here is everything else on all of them.
    settings = f"AWS_ENDPOINT_URL={endpoint} AWS_ENDPOINT_URL_S3={store} RAY_worker_niceness=0"
    (folder / "image.bashrc").write_text(f"export {settings}\n")
    (folder / "environment").write_text(sys.prefix)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
