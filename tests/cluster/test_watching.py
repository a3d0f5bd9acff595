"""Who watches a run from afar sees what its journal gets, its grids, and figures named as the dashboard names them."""

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from satgan.cluster.watch import watch
from satgan.errors import InputError
from satgan.tiles.store import open_store
from satgan.train.clock import memory
from satgan.train.ray_metrics import GAUGES, figures_of
from tests.train.conftest import MakeConfig, make_config, run, threads_put_back, tile_set
from tests.waiting import until

__all__ = ["make_config", "threads_put_back", "tile_set"]  # fixtures

DASHBOARD = Path(__file__).resolve().parents[2] / "satgan" / "cluster" / "grafana.json"


def test_a_journal_is_followed_to_its_end(make_config: MakeConfig, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry once, also where a resume wrote some anew; the grid with its whole address."""
    store = open_store(place)
    with pytest.raises(InputError, match="no journal in"):
        watch(store, print)
    running, seen = True, list[str]()
    monkeypatch.setattr("satgan.cluster.watch.is_running", lambda run: running)
    entries: list[dict[str, Any]] = [{"step": step, "event": f"e{step}"} for step in range(3)]

    def write(entries: list[dict[str, Any]]) -> None:
        store.write("journal.jsonl", "".join(json.dumps(entry) + "\n" for entry in entries).encode())

    following = threading.Thread(target=watch, args=(store, seen.append, 0.02))
    following.start()
    write(entries)
    until(lambda: len(seen) == 3)
    entries[1:] = [
        entries[2],  # what befell the attempt before stays
        {"step": 1, "event": "resume", "workers": 2},
        {"step": 2, "event": "checkpoint", "grid": "film/g.png"},
    ]
    write(entries)
    until(lambda: len(seen) == 5)
    entries.append({"step": 3, "event": "end", "seconds": 1.5})
    write(entries)
    running = False
    following.join(30)
    assert seen[:3] == ["step 0 · e0", "step 1 · e1", "step 2 · e2"]
    assert seen[3:5] == ["step 1 · resume workers=2", f"step 2 · checkpoint grid={store.url.rstrip('/')}/film/g.png"]
    assert seen[5:] == ["step 3 · end seconds=1.5"]


def test_every_figure_of_a_journal_has_its_gauge(make_config: MakeConfig) -> None:
    """Of a real run: none is forgotten, tags and names are those that were promised."""
    priced = make_config(train={"worker_price": 1}, recipe={"history_share": 1.0, "history_capacity": 8})
    outcome = run(priced)
    lines = [json.loads(line) for line in (Path(outcome.run) / "journal.jsonl").read_text().splitlines()]
    told: dict[str, float] = {}
    for line in lines:
        told |= line.get("numbers", {}) | line.get("timing", {})
    told = {name: value for name, value in told.items() if "." not in name}  # the doctor's have their findings
    found = list(figures_of(told | {"step": 4.0, "steps": 4.0, "path_a_share": 0.5, "score": 2.0}))
    assert {figure.gauge for figure in found} == GAUGES.keys() - {"gpu_memory_bytes"}
    assert all(tuple(figure.tags) == GAUGES[figure.gauge] for figure in found)
    assert len(found) == len(told) + 4 - len({"seconds", "path_a", *memory()})
    losses = {(figure.tags["part"], figure.tags["moment"]): figure.value for figure in found if figure.gauge == "loss"}
    assert losses["fake", "after"] == told["fake_loss_after"]
    assert {part for part, _ in losses} == {"real", "fake", "history", "generator"}


def test_the_dashboard_shows_every_gauge_and_no_other_of_ours() -> None:
    """By its tags; all panels lie beside each other."""
    tree = json.loads(DASHBOARD.read_text())
    panels = tree["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    used = {name for expression in expressions for name in re.findall(r"ray_satgan_(\w+)", expression)}
    assert used == GAUGES.keys() - {"regularizer"}
    for expression in expressions:
        for name, selected in re.findall(r"ray_satgan_(\w+)\{(.*?)\}", expression):
            tags = {*GAUGES[name], "run", "worker"}
            grouped = re.findall(r"by \((.*?)\)", expression)
            assert set(re.findall(r"(\w+)=", selected)) <= tags
            assert {word for words in grouped for word in words.split(", ")} <= tags
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [(x, y) for panel in panels for x, y in _cells(panel["gridPos"])]
    assert len(taken) == len(set(taken))
    assert {variable["name"] for variable in tree["templating"]["list"]} == {"datasource", "run"}


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
    assert columns.stop <= 24
    return [(x, y) for x in columns for y in rows]
