"""A stand-in for AWS (moto) in a process of its own, with aws/stack.yaml deployed in it and permissions enforced."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import boto3

from tests.cluster.stack import PLACES, STACK, policy_of

REGION, BUCKET, PREFIX = "eu-central-1", "satgan-lab", "satgan"
MOTO = Path(sys.executable).parent / "moto_server"
STORE = f"s3://{BUCKET}/{PREFIX}"


class Keys(NamedTuple):
    """Credentials."""

    id: str
    secret: str
    token: str = ""

    def environment(self, endpoint: str) -> dict[str, str]:
        """The standard variables, with which the stand-in is AWS."""
        variables = {
            "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": self.id, "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }  # fmt: skip
        return variables | ({"AWS_SESSION_TOKEN": self.token} if self.token else {})


class Cloud:
    """The stand-in as its owner sees it: before permissions are enforced, and with an administrator's rights after.

    Args:
        endpoint: where it answers.

    Once it is deployed it has the operator's credentials, and those that a machine with a role gets.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.image = self.group = ""
        self.operator = self._root = Keys("root", "root")
        self.roles: dict[str, Keys] = {}

    def client(self, service: str, keys: Keys | None = None) -> Any:
        """A client of boto3's, with these credentials or the administrator's."""
        return _client(service, self.endpoint, keys or self._root)

    def deploy(self, public_key: str) -> None:
        """Makes the stack, what moto's stacks leave out of it, and an operator; then enforces permissions."""
        ec2, iam = self.client("ec2"), self.client("iam")
        self.image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        self.client("ssm").put_parameter(Name="/image", Value=self.image, Type="String")
        parameters = {
            "VpcId": ec2.describe_vpcs()["Vpcs"][0]["VpcId"], "OperatorCidr": "203.0.113.7/32",
            "OperatorPublicKey": public_key, "BucketName": BUCKET, "Prefix": PREFIX,
        }  # fmt: skip
        # moto knows the resource of a request to S3, not of one to EC2, and none of AWS's own parameters.
        template = re.sub(r'!Sub "arn:aws:ec2:[^"]*"', '"*"', STACK.read_text())
        template = re.sub(r"Default: /aws/service/.*", "Default: /image", template)
        stacks = self.client("cloudformation")
        stacks.create_stack(
            StackName="satgan", TemplateBody=template, Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        )  # fmt: skip
        (made,) = stacks.describe_stacks(StackName="satgan")["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}
        assert outputs["ImageId"] == self.image
        self.group = outputs["SecurityGroupId"]
        ec2.import_key_pair(KeyName="satgan", PublicKeyMaterial=public_key.encode())
        self.operator = self._user(iam, "operator", self._policy("operator"))
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        self._root = self._user(iam, "administrator", everything)
        for role in ("head", "worker"):  # moto's stacks attach no policies
            for name in iam.list_role_policies(RoleName=f"satgan-{role}")["PolicyNames"]:
                iam.delete_role_policy(RoleName=f"satgan-{role}", PolicyName=name)
            iam.put_role_policy(
                RoleName=f"satgan-{role}", PolicyName=role, PolicyDocument=json.dumps(self._policy(role))
            )
        self.roles = {name: self._assumed(name) for name in ("satgan-head", "satgan-worker")}
        plain = {"Content-Type": "text/plain"}
        enforce = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", b"0", plain)
        urllib.request.urlopen(enforce, timeout=10).close()

    def machines(self) -> list[dict[str, Any]]:
        """Every instance that there ever was."""
        found = self.client("ec2").describe_instances()["Reservations"]
        return [machine for reservation in found for machine in reservation["Instances"]]

    def running(self) -> list[dict[str, Any]]:
        """Those that run."""
        return [machine for machine in self.machines() if machine["State"]["Name"] == "running"]

    def _assumed(self, role: str) -> Keys:
        arn = f"arn:aws:iam::123456789012:role/{role}"
        found = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="machine")["Credentials"]
        return Keys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def _policy(self, role: str) -> dict[str, Any]:
        places = dict.fromkeys(PLACES, "*") | {"BucketName": BUCKET, "Prefix": PREFIX}
        policy = policy_of(role, places)
        for statement in policy["Statement"]:
            if "ec2:" in json.dumps(statement["Action"]):
                statement["Resource"] = "*"
        return policy

    def _user(self, iam: Any, name: str, policy: dict[str, Any]) -> Keys:
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return Keys(made["AccessKeyId"], made["SecretAccessKey"])


@cache
def _client(service: str, endpoint: str, keys: Keys) -> Any:
    """Made once: that takes a good part of a second."""
    client: Any = boto3.client
    return client(
        service, REGION, endpoint_url=endpoint, aws_access_key_id=keys.id, aws_secret_access_key=keys.secret,
        aws_session_token=keys.token or None,
    )  # fmt: skip


def filled_in(text: str, image: str, group: str) -> str:
    """cluster.yaml with its places filled in.

    Raises:
        AssertionError: they are not the ones that are known.
    """
    for place, value in (
        ("<ami-… of the stack's ImageId>", image),
        ('"<sg-… of the stack\'s SecurityGroupId>"', group),
    ):
        assert text.count(place) == 1, place
        text = text.replace(place, value)
    return text


@contextmanager
def moto_server(host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """A process that answers as AWS; its address."""
    with socket.create_server((host, port)) as free:
        port = free.getsockname()[1]
    command = [str(MOTO), "--host", host, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                socket.create_connection((host, port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://{host}:{port}"
    finally:
        process.kill()
        process.wait()
