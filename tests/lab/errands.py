"""What a test has done on the lab's laptop, where the lab's S3 can be reached: `python -m tests.lab.errands VERB …`.

tiles URL      packs a small tile set there
follow URL     prints the entries of a run's journal as they come, one JSON object a line
same URL URL   whether two runs ended with the same weights and took the same steps, as JSON
"""

import json
import select
import sys
from collections.abc import Callable

from satgan.errors import StoreError
from satgan.tiles.store import open_store

JOURNAL = "journal.jsonl"
PAUSE_SECONDS = 1


def tiles(url: str) -> None:
    """150 tiles of 16×16×3."""
    from satgan.tiles.shards import pack
    from tests.train.conftest import made_tiles

    pack(made_tiles(), url, size=16, channels=3, seed=1, source="made", cut={})


def follow(url: str) -> None:
    """Prints what a journal gains, until stdin is closed; after a resume what is written anew once more."""
    run, seen = open_store(url), list[str]()
    while True:
        try:
            lines = _lines(url) if run.exists(JOURNAL) else []
        except StoreError:
            lines = []
        same = next((number for number, pair in enumerate(zip(seen, lines, strict=False)) if pair[0] != pair[1]), None)
        new = lines[len(seen) if same is None else same :]
        if new:
            print("".join(new), end="", flush=True)
            seen = lines
        if select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
            return


def same(one: str, other: str) -> None:
    """Compares two runs."""
    ends = [_end(url) for url in (one, other)]
    print(json.dumps({"steps": [step for step, _, _ in ends], "weights": ends[0][1] == ends[1][1],
                      "numbers": ends[0][2] == ends[1][2], "count": len(ends[0][2])}))  # fmt: skip


def _end(url: str) -> tuple[int, dict[str, str], list[tuple[int, dict[str, float]]]]:
    """Last step, digests of its checkpoint, and the numbers of every entry."""
    from satgan.train.checkpoint import FOLDER, complete_steps, name_of

    run = open_store(url)
    step = max(complete_steps(run))
    state = json.loads(run.child(f"{FOLDER}/{name_of(step)}").read("state.json"))
    assert len(state["sha256"]) >= 4
    entries = [json.loads(line) for line in _lines(url)]
    return step, state["sha256"], [(entry["step"], entry["numbers"]) for entry in entries if "numbers" in entry]


def _lines(url: str) -> list[str]:
    """The whole lines of a run's journal."""
    lines = open_store(url).read(JOURNAL).decode().splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


VERBS: dict[str, Callable[..., None]] = {"tiles": tiles, "follow": follow, "same": same}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
