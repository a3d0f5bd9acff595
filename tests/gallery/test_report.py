"""A run's report: one page that needs nothing else and says what the run's folder says."""

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from satgan.__main__ import main
from satgan.doctor.finding import Finding
from satgan.errors import CheckpointError, StoreMissing
from satgan.gallery.comparison_page import UNLIKE
from satgan.gallery.record import open_record
from satgan.gallery.report import MOST_GRIDS, report_page, write_report
from satgan.pictures.charts import Line, Strip, line_chart, ticks
from satgan.pictures.web import data_url, pixels_of
from satgan.train.start import prepare
from tests.gallery.browsing import PHONE, faults, opened
from tests.train.conftest import MakeConfig, make_config, run, threads_put_back, tile_set

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["make_config", "threads_put_back", "tile_set"]  # fixtures


@pytest.fixture
def judged_run(make_config: MakeConfig) -> str:
    """Url of a run of 12 steps with three checkpoints, of which the last at least is judged."""
    return run(make_config(train={"keep_checkpoints": 9}, judge={"tiles": 24})).run


def test_a_report_needs_nothing_else(judged_run: str) -> None:
    """No address but data, so that it opens without a network; and it says how the run went."""
    url = write_report(judged_run)
    assert url == f"{judged_run}/report.html"
    page = Path(url).read_text()
    addresses = re.findall(r"""(?:src|href|url)\s*[=:(]\s*["']?([^"'\s>)]+)""", page)
    assert addresses
    assert all(address.startswith(("data:", "shot.url")) for address in addresses), addresses
    assert "http" not in re.sub(r"data:[^\"']+", "", page)
    record = open_record(judged_run)
    (best,) = [entry for entry in record.events("judged") if entry["step"] == record.best]
    for name, score in best["scores"].items():
        value = re.escape(f"{score['value']:.4g}")
        assert re.search(rf'<td>{name}<td class="n">{value}<td', page), name
    steps = [int(step) for step in re.findall(r"\{ step: (\d+), url: ", page)]
    assert steps == [5, 10, 12]
    assert f"after step {record.best}<" in page
    assert re.search(r"<code>recipe.history_share</code><td>0.3<td>0.5\s", page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_it_needs_no_network_and_the_slider_goes_through_the_steps(
    browser: "Browser", judged_run: str, scheme: Any
) -> None:
    """By keyboard, on a phone, readable by all."""
    file = Path(write_report(judged_run))
    with opened(browser, file, viewport=PHONE, color_scheme=scheme) as page:
        for details in page.query_selector_all("details"):
            details.evaluate("one => one.open = true")
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        pictures = {page.get_attribute("#grid", "src")}
        assert page.inner_text("#shown") == "12"
        page.focus("#step")
        for step in ("10", "5"):
            page.keyboard.press("ArrowLeft")
            assert page.inner_text("#shown") == step
            pictures.add(page.get_attribute("#grid", "src"))
        assert len(pictures) == 3
        broken = "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"
        assert page.evaluate(broken) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_judgements_and_comparisons_are_readable_by_all(
    browser: "Browser", judged_run: str, tile_set: str, tmp_path: Path, scheme: Any
) -> None:
    judged, compared = tmp_path / "judged.html", tmp_path / "compared.html"
    assert main(["judge", judged_run, tile_set, "--page", str(judged), "--tiles-per-side", "24"]) == 0
    assert main(["compare", judged_run, judged_run, "--page", str(compared)]) == 0
    for file in (judged, compared):
        with opened(browser, file, viewport=PHONE, color_scheme=scheme) as page:
            assert faults(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
            light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
            assert light == (scheme == "light")


def test_pictures_of_fakes_and_reals_stand_on_one_line(browser: "Browser", judged_run: str) -> None:
    with opened(browser, Path(write_report(judged_run)), viewport={"width": 1200, "height": 900}) as page:
        tops = [page.locator(f".slide >> nth={number} >> img").bounding_box() for number in (0, 1)]
        assert len({top["y"] for top in tops if top}) == 1


def test_a_report_tells_the_speed_that_the_terminal_told(make_config: MakeConfig) -> None:
    """Of the newest attempt as a whole, not of its last steps."""
    run(make_config(train={"steps": 5}))
    outcome = run(make_config(train={"steps": 12}, judge={"tiles": 24}))
    page = report_page(open_record(outcome.run))
    assert f"<b>{outcome.tiles_per_second:,.0f}</b> tiles/s on average" in page
    assert f"<b>{outcome.seconds:,.0f} s</b>" in page
    assert f"<b>{outcome.score:.2f}</b> best score, by {outcome.judged_tiles} tiles" in page


def test_a_comparison_has_charts_and_tells_by_how_many_tiles_was_judged(
    judged_run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(judged_run, other)
    told = []
    for tiles in (24, 42):
        journal = (other / "journal.jsonl").read_text()
        (other / "journal.jsonl").write_text(journal.replace('"tiles": 24', f'"tiles": {tiles}'))
        assert main(["compare", judged_run, str(other), "--page", str(tmp_path / "c.html")]) == 0
        told.append((capsys.readouterr().out, (tmp_path / "c.html").read_text()))
    assert all(UNLIKE not in text for text in told[0])
    for text in told[1]:
        assert UNLIKE in text
        assert "by 24 tiles" in text
        assert "by 42 tiles" in text
    assert told[1][1].count("<polyline") == 2 * 3 + 2 - told[1][1].count('<circle class="line')
    assert len(re.findall(r'<svg[^>]*role="img"', told[1][1])) == 4


def test_a_report_without_tiles_or_judgements_tells_what_is_left_out(make_config: MakeConfig, tile_set: str) -> None:
    outcome = run(make_config(train={"steps": 5}))
    config = Path(outcome.run) / "config.yaml"
    config.write_text(config.read_text().replace(tile_set, "/nowhere/at/all"))
    page = report_page(open_record(outcome.run))
    assert "no such folder: /nowhere/at/all" in page
    assert "overall score; lower is better, 1 is as far from the reals as reals are: nothing was noted." in page


def test_what_comes_from_outside_cannot_write_into_the_page(make_config: MakeConfig) -> None:
    outcome = run(make_config(train={"steps": 5}))
    with (Path(outcome.run) / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps({"step": 5, "event": "restart", "why": "<script>alert(1)</script>"}) + "\n")
    page = report_page(open_record(outcome.run))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_what_befell_a_run_is_told_and_how_far_it_came(make_config: MakeConfig) -> None:
    """A failure after step 7 is no 7 steps where the run began anew; the first start is every run's."""
    outcome = run(make_config(train={"steps": 5}))
    journal = Path(outcome.run) / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    failed = json.dumps({"step": 7, "event": "failed", "found": "the disk is full"}) + "\n"
    journal.write_text(
        "".join([lines[0], failed, lines[0].replace('"undone_steps": 0', '"undone_steps": 7'), *lines[1:]])
    )
    record = open_record(outcome.run)
    page = report_page(record)
    assert record.step() == 5
    assert "the disk is full" in page
    assert re.findall(r"<td>start<td>\s*undone steps: (\d+)", page) == ["7"]


def test_what_the_doctor_found_is_told_with_what_to_do(make_config: MakeConfig) -> None:
    """What holds before what is over, and of each rule the newest."""
    outcome = run(make_config(train={"steps": 5}))
    finding = Finding("S24", "warning", "the old words", 3.0, 2.0, "--recipe.generator-l2 1e-4", 2).as_dict()
    newer = finding | {"found": "weights grow", "level": "error"}
    other = finding | {"rule": "G04", "found": "one network outruns"}
    events = [
        {"step": 2, "event": "finding", **finding}, {"step": 3, "event": "finding", **other},
        {"step": 4, "event": "finding", **newer}, {"step": 5, "event": "finding_over", "rule": "G04"},
    ]  # fmt: skip
    with (Path(outcome.run) / "journal.jsonl").open("a") as journal:
        journal.writelines(json.dumps(entry) + "\n" for entry in events)
    page = report_page(open_record(outcome.run))
    table = page[page.index("What the doctor says") : page.index("How it went")]
    assert "the old words" not in table
    assert table.index("weights grow") < table.index("holds") < table.index("one network outruns")
    assert re.search(r'one network outruns<td class="n">2\s*<td class="n">5<', table)
    assert "--recipe.generator-l2 1e-4" in table


def test_a_fork_is_compared_with_its_parent(make_config: MakeConfig) -> None:
    run(make_config(train={"name": "base", "steps": 5}))
    changed = make_config(train={"name": "child", "steps": 8}, recipe={"beta1": 0.4})
    outcome = run(prepare(changed, lambda text: None, "base")[0])
    page = report_page(open_record(outcome.run))
    assert "Otherwise than the run it was forked from, base" in page
    changes = re.findall(r"<tr><td><code>([\w.]+)</code><td>(.*?)<td>(.*?)\s*(?=<tr>|</tbody>)", page)
    assert ("recipe.beta1", "0.5", "0.4") in changes[:4]
    parent = Path(outcome.run).parent / "base"
    parent.rename(parent.with_name("gone"))
    page = report_page(open_record(outcome.run))
    assert f"Otherwise than the preset article (it was forked from {parent}, which cannot be read)" in page


def test_training_ends_with_a_report(tile_set: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "article", "--tiles", tile_set, "--store", str(tmp_path), "--workers", "0", "--gan.size", "16"]
    small = ["--gan.filters", "8,8", "--gan.dense-head", "", "--gan.smoothing-layers", "0", "--train.lane-batch", "4"]
    words += [*small, "--train.steps", "2", "--train.lanes", "1", "--judge.tiles", "0", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == f"{told['run']}/report.html"
    assert Path(told["report"]).read_text().startswith("<!doctype html>")


def test_of_many_grids_the_first_the_last_and_some_between_are_shown(make_config: MakeConfig) -> None:
    outcome = run(make_config(train={"steps": 5}))
    first = (Path(outcome.run) / "film/grid-00000005.png").read_bytes()
    for step in range(10, 505, 5):
        (Path(outcome.run) / f"film/grid-{step:08d}.png").write_bytes(first)
    page = report_page(open_record(outcome.run))
    steps = [int(step) for step in re.findall(r"\{ step: (\d+), url: ", page)]
    assert (steps[0], steps[-1]) == (5, 500)
    assert 10 < len(steps) <= MOST_GRIDS + 1


def test_there_is_no_report_of_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match=r"no run in .*: it has no config.yaml"):
        write_report(str(tmp_path))


@pytest.mark.parametrize("text", ["train: [", "gan: {size: 64}", "train: {steps: 5}", "gan: 1", "[1]"])
def test_there_is_no_report_of_a_config_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"config.yaml is not a run's config"):
        write_report(str(tmp_path))


def test_a_line_lies_where_its_numbers_say() -> None:
    """Ends of the axes, order, and what cannot be drawn."""
    chart = line_chart("t", "x", [Line("a", [0, 1, 2], [1.0, float("nan"), 3.0])])
    (points,) = re.findall(r'points="([^"]+)"', chart)
    (left, low), (right, high) = (tuple(map(float, point.split(","))) for point in points.split())
    assert (left, right) == (62, 708)
    assert low > high  # downwards in SVG
    curves = [line_chart("t", "x", [Line("a", range(1, 4), y)], logarithmic=True) for y in ([1, 10, 100], [0, 10, 100])]
    heights = [float(point.split(",")[1]) for point in re.findall(r'points="([^"]+)"', curves[0])[0].split()]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    assert len(re.findall(r'points="([^"]+)"', curves[1])[0].split()) == 2
    assert "nothing was noted" in line_chart("t", "x", [Line("a", [], [])])
    darkness = re.findall(
        r'fill-opacity="([\d.]+)"', line_chart("t", "x", [Line("a", [0, 1], [0, 1])], strip=Strip("p", [0, 1], [0, 1]))
    )
    assert darkness == ["0.00", "1.00"]


def test_a_long_line_is_thinned_and_keeps_its_mean() -> None:
    """Half of it jumps from 0 to 2 and back, half of it is 1."""
    chart = line_chart("t", "x", [Line("a", range(20_000), [0, 2] * 5_000 + [1] * 10_000)])
    points = re.findall(r'points="([^"]+)"', chart)[0].split()
    assert 200 <= len(points) <= 400
    assert len({point.split(",")[1] for point in points}) == 1


@pytest.mark.parametrize(
    ("low", "high", "logarithmic"), [(0, 1, False), (-3, 17, False), (1e-4, 30, True), (2, 9, True)]
)
def test_ticks_are_round_and_inside(low: float, high: float, logarithmic: bool) -> None:
    found = ticks(low, high, logarithmic)
    assert 2 <= len(found) <= 12
    assert found == sorted(found)
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)
    assert all(len(f"{tick:.3g}".strip("0.-").replace(".", "").rstrip("0")) <= 3 for tick in found)


def test_pictures_travel_as_data() -> None:
    import base64

    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:20] = (250, 10, 10)
    head, _, data = data_url(picture).partition(",")
    assert head == "data:image/webp;base64"
    assert np.abs(pixels_of(base64.b64decode(data)).astype(int) - picture).mean() < 3
    assert pixels_of(base64.b64decode(data_url(picture[:, :, :1]).partition(",")[2])).shape == (40, 40, 3)
