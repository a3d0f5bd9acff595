"""What a test has done on the lab's laptop, where the lab's S3 can be reached: `python -m tests.lab.errands VERB …`.

tiles URL      packs a small tile set there
follow URL     prints the entries of a run's journal as they come, one JSON object a line
same URL URL   whether two runs ended with the same weights and took the same steps, as JSON
"""

import json
import sys
import time
from typing import Any

from satgan.errors import StoreError
from satgan.tiles.shards import pack
from satgan.tiles.store import open_store
from satgan.train.checkpoint import FOLDER, complete_steps, name_of
from satgan.train.journal import JOURNAL_NAME
from tests.train.conftest import made_tiles


def tiles(url: str) -> None:
    """150 tiles of 16×16×3."""
    pack(made_tiles(), url, size=16, channels=3, seed=1, source="made", cut={})


def follow(url: str) -> None:
    """Prints what a journal gains, until it is killed."""
    run, seen = open_store(url), list[dict[str, Any]]()
    while True:
        try:
            entries = _entries(url) if run.exists(JOURNAL_NAME) else []
        except StoreError:
            entries = []
        for entry in entries:
            if entry not in seen:
                print(json.dumps(entry), flush=True)
        seen += [entry for entry in entries if entry not in seen]
        time.sleep(1)


def same(one: str, other: str) -> None:
    """Compares two runs."""
    ends = [_end(url) for url in (one, other)]
    print(json.dumps({"steps": [step for step, _, _ in ends], "weights": ends[0][1] == ends[1][1],
                      "numbers": ends[0][2] == ends[1][2], "count": len(ends[0][2])}))  # fmt: skip


def _end(url: str) -> tuple[int, dict[str, str], list[tuple[int, dict[str, float]]]]:
    """Last step, digests of its checkpoint, and the numbers of every step."""
    run = open_store(url)
    step = max(complete_steps(run))
    state = json.loads(run.child(f"{FOLDER}/{name_of(step)}").read("state.json"))
    assert len(state["sha256"]) >= 4
    return step, state["sha256"], [(entry["step"], entry["numbers"]) for entry in _entries(url) if "numbers" in entry]


def _entries(url: str) -> list[dict[str, Any]]:
    lines = open_store(url).read(JOURNAL_NAME).decode().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


if __name__ == "__main__":
    {"tiles": tiles, "follow": follow, "same": same}[sys.argv[1]](*sys.argv[2:])
