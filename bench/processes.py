"""Processes of a run under Ray, found in /proc: whom a fault can be done to."""

from pathlib import Path


def descendants(process: int) -> list[int]:
    """Process numbers of the children of a process, their children, and so on."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found: list[int] = []
    left = [process]
    while left:
        more = children.get(left.pop(), [])
        found += more
        left += more
    return found


def train_workers(process: int) -> list[int]:
    """Ray Train's workers among the descendants of a process that started Ray."""
    return [number for number in descendants(process) if "RayTrainWorker" in _command(number)]


def raylets(process: int) -> list[int]:
    """Ray's managers of a machine, one for each machine that a process plays."""
    return [number for number in descendants(process) if _command(number).split("\0")[0].endswith("/raylet")]


def alive(process: int) -> bool:
    """Whether it runs: one that has ended and waits for its parent's look does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""
