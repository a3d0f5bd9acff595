"""aws/stack.yaml as plain values, and what a cloud stand-in makes of it."""

import json
import re
from pathlib import Path
from typing import Any

from cfnlint.decode.cfn_yaml import load

ROOT = Path(__file__).resolve().parents[2]
STACK = ROOT / "aws" / "stack.yaml"
PLACES = {
    "AWS::Region": "<region>", "AWS::AccountId": "<account>", "BucketName": "<bucket>", "Prefix": "<prefix>",
    "SecurityGroup.GroupId": "<security-group>",
}  # fmt: skip
"""What a policy in aws/ leaves to be filled in, by the stack's own names."""
ROLES = {
    "head": ("StorePolicy", "LaunchPolicy", "HeadRole"),
    "worker": ("StorePolicy",),
    "operator": ("StorePolicy", "LaunchPolicy", "OperatorPolicy"),
}
"""Whose rights are in which parts of the stack."""


def stack() -> dict[str, Any]:
    """The template, functions as `{"Fn::Sub": …}`."""
    return dict(json.loads(json.dumps(load(str(STACK)), default=str)))


def policy_of(role: str, places: dict[str, str]) -> dict[str, Any]:
    """What a role may do by the stack, as one policy, with the places filled in."""
    statements: list[Any] = []
    for name in ROLES[role]:
        properties = stack()["Resources"][name]["Properties"]
        for policy in [properties, *properties.get("Policies", [])]:
            statements += policy.get("PolicyDocument", {}).get("Statement", [])
    return {"Version": "2012-10-17", "Statement": _filled(statements, places)}


def _filled(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, dict) and value.keys() == {"Fn::Sub"}:
        return re.sub(r"\$\{(.*?)\}", lambda found: places[found[1]], value["Fn::Sub"])
    if isinstance(value, dict) and value.keys() == {"Ref"}:
        return places[value["Ref"]]
    if isinstance(value, dict):
        return {name: _filled(part, places) for name, part in value.items()}
    return [_filled(part, places) for part in value] if isinstance(value, list) else value
