"""What scripts/bench faults finds and prints."""

import subprocess
import sys

from bench.faults import Row, markdown
from bench.processes import alive, descendants, train_workers

SLEEPER = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"


def test_processes_are_found_and_their_end_is_seen() -> None:
    """A child's child is a descendant; one that is killed and not looked after yet does not live."""
    parent = subprocess.Popen([sys.executable, "-c", SLEEPER])
    while not (below := descendants(parent.pid)):
        pass
    assert all(map(alive, [parent.pid, *below]))
    assert train_workers(parent.pid) == []
    subprocess.run(["kill", "-KILL", *map(str, [parent.pid, *below])], check=True)
    while alive(parent.pid):
        pass
    parent.wait()
    assert not alive(parent.pid)
    assert descendants(parent.pid) == []


def test_the_table_says_what_was_found_by_nobody() -> None:
    rows = [Row("worker killed", "started anew", 50, 0.24, 11.06, 11.12), Row("driver killed", "again", 7, None, 9, 10)]
    lines = markdown(rows).splitlines()
    assert lines[2] == "| worker killed | started anew | 50 | 0.2 | 11.1 | 11.1 |"
    assert lines[3] == "| driver killed | again | 7 | — | 9.0 | 10.0 |"
