"""What is wrong with the commands of a cluster file: whether bash reads them, and what `ray start` opens."""

import re
import shutil
import subprocess
from collections.abc import Iterator

from satgan.cluster.cluster_file import ClusterFile, Command, Finding

HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"


def check_commands(file: ClusterFile) -> Iterator[Finding]:
    """Everything about the commands."""
    commands = list(file.commands())
    for command in commands:
        yield from _readable(file, command)
    for name in (HEAD, WORKER):
        yield from _ray_starts(file, name)
    everything = "\n".join(command.text for command in commands)
    if "RAY_AUTH_MODE=token" not in everything:
        found = "no command sets RAY_AUTH_MODE=token: whoever reaches a port runs code on the machines"
        yield file.finding(("setup_commands",), found, "export RAY_AUTH_MODE=token in ~/.bashrc, before ray start")
    if "auth_token" not in str(file.tree.get("file_mounts")):
        found = "file_mounts bring no auth_token to the machines"
        yield file.finding(("file_mounts",), found, "/home/ubuntu/.ray/auth_token: ~/.ray/auth_token")
    region = file.tree.get("provider", {}).get("region")
    for other in set(re.findall(r"AWS_(?:DEFAULT_)?REGION=([\w-]+)", everything)) - {region}:
        found = f"commands set the region {other}, provider.region is {region}"
        yield file.finding(("provider", "region"), found, "name one region")


def _readable(file: ClusterFile, command: Command) -> Iterator[Finding]:
    if command.rest.startswith("#"):
        found = f"YAML takes {command.rest[:60]!r} for a comment, so it never reaches the machine"
        yield file.finding(
            command.where, found, "write the command as a block (`- |`), the comment on a line of its own"
        )
    bash = shutil.which("bash")
    if bash is None:
        return
    read = subprocess.run([bash, "-n"], input=command.text, capture_output=True, text=True, timeout=10)
    if read.returncode:
        why = re.sub(r"^\S+: line ", "line ", read.stderr.strip().splitlines()[0])
        yield file.finding(
            command.where, f"bash does not understand it: {why}", "correct it; quotes may be cut by ` #`"
        )


def _ray_starts(file: ClusterFile, name: str) -> Iterator[Finding]:
    starts = [command for command in file.commands(name) if "ray start" in command.text]
    if not starts:
        yield file.finding((name,), "no `ray start`", "see the repository's cluster.yaml")
    for command in starts:
        if "unset OMP_NUM_THREADS" not in command.text:
            found = "`ray up` exports OMP_NUM_THREADS=1, so workers would compute with one thread"
            yield file.finding(command.where, found, "unset OMP_NUM_THREADS before ray start")
        host = re.search(r"--dashboard-host[= ](\S+)", command.text)
        if name == HEAD and (host is None or host[1] not in ("127.0.0.1", "localhost")):
            found = f"the dashboard and the jobs API listen on {host[1] if host else 'what Ray chooses'}"
            yield file.finding(command.where, found, "--dashboard-host=127.0.0.1, and `ray dashboard` from outside")
        if name == HEAD and "--autoscaling-config" not in command.text:
            found = "the head starts without --autoscaling-config: no worker ever comes"
            yield file.finding(command.where, found, "--autoscaling-config=~/ray_bootstrap_config.yaml")
