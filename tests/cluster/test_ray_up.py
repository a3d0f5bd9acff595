"""The whole `ray up` of cluster.yaml against a stand-in for AWS that enforces the policies; ssh is recorded."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
import yaml

from satgan.cluster.cluster_file import SPOT_FIRST
from satgan.cluster.provider import SpotFirst
from tests.cluster.cloud import BUCKET, PREFIX, Cloud, filled_in, moto_server
from tests.cluster.refusing import refusing_spot
from tests.cluster.stack import ROOT

RAY = str(Path(sys.executable).parent / "ray")
RECORDER = '#!/bin/sh\nprintf \'\\036%s\' "${0##*/}" >>"$RECORD"; printf \'\\0%s\' "$@" >>"$RECORD"\n'
LIMIT_SECONDS = 300


class Operator:
    """Somebody with the operator's policy, whose ssh and rsync only write down what they were asked for.

    Args:
        cloud: deployed.
        home: a folder with a token and a filled-in cluster.yaml.
    """

    def __init__(self, cloud: Cloud, home: Path) -> None:
        self.home = home
        self._record = home / "record"
        tools = home / "bin"
        tools.mkdir()
        for name in ("ssh", "rsync"):
            (tools / name).write_text(RECORDER)
            (tools / name).chmod(0o755)
        (home / ".ssh").mkdir()
        (home / ".ssh" / "satgan").write_text("a private key\n")
        self._environment = cloud.operator.environment(cloud.endpoint) | {
            "PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(home), "RECORD": str(self._record),
            "PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(home), "TMPDIR": str(home), "RAY_USAGE_STATS_ENABLED": "0",
        }  # fmt: skip

    def ray(self, verb: str) -> list[list[str]]:
        """`ray up` or `ray down`; the commands that it ran, each as its words."""
        self._record.write_text("")
        file = str(self.home / "cluster.yaml")
        options = ["--no-config-cache"] if verb == "up" else []
        command = [RAY, verb, file, "-y", *options]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=LIMIT_SECONDS
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return [words.split("\0") for words in self._record.read_text().split("\x1e")[1:]]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with moto_server() as endpoint:
        cloud = Cloud(endpoint)
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl lab"
        cloud.deploy(key)
        yield cloud


@pytest.fixture
def operator(cloud: Cloud, home: Path) -> Operator:
    (home / "cluster.yaml").write_text(filled_in((ROOT / "cluster.yaml").read_text(), cloud.image, cloud.group))
    return Operator(cloud, home)


def tags(machine: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in machine["Tags"]}


def assert_as_written(cloud: Cloud, machine: dict[str, Any], profile: str, instance_type: str) -> None:
    """What EC2 was asked for is what cluster.yaml says."""
    assert machine["InstanceType"] == instance_type
    assert machine["ImageId"] == cloud.image
    assert machine["KeyName"] == "satgan"
    assert machine["Placement"]["AvailabilityZone"] == "eu-central-1b"
    assert [group["GroupId"] for group in machine["SecurityGroups"]] == [cloud.group]
    assert machine["IamInstanceProfile"]["Arn"].endswith(f"instance-profile/{profile}")
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    assert machine["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert tags(machine)["project"] == "satgan"
    filters = [{"Name": "attachment.instance-id", "Values": [machine["InstanceId"]]}]
    (disk,) = cloud.client("ec2").describe_volumes(Filters=filters)["Volumes"]
    assert (disk["VolumeType"], disk["Size"], disk["Encrypted"]) == ("gp3", 100, True)
    assert machine["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"]
    assert tags(disk)["project"] == "satgan"


@pytest.mark.slow
def test_ray_up_and_down(cloud: Cloud, operator: Operator) -> None:
    """The head is as the file says; each of its commands and files goes to the machine, in order, and nothing else."""
    ran = operator.ray("up")
    (head,) = cloud.running()
    assert_as_written(cloud, head, "satgan-head", "m7i.large")
    assert "InstanceLifecycle" not in head

    file = yaml.safe_load((operator.home / "cluster.yaml").read_text())
    shell = [words[-1] for words in ran if words[0] == "ssh"]
    places = []
    for command in [*file["setup_commands"], *file["head_start_ray_commands"]]:
        quoted = command.replace("'", "'\"'\"'")
        found = [number for number, text in enumerate(shell) if quoted in text]
        assert len(found) == 1, command
        places += found
    assert places == sorted(places)
    assert all(f"ubuntu@{head['PublicIpAddress']}" in words for words in ran if words[0] == "ssh")

    sent = {words[-1].split(":", 1)[1]: words[-2] for words in ran if words[0] == "rsync"}
    assert set(file["file_mounts"]) <= {path.rstrip("/") for path in sent}
    extra = {path for path in sent if path.rstrip("/") not in file["file_mounts"]}
    assert extra <= {"~/ray_bootstrap_key.pem", "~/ray_bootstrap_config.yaml"}
    told = json.dumps(ran)
    assert "ab" * 32 not in told  # the token
    assert cloud.operator.secret not in told

    # The head starts the workers, by its own role and nothing more.
    from ray.autoscaler._private.util import prepare_config

    worker = prepare_config(file)["available_node_types"]["gpu"]["node_config"]
    asked = {name: value for name, value in worker.items() if name != "SubnetIds"}
    subnet = head["SubnetId"]
    head_keys, worker_keys = cloud.roles["satgan-head"], cloud.roles["satgan-worker"]
    for keys, allowed in ((worker_keys, False), (head_keys, True)):
        request = asked | {"MinCount": 1, "MaxCount": 1, "SubnetId": subnet}
        if allowed:
            cloud.client("ec2", keys).run_instances(**request)
        else:
            with pytest.raises(botocore.exceptions.ClientError, match="not authorized"):
                cloud.client("ec2", keys).run_instances(**request)
    (spot,) = [machine for machine in cloud.running() if machine["InstanceId"] != head["InstanceId"]]
    assert_as_written(cloud, spot, "satgan-worker", "g6.2xlarge")
    assert spot["InstanceLifecycle"] == "spot"
    label = {"Key": "ray-cluster-name", "Value": "satgan"}
    kind = {"Key": "ray-node-type", "Value": "worker"}
    cloud.client("ec2", head_keys).create_tags(Resources=[spot["InstanceId"]], Tags=[label, kind])

    operator.ray("down")
    assert cloud.running() == []


def test_machines_reach_their_prefix_and_nothing_else(cloud: Cloud) -> None:
    for role in ("satgan-head", "satgan-worker"):
        s3 = cloud.client("s3", cloud.roles[role])
        s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/runs/a", Body=b"a")
        assert s3.get_object(Bucket=BUCKET, Key=f"{PREFIX}/runs/a")["Body"].read() == b"a"
        assert s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}/")["KeyCount"] == 1
        s3.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/runs/a")
        refused: list[Callable[[], Any]] = [
            partial(s3.put_object, Bucket=BUCKET, Key="other/a", Body=b"a"),
            partial(s3.create_bucket, Bucket="another"),
            cloud.client("iam", cloud.roles[role]).list_users,
        ]
        for ask in refused:
            with pytest.raises(botocore.exceptions.ClientError, match=r"AccessDenied|not authorized"):
                ask()


def test_a_spot_machine_that_ec2_refuses_comes_on_demand(
    cloud: Cloud, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as the file allows; what the head asks for, with the head's rights."""
    from ray.autoscaler._private.util import prepare_config
    from ray.autoscaler.node_launch_exception import NodeLaunchException

    file = prepare_config(yaml.safe_load((operator.home / "cluster.yaml").read_text()))
    assert file["provider"]["module"] == f"{SpotFirst.__module__}.{SpotFirst.__name__}" == SPOT_FIRST
    subnet = cloud.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    asked = file["available_node_types"]["gpu"]["node_config"] | {"SubnetIds": [subnet]}
    tags_asked = {"ray-node-type": "worker", "ray-user-node-type": "gpu", "ray-launch-config": "0"}
    with refusing_spot(cloud.endpoint) as ec2:
        for name, value in cloud.roles["satgan-head"].environment(ec2.url).items():
            monkeypatch.setenv(name, value)
        make: Any = SpotFirst
        provider = make(file["provider"], "satgan")
        for count in (1, 3):
            provider.create_node(asked, tags_asked, count)
            assert ec2.refused
        with pytest.raises(NodeLaunchException, match="InsufficientInstanceCapacity"):
            provider.create_node(asked, tags_asked, 1)
        came = cloud.running()
        assert len(came) == file["provider"]["on_demand_instead"] == 2
        for machine in came:
            assert "InstanceLifecycle" not in machine
            assert tags(machine)["ray-user-node-type"] == "gpu"
            assert machine["IamInstanceProfile"]["Arn"].endswith("instance-profile/satgan-worker")
        provider.terminate_nodes([machine["InstanceId"] for machine in came])
    assert cloud.running() == []
