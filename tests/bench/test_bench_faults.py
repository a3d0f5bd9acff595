"""What scripts/bench faults finds and prints."""

import subprocess
import sys

from bench.faults import markdown, store_table
from bench.faults_ray import Row
from bench.faults_stores import Trouble
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


def test_the_table_says_what_was_found_by_nobody_and_what_is_rays_own() -> None:
    rows = [
        Row("worker killed", "started anew", 50, 0.24, 11.06, 11.12, 9.9),
        Row("driver killed", "again", 7, None, 9, 10),
    ]
    lines = markdown(rows).splitlines()
    assert lines[2] == "| worker killed | started anew | 50 | 0.24 | 11.1 | 11.1 | 9.9 |"
    assert lines[3] == "| driver killed | again | 7 | — | 9.0 | 10.0 | — |"


def test_what_befell_a_store_is_told_with_the_journals_line() -> None:
    line = store_table([Trouble("S3 gone", 60, 0.004, 1235, 0.43, 0.5, "`checkpoint_failed`")]).splitlines()[2]
    assert line == "| S3 gone | 60 | 0.004 | 1,235 | 0.43 | 0.5 | `checkpoint_failed` |"
