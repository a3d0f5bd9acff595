"""The stack, the policies and the machines' environment: what cluster.yaml takes as given agrees with it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from tests.cluster.stack import PLACES, ROLES, ROOT, STACK, policy_of, stack
from tests.test_readme import commands

CFN_LINT = Path(sys.executable).parent / "cfn-lint"


def resources(kind: str) -> dict[str, Any]:
    return {name: made["Properties"] for name, made in stack()["Resources"].items() if made["Type"] == kind}


def test_the_stack_passes_the_linter() -> None:
    regions = ["--regions", "eu-central-1", "us-east-1", "us-west-2"]
    linted = subprocess.run([CFN_LINT, "--template", STACK, *regions], capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("role", ROLES)
def test_a_policy_file_says_what_the_stack_says(role: str) -> None:
    assert json.loads((ROOT / "aws" / f"policy-{role}.json").read_text()) == policy_of(role, PLACES)


@pytest.mark.parametrize("role", ROLES)
def test_a_policy_gives_no_more_than_it_must(role: str) -> None:
    """No wildcard in an action; what changes something is bound to one prefix, one role or one tag."""
    for statement in policy_of(role, PLACES)["Statement"]:
        actions, targets = (
            [statement[part]] if isinstance(statement[part], str) else statement[part]
            for part in ("Action", "Resource")
        )
        assert not any("*" in action for action in actions)
        if all(action.startswith("ec2:Describe") for action in actions):
            continue
        assert "*" not in targets, statement["Sid"]
        for target in targets:
            if target.startswith("arn:aws:s3"):
                assert target.startswith("arn:aws:s3:::<bucket>")
            elif target.startswith("arn:aws:iam"):
                assert "*" not in target
            elif "/instance/" in target or target.endswith((":instance/*", ":volume/*")):
                assert "Condition" in statement, statement["Sid"]
    text = json.dumps(policy_of("worker", PLACES))
    assert "ec2:" not in text
    assert "iam:" not in text


def test_ssh_alone_is_open_and_not_to_everybody() -> None:
    (group,) = resources("AWS::EC2::SecurityGroup").values()
    (rule,) = group["SecurityGroupIngress"]
    assert (rule["FromPort"], rule["ToPort"], rule["CidrIp"]) == (22, 22, {"Ref": "OperatorCidr"})
    pattern = stack()["Parameters"]["OperatorCidr"]["AllowedPattern"]
    assert re.match(pattern, "203.0.113.7/32")
    assert not re.match(pattern, "0.0.0.0/0")
    (within,) = resources("AWS::EC2::SecurityGroupIngress").values()
    assert within["GroupId"] == within["SourceSecurityGroupId"]
    assert "CidrIp" not in within


def test_the_stack_makes_what_cluster_yaml_names() -> None:
    file = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    configs = [kind["node_config"] for kind in file["available_node_types"].values()]
    profiles = {made["InstanceProfileName"] for made in resources("AWS::IAM::InstanceProfile").values()}
    assert {config["IamInstanceProfile"]["Name"] for config in configs} == profiles
    (key,) = resources("AWS::EC2::KeyPair").values()
    assert {config["KeyName"] for config in configs} == {key["KeyName"]}
    for output in ("ImageId", "SecurityGroupId"):
        assert f"of the stack's {output}>" in (ROOT / "cluster.yaml").read_text()
        assert output in stack()["Outputs"]


def test_the_readme_gives_the_stack_what_it_has_no_default_for() -> None:
    """And makes the key that the stack and cluster.yaml name."""
    (deploy,) = (command for command in commands() if command.startswith("aws cloudformation deploy"))
    parameters = stack()["Parameters"]
    needed = {name for name, about in parameters.items() if "Default" not in about}
    given = dict(word.split("=", 1) for word in shlex.split(deploy.split("--parameter-overrides")[1]))
    assert needed <= given.keys() <= parameters.keys()
    key = yaml.safe_load((ROOT / "cluster.yaml").read_text())["auth"]["ssh_private_key"]
    assert given["OperatorPublicKey"] == f"$(cat {key}.pub)"
    assert re.fullmatch(parameters["OperatorCidr"]["AllowedPattern"], given["OperatorCidr"])
    assert any(command.startswith("ssh-keygen ") and command.endswith(f" -f {key}") for command in commands())


def locked() -> dict[str, str]:
    """Name and version of each line of requirements.lock, which all have hashes."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip())
    lines = [block for block in blocks if not block.startswith("#")]
    assert all("--hash=sha256:" in line for line in lines)
    pins = [re.match(r"([A-Za-z0-9_.-]+)==([^ ;]+)", line) for line in lines]
    return {_plain(pin[1]): pin[2] for pin in pins if pin}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_machines_get_the_versions_that_the_project_pins() -> None:
    pins = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    constraints = {_plain(name): version for name, version in pins}
    lock = locked()
    assert {name: version for name, version in lock.items() if name in constraints} == {
        name: version for name, version in constraints.items() if name in lock
    }
    project = (ROOT / "pyproject.toml").read_text()
    listed = project[project.index("\ndependencies = [") : project.index("[project.optional-dependencies]")]
    for text in re.findall(r'^    "(.*?)",', listed, flags=re.MULTILINE):
        assert _plain(Requirement(text).name) in lock
        assert Requirement(text).specifier.contains(lock[_plain(Requirement(text).name)])
    # What builds the project on a machine is locked, too: `pip install --no-build-isolation`.
    assert int(lock["setuptools"].split(".")[0]) >= 77
