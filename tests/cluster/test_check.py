"""`satgan cluster check` finds what is wrong with a cluster file, and nothing in one that is right."""

import json
import re
from pathlib import Path

import pytest
import yaml

from satgan.__main__ import main
from satgan.cluster.check import check
from tests.cluster.stack import ROOT

DEFECTS = [
    # Ray's schema
    ("idle_timeout_minutes: 10", "idle_timeout: 10", "'idle_timeout' was unexpected"),
    ("max_workers: 8\n#", 'max_workers: "8"\n#', "is not of type 'integer'"),
    ("head_node_type: head", "head_node_type: haed", "head_node_type"),
    # EC2's model, where Ray's schema looks at nothing
    ("      InstanceType: m7i.large", "      InstancType: m7i.large", "EC2 knows no InstancType"),
    ("m7i.large", "m7i.larg", "EC2 knows no InstanceType 'm7i.larg'"),
    ("VolumeSize: 100", "VolumSize: 100", "EC2 knows no VolumSize"),
    ("VolumeType: gp3", "VolumeType: gp33", "EC2 knows no VolumeType 'gp33'"),
    ("MarketType: spot", "MarketType: spott", "EC2 knows no MarketType 'spott'"),
    ("VolumeSize: 100", 'VolumeSize: "100"', "Invalid type for parameter BlockDeviceMappings[0].Ebs.VolumeSize"),
    # our own rules about machines
    ("ami-0123456789abcdef0", "ami-00000000000000000", "looks like a place to fill in"),
    ("ami-0123456789abcdef0", "ubuntu-24.04", "'ubuntu-24.04' is no image id"),
    ("      SecurityGroupIds:", "      SubnetIds:", "opens port 22 to 0.0.0.0/0"),
    ("      IamInstanceProfile: {Name: satgan-head}\n", "", "full access to EC2 and S3"),
    ("HttpTokens: required", "HttpTokens: optional", "IMDSv2 is not required"),
    ("Encrypted: true", "Encrypted: false", "the disk is not encrypted"),
    (", DeleteOnTermination: true", "", "stays, and is paid for"),
    ("ResourceType: volume", "ResourceType: network-interface", "no tags for volume"),
    ("InstanceInterruptionBehavior: terminate", "InstanceInterruptionBehavior: stop", "would stop"),
    ("resources: {CPU: 0}", "resources: {}", "the head offers its CPUs"),
    ("InstanceType: m7i.large", "InstanceType: c7i.large", "c7i.large is not in the price table"),
    ("  type: external\n  module: satgan.cluster.provider.SpotFirst\n", "  type: aws\n", "Ray asks for the same again"),
    ("  type: external\n", "  type: aws\n", "Ray asks for the same again"),
    ("on_demand_instead: 2", "on_demand_insted: 2", "Ray asks for the same again"),
    ("cache_stopped_nodes: false", "cache_stopped_nodes: true", "stopped machines are kept"),
    ("availability_zone: eu-central-1b", "availability_zone: eu-central-1a,eu-central-1b", "several zones"),
    ("availability_zone: eu-central-1b", "availability_zone: us-east-1b", "not of the region"),
    # commands
    ("  - |\n    ray stop\n  - |\n    unset OMP_NUM_THREADS; ulimit -n 65536\n    ray start --head",
     "  - echo 'a # b'; ray stop # all of it\n  - |\n    unset OMP_NUM_THREADS; ulimit -n 65536\n    ray start --head",
     "never reaches the machine"),
    ("setup_commands:\n", "setup_commands:\n  - echo \"a\" 'b #\n", "bash does not understand it"),
    ("fi\n    sudo chown", "sudo chown", "bash does not understand it"),
    ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "the jobs API listen on 0.0.0.0"),
    ("--dashboard-host=127.0.0.1 ", "", "the jobs API listen on what Ray chooses"),
    ("unset OMP_NUM_THREADS; ", "", "OMP_NUM_THREADS=1"),
    ("--autoscaling-config=~/ray_bootstrap_config.yaml", "", "no worker ever comes"),
    (" RAY_AUTH_MODE=token", "", "whoever reaches a port"),
    ("  /home/ubuntu/.ray/auth_token: ~/.ray/auth_token\n", "", "bring no auth_token"),
    ("AWS_DEFAULT_REGION=eu-central-1", "AWS_DEFAULT_REGION=us-east-1", "provider.region is eu-central-1"),
    # secrets, and doors to the world
    ("cluster_name: satgan", "cluster_name: satgan\nmetadata: {key: AKIAABCDEFGHIJKLMNOP}", "an AWS access key"),
    ("ray stop\n", "export AWS_SECRET_ACCESS_KEY=abcdefgh12345678; ray stop\n", "an AWS secret"),
    ("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=token RAY_AUTH_TOKEN=abc", "a token"),
    ("cluster_name: satgan", "cluster_name: satgan\nmetadata: {from: 0.0.0.0/0}", "open to the whole internet"),
    ("  /home/ubuntu/project/LICENSE: LICENSE", "  /home/ubuntu/.aws: ~/.aws", "would be copied to every machine"),
    ("pyproject.toml: pyproject.toml", "pyproject.toml: project.toml", "there is no project.toml here"),
]  # fmt: skip
"""A text of cluster.yaml, what stands there instead, and what is found."""


def test_what_is_not_filled_in_is_found_and_nothing_else(home: Path) -> None:
    found = check(ROOT / "cluster.yaml")
    lines = (ROOT / "cluster.yaml").read_text().splitlines()
    assert [lines[one.line - 1].split(":")[0].strip() for one in found] == ["ImageId", "SecurityGroupIds"]
    assert {one.where for one in found} == {"to fill in"}


def test_a_filled_file_is_right(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(filled) == []
    assert main(["cluster", "check", str(filled)]) == 0
    told = capsys.readouterr()
    assert "nothing found" in told.out
    assert told.err == ""


@pytest.mark.parametrize(("old", "new", "told"), DEFECTS, ids=[told for _, _, told in DEFECTS])
def test_a_defect_is_found_on_its_line(filled: Path, old: str, new: str, told: str) -> None:
    text = filled.read_text()
    assert old in text
    changed = text.replace(old, new, 1)
    filled.write_text(changed)
    matching = [one for one in check(filled) if told in one.found or told in one.where]
    assert matching, check(filled)
    # Never below the change; a part that is gone is told on the part above it.
    assert matching[0].line <= changed[: text.index(old) + len(new)].count("\n") + 1


@pytest.mark.parametrize("most", ["two", "-1", "1.5", "yes"])
def test_a_number_of_machines_that_is_none_is_refused(
    filled: Path, most: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The head would stumble over it when it needs it: while EC2 has no spot machine."""
    filled.write_text(filled.read_text().replace("on_demand_instead: 2", f"on_demand_instead: {most}"))
    assert main(["cluster", "check", str(filled)]) == 2
    assert f"on_demand_instead = {yaml.safe_load(most)!r}" in capsys.readouterr().err


def test_a_token_that_others_can_read_or_that_is_missing_is_refused(filled: Path, home: Path) -> None:
    token = home / ".ray" / "auth_token"
    token.chmod(0o644)
    (found,) = check(filled)
    assert "others on this machine can read" in found.found
    token.unlink()
    (found,) = check(filled)
    assert "there is no ~/.ray/auth_token yet" in found.found


def test_the_verb_refuses_and_tells_in_json(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled.write_text(filled.read_text().replace("Encrypted: true", "Encrypted: false"))
    assert main(["cluster", "check", str(filled), "--json"]) == 2
    told = capsys.readouterr()
    assert {re.sub(r".*node_config\.", "", one["where"]) for one in json.loads(told.out)} == {"BlockDeviceMappings.0"}
    assert "to mend before `ray up`" in told.err


def test_a_note_refuses_nothing(filled: Path, tmp_path: Path) -> None:
    filled.write_text(filled.read_text().replace("InstanceType: m7i.large", "InstanceType: c7i.xlarge"))
    assert main(["cluster", "check", str(filled)]) == 0
    assert [one.is_note for one in check(filled)] == [True]
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "c7i.xlarge: {vcpus: 4, memory_gigabytes: 8, network_gigabits_per_second: 1.6, "
        "on_demand_dollars_per_hour: 0.2, spot_dollars_per_hour: 0.1}\n"
    )
    assert check(filled, prices) == []


@pytest.mark.parametrize("text", ["[1, 2]", "available_node_types: 3", "a: [", None])
def test_what_is_no_cluster_file_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "some.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["cluster", "check", str(path)]) == 2
