"""A killed test leaves nothing of the lab."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.stack import ROOT
from tests.lab.lab import skip_unless_possible, until

HOLD = """
import time
from tests.lab.lab import lab
with lab() as world:
    print(world.process.pid, flush=True)
    time.sleep(600)
"""


def below(pid: int) -> set[int]:
    """A process and all that it started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return set()
    return {pid}.union(*(below(int(child)) for child in children))


@pytest.mark.slow
@pytest.mark.lab
def test_a_killed_test_leaves_nothing() -> None:
    skip_unless_possible()
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = int(process.stdout.readline())
        everything = below(first)
        assert len(everything) >= 5  # the lab's own, two servers, the laptop
        process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in everything), 20, "they are gone")
