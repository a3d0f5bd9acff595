"""What a test has done on the lab's laptop, where the lab's S3 can be reached: `python -m tests.lab.errands VERB …`.

tiles URL      packs a small tile set there
follow URL     prints the entries of a run's journal as they come, one JSON object a line
same URL URL   whether two runs ended with the same weights and took the same steps, as JSON
trials URL     of each of a sweep's trials its least score, by its own journal, and that checkpoint's generator, as JSON
"""

import json
import select
import sys
from collections.abc import Callable
from typing import Any

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


def trials(url: str) -> None:
    """Looks at what the trials have written: neither at the sweep's table nor at what a run notes as its best."""
    keys = (key.split("/") for key, _ in open_store(url).list("trials/"))
    print(json.dumps([_best_of(f"{url}/trials/{key[1]}") for key in keys if key[2:] == [JOURNAL]]))


def _best_of(url: str) -> dict[str, Any]:
    """Its url, score and step, and the digest of that checkpoint's generator."""
    entries = [json.loads(line) for line in _lines(url)]
    score, step = min((entry["score"], entry["step"]) for entry in entries if entry.get("event") == "judged")
    return {"run": url, "score": score, "step": step, "generator": _digests(url, step)["generator.safetensors"]}


def _end(url: str) -> tuple[int, dict[str, str], list[tuple[int, dict[str, float]]]]:
    """Last step, digests of its checkpoint, and the numbers of every entry."""
    from satgan.train.checkpoint import complete_steps

    step = max(complete_steps(open_store(url)))
    entries = [json.loads(line) for line in _lines(url)]
    numbers = [(entry["step"], entry["numbers"]) for entry in entries if "numbers" in entry]
    return step, _digests(url, step), numbers


def _digests(url: str, step: int) -> dict[str, str]:
    """Of the files of a run's checkpoint."""
    from satgan.train.checkpoint import FOLDER, name_of

    digests: dict[str, str] = json.loads(open_store(url).read(f"{FOLDER}/{name_of(step)}/state.json"))["sha256"]
    assert len(digests) >= 4
    return digests


def _lines(url: str) -> list[str]:
    """The whole lines of a run's journal."""
    lines = open_store(url).read(JOURNAL).decode().splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


VERBS: dict[str, Callable[..., None]] = {"tiles": tiles, "follow": follow, "same": same, "trials": trials}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
