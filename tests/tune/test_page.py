"""The page needs nothing else and tells every trial; so does the table."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from satgan.__main__ import main
from satgan.config import load_config
from satgan.doctor.finding import Finding
from satgan.tiles.store import open_store
from satgan.train.observed import observe_run
from tests.gallery.browsing import PHONE, faults, opened
from tests.gallery.conftest import browser
from tests.train.conftest import MakeConfig, make_config, run, threads_put_back, tile_set
from tests.tune.plans import found, row
from tune.charts import parallel_coordinates
from tune.page import sweep_page
from tune.parquet import parquet_bytes
from tune.scales import range_scale, scale_of, score_scale
from tune.table import row_of

__all__ = ["browser", "make_config", "threads_put_back", "tile_set"]  # fixtures

ROWS = [row(value, seed, 5.0 + seed + 1e5 * value) for value in (0, 1e-4) for seed in (1, 2)]
FAILED = row(1e-2, 1, None, "diverged", why="step 3: real_loss = <nan>")


def test_the_page_tells_every_trial_and_asks_for_nothing_else() -> None:
    page = sweep_page(found(*ROWS, FAILED))
    for one in (*ROWS, FAILED):
        assert f"<td>{one.trial}</td>" in page
    assert "real_loss = &lt;nan&gt;" in page
    assert "<nan>" not in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?(?!data:)", page)
    assert "<script" not in page
    assert page.count("<svg") == page.count("</svg>") == 3
    assert page.count("<circle") == 4, "the marginal plot has every trial with a score"
    assert page.count("class=trial ") == 8, "parallel coordinates and learning curves have them as well"
    assert "larger than changing the seed" in page


def test_the_page_tells_the_doctors_findings_of_each_trial_and_of_its_setting() -> None:
    share = Finding("S25", "warning", "the L2 term is 60% of <it>", 0.6, 0.5, "--recipe.generator-l2 0.01", 20)
    worse = share._replace(found="the L2 term is 80% of <it>", figure=0.8).as_dict() | {"step": 20, "until": None}
    over = share._replace(rule="S31", level="error", found="fast").as_dict() | {"step": 20, "until": 40}
    held = share.as_dict() | {"step": 20, "until": None}
    told = [ROWS[0]._replace(findings=[held]), ROWS[1]._replace(findings=[worse, over]), *ROWS[2:]]
    page = sweep_page(found(*told))
    assert "<td>S25 in 2, S31 in 1</td>" in page, "of the setting"
    assert page.count("S25 warning</span>") == 2
    assert page.count("S31 error</span>") == 1
    assert "<td>the L2 term is 80% of &lt;it&gt;</td>" in page, "the one that lies farthest off"
    assert f"2 of 4</summary>{ROWS[0].trial}, {ROWS[1].trial}</details>" in page
    assert f"{ROWS[1].trial} (over after step 40)" in page
    assert "Nothing while the trials went on" in sweep_page(found(*ROWS))


def test_the_page_tells_what_the_sweep_has_cost_where_that_is_known() -> None:
    assert "0.75 USD" in sweep_page(found(*(one._replace(dollars=0.25) for one in ROWS[:3])))
    assert "USD." not in sweep_page(found(*ROWS))


def test_tiles_of_trials_are_of_the_same_noise(make_config: MakeConfig) -> None:
    """Of equal weights, whatever the run's seed, they are the same picture."""
    outcome = run(make_config(judge={"tiles": 24, "wait": True}, train={"steps": 5}))
    one = row_of(open_store(outcome.run), ["recipe.generator_l2"])
    page = sweep_page(found(one, one._replace(trial="other", seed=9)))
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 2
    assert pictures[0] == pictures[1]


def test_of_a_trials_judgements_only_those_by_as_many_tiles_as_the_last_are_told(
    make_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another number of tiles gives other scores, and one may look like a best."""
    outcome = run(make_config(judge={"tiles": 24, "wait": True}))
    journal = Path(outcome.run) / "journal.jsonl"
    other = {"step": 3, "event": "judged", "score": 0.5, "tiles": 40, "scores": {}}
    first, *lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([first, json.dumps(other) + "\n", *lines]))
    one = row_of(open_store(outcome.run), [])
    assert one.tiles == 24
    assert [step for step, _ in one.curve] == [5, 10, 12]
    assert one.score == min(score for _, score in one.curve)
    store = outcome.run.rpartition("/")[0]
    logged = observe_run(open_store(store), "run")
    assert (logged["scores"]["best"], logged["scores"]["tiles"]) == (one.score, 24)
    capsys.readouterr()
    assert main(["log", store]) == 0
    assert f"{one.score:.2f} after {one.best_step}  24 tiles" in capsys.readouterr().out


def test_the_table_holds_everything_of_every_trial(make_config: MakeConfig) -> None:
    outcome = run(make_config(judge={"tiles": 24, "wait": True}, train={"worker_price": 100}))
    one = row_of(open_store(outcome.run), ["recipe.generator_l2"])
    table = parquet.read_table(io.BytesIO(parquet_bytes(found(one, FAILED)))).to_pylist()
    assert [entry["trial"] for entry in table] == ["run", FAILED.trial]
    told = table[0]
    assert told["judged_steps"] == [5, 10, 12]
    assert told["score"] == min(told["judged_scores"])
    assert told["spectrum.value"] / told["spectrum.floor"] == pytest.approx(told["spectrum.ratio"], rel=1e-3)
    assert told["last.generator_regularizer_share_after"] > 0
    assert told["dollars"] > 0
    assert "S07" in [finding["rule"] for finding in json.loads(told["findings"])], "150 tiles are few"
    assert table[1]["why"] == FAILED.why
    assert table[1]["score"] is None

    config: Any = json.loads(told["config"])
    config.pop("about")
    assert load_config(config["gan"]["preset"], config).numbers() == make_config().numbers()


def test_values_have_their_place_on_an_axis() -> None:
    few = scale_of([[8, 4], [16, 8], [8, 4]])
    assert [few.at([8, 4]), few.at([16, 8])] == [0.25, 0.75]
    assert scale_of(["b", "a"]).ticks() == [(0.25, "a"), (0.75, "b")]
    many = scale_of([10.0**-number for number in range(8)])
    assert many.log
    assert many.at(1e-7) == 0
    assert many.at(10**-3.5) == pytest.approx(0.5)
    assert not range_scale(0.4, 1.0).log


@pytest.mark.parametrize("scores", [[15.95, 19.34], [3.4, 3.5], [2.0, 90.0], [5.0]])
def test_labels_of_an_axis_are_the_values_of_their_places(scores: list[float]) -> None:
    """Not rounded to look like equal distances."""
    scale = score_scale(scores)
    ticks = scale.ticks()
    assert len(ticks) >= 2
    assert [scale.at(float(text)) for _, text in ticks] == pytest.approx([place for place, _ in ticks])


def test_trials_with_one_checkpoint_each_have_their_points_among_the_learning_curves() -> None:
    page = sweep_page(found(*(one._replace(curve=[(20, one.score or 0.0)]) for one in ROWS)))
    curves = page[page.index("Learning curves") : page.index("What the doctor found")]
    assert curves.count("<circle class=trial ") == 4
    assert "<polyline" not in curves


def test_labels_stand_above_the_lines_and_beside_the_axis_from_which_these_begin() -> None:
    chart = parallel_coordinates(found(*ROWS))
    first, *_ = re.findall(r'<line x1="([\d.]+)"', chart)
    labels = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor=(\w+) class=tick>([^<]+)<', chart)
    assert [(float(x) < float(first), anchor) for x, anchor, text in labels if text in ("0", "0.0001")] == [
        (True, "end"), (True, "end"),
    ]  # fmt: skip
    assert chart.rindex("<polyline") < chart.index("class=tick")


def test_the_page_has_no_empty_part_for_the_end_of_runs_that_have_no_score_there() -> None:
    worse, broken = [(10, 2.0), (20, 9.0)], [(10, 2.0), (20, float("inf"))]
    rows = [row(value, seed, 2.0, curve=worse) for value in (0, 1e-4) for seed in (1, 2)]
    assert "<h3>At the end of the runs</h3>" in sweep_page(found(*rows))
    assert "<h3>At the end" not in sweep_page(found(*(one._replace(curve=broken) for one in rows)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_it_needs_no_network_fits_a_phone_and_is_readable_by_all(
    browser: Any, tmp_path: Path, scheme: str
) -> None:
    finding = Finding("S25", "warning", "the L2 term is 60%", 0.6, 0.5, "--recipe.generator-l2 0.01", 20)
    held = finding.as_dict() | {"step": 20, "until": None}
    worse = [(10, 2.0), (20, 9.0)]
    rows = [one._replace(findings=[held], curve=worse) for one in ROWS]
    (tmp_path / "sweep.html").write_text(sweep_page(found(*rows, FAILED)))
    with opened(browser, tmp_path / "sweep.html", viewport=PHONE, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert faults(page) == []
