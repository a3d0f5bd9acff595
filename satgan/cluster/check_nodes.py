"""What is wrong with the machines that a cluster file describes to EC2: by EC2's own model, and by our rules."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from satgan.cluster.cluster_file import ON_DEMAND_INSTEAD, SPOT_FIRST, ClusterFile, Finding, Path_
from satgan.cluster.prices import GPUS, Instance
from satgan.errors import nearest

RAYS_OWN = ("SubnetIds",)
"""Not EC2's: Ray takes them out before it asks for a machine."""
HEAD_GIGABYTES = 8
"""Ray's own processes, the job's driver and its controller take 2 to 3."""


def check_nodes(file: ClusterFile, table: Mapping[str, Instance]) -> Iterator[Finding]:
    """Everything about the node_configs."""
    shape = _run_instances_shape()
    for where, config in file.node_configs():
        asked = {name: value for name, value in config.items() if name not in RAYS_OWN}
        yield from _by_model(file, where, asked, shape)
        yield from _open_or_bare(file, where, config)
        yield from _disks(file, where, config)
        yield from _type(file, where, config, table)
    yield from _head(file, table)
    yield from _spot(file)


def _run_instances_shape() -> Any:
    return botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape


def _by_model(file: ClusterFile, where: Path_, asked: dict[str, Any], shape: Any) -> Iterator[Finding]:
    """EC2's own model of RunInstances, offline: names, types and named values. Ray's schema looks at none of them."""
    report = ParamValidator().validate({**asked, "MinCount": 1, "MaxCount": 1}, shape).generate_report()
    for line in filter(None, report.splitlines()):
        unknown = re.match(r'Unknown parameter in (.*): "(.*)", must be one of: (.*)', line)
        if unknown:
            place, name, known = unknown.groups()
            spot = (*where, *(() if place == "input" else place.split(".")), name)
            yield file.finding(spot, f"EC2 knows no {name} there", nearest(name, known.split(", ")))
        else:
            yield file.finding(where, line.strip(), "see EC2's RunInstances")
    yield from _unknown_values(file, where, asked, shape)


def _unknown_values(file: ClusterFile, where: Path_, value: Any, shape: Any) -> Iterator[Finding]:
    """Strings that are none of the values that EC2 names for that place: botocore takes any string."""
    if isinstance(value, dict) and shape.type_name == "structure":
        for name, part in value.items():
            if name in shape.members:
                yield from _unknown_values(file, (*where, name), part, shape.members[name])
    elif isinstance(value, list) and shape.type_name == "list":
        for number, part in enumerate(value):
            yield from _unknown_values(file, (*where, number), part, shape.member)
    elif isinstance(value, str) and getattr(shape, "enum", None) and value not in shape.enum:
        yield file.finding(where, f"EC2 knows no {shape.name} {value!r}", nearest(value, shape.enum))


def _open_or_bare(file: ClusterFile, where: Path_, config: dict[str, Any]) -> Iterator[Finding]:
    image = config.get("ImageId")
    if not image:
        yield file.finding(where, "no ImageId: Ray takes an image of 2023 with CUDA 11", "take the stack's ImageId")
    elif not re.fullmatch(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", str(image)) and "<" not in str(image):
        yield file.finding((*where, "ImageId"), f"{image!r} is no image id", "ami- and 17 hexadecimal digits")
    elif len(set(str(image).removeprefix("ami-"))) <= 2:
        yield file.finding((*where, "ImageId"), f"{image} looks like a place to fill in", "take the stack's ImageId")
    if not config.get("SecurityGroupIds") and not config.get("NetworkInterfaces"):
        found = "no SecurityGroupIds: Ray makes a group that opens port 22 to 0.0.0.0/0"
        yield file.finding(where, found, "take the stack's SecurityGroupId")
    if not config.get("IamInstanceProfile"):
        found = "no IamInstanceProfile: Ray gives a head full access to EC2 and S3, and workers nothing"
        yield file.finding(where, found, "take satgan-head or satgan-worker, which the stack makes")
    if (config.get("MetadataOptions") or {}).get("HttpTokens") != "required":
        found = "IMDSv2 is not required: a request that something was talked into gets the machine's credentials"
        yield file.finding(where, found, "MetadataOptions: {HttpTokens: required, HttpPutResponseHopLimit: 1}")
    tagged = {spec.get("ResourceType") for spec in config.get("TagSpecifications") or [] if spec.get("Tags")}
    if missing := {"instance", "volume"} - tagged:
        found = f"no tags for {' and '.join(sorted(missing))}: the policies let nobody touch what is not tagged"
        yield file.finding(where, found, "TagSpecifications with project: satgan for instance and volume")


def _disks(file: ClusterFile, where: Path_, config: dict[str, Any]) -> Iterator[Finding]:
    disks = [disk for disk in config.get("BlockDeviceMappings") or [] if isinstance(disk, dict) and "Ebs" in disk]
    if not disks:
        yield file.finding(where, "no BlockDeviceMappings: the image's small disk", "give an encrypted gp3 disk")
    for number, disk in enumerate(disks):
        place = (*where, "BlockDeviceMappings", number)
        if disk["Ebs"].get("Encrypted") is not True:
            yield file.finding(place, "the disk is not encrypted", "Encrypted: true")
        if disk["Ebs"].get("DeleteOnTermination") is not True:
            yield file.finding(
                place, "the disk stays, and is paid for, when the machine goes", "DeleteOnTermination: true"
            )
        if disk["Ebs"].get("VolumeType") != "gp3":
            yield file.finding(
                place, f"a disk of type {disk['Ebs'].get('VolumeType')}", "gp3 is faster and cheaper", True
            )


def _type(file: ClusterFile, where: Path_, config: dict[str, Any], table: Mapping[str, Instance]) -> Iterator[Finding]:
    name = str(config.get("InstanceType", ""))
    if not name:
        yield file.finding(where, "no InstanceType", "say which machine this is")
    elif name not in table:
        found = f"{name} is not in the price table, so its size and cost are not known"
        yield file.finding((*where, "InstanceType"), found, "add it in a file for --prices", True)
    market = config.get("InstanceMarketOptions") or {}
    behaviour = (market.get("SpotOptions") or {}).get("InstanceInterruptionBehavior", "terminate")
    if behaviour != "terminate":
        found = f"a spot machine that is taken back would {behaviour}: Ray waits for it for ever"
        yield file.finding((*where, "InstanceMarketOptions"), found, "InstanceInterruptionBehavior: terminate")


def _spot(file: ClusterFile) -> Iterator[Finding]:
    markets = [config.get("InstanceMarketOptions") or {} for _, config in file.node_configs()]
    if any(market.get("MarketType") == "spot" for market in markets) and not file.on_demand_instead:
        found = "while EC2 has no such machine on spot there is none: Ray asks for the same again and again"
        remedy = f"type: external, module: {SPOT_FIRST}, {ON_DEMAND_INSTEAD}: how many may come on demand"
        yield file.finding(("provider",), found, remedy, True)


def _head(file: ClusterFile, table: Mapping[str, Instance]) -> Iterator[Finding]:
    name = file.tree.get("head_node_type")
    kind = file.tree["available_node_types"].get(name)
    if not isinstance(kind, dict):
        return  # Ray's schema has told it
    where = ("available_node_types", name)
    if (kind.get("resources") or {}).get("CPU") != 0:
        found = "the head offers its CPUs: training there takes the cluster down when it fills the memory"
        yield file.finding((*where, "resources"), found, "resources: {CPU: 0}")
    config = kind.get("node_config") or {}
    if config.get("InstanceMarketOptions"):
        found = "the head is on spot: when it is taken back the cluster and its jobs are gone"
        yield file.finding((*where, "node_config"), found, "leave InstanceMarketOptions out")
    machine = table.get(str(config.get("InstanceType")))
    if machine and machine.gpu in GPUS:
        yield file.finding((*where, "node_config"), "the head pays for a GPU that it does not use", "m7i.large", True)
    if machine and machine.memory_gigabytes < HEAD_GIGABYTES:
        found = f"the head has {machine.memory_gigabytes:g} GB of memory"
        yield file.finding((*where, "node_config"), found, f"take a type with {HEAD_GIGABYTES} GB at least")
