"""The bench: its baseline is honest, and its table has a row per variant."""

import json
from collections.abc import Iterator

import pytest
import torch

from bench import step
from bench.agreement import check_config, largest_difference
from bench.measure import Effort, affordable
from bench.plain import PlainLoop
from bench.step import Block, measure_blocks
from bench.table import Row, as_json, markdown, reached
from bench.variants import VARIANTS, make_batches, same_work
from satgan.config import Config, load_config
from satgan.gan.describe import step_flops

CPU = torch.device("cpu")
EFFORT = Effort(rounds=2, round_seconds=0.001, warm_up_steps=0)
TINY = {"filters": (8, 8, 8, 8)}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small layers are fastest on one thread, whatever else the machine does; other tests keep theirs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(preset: str) -> Config:
    return load_config(preset, {"gan": TINY, "train": {"lanes": 1, "lane_batch": 4, "threads_per_lane": 1}})


def checked(preset: str) -> Config:
    config = check_config(preset)
    return config.model_copy(update={"train": config.train.model_copy(update={"threads_per_lane": 1})})


def row(preset: str, batch: int, variant: str, seconds: float, ratio: float | None = None) -> Row:
    return Row(preset, batch, variant, variant, (seconds,), False, ratio, 1000.0)


@pytest.mark.parametrize("preset", ["article", "dcgan"])
def test_plain_loop_and_our_step_lose_the_same(preset: str) -> None:
    assert largest_difference(checked(preset), CPU, steps=6) < 1e-4


def test_the_check_sees_another_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubled(config: Config, device: torch.device) -> PlainLoop:
        recipe = config.recipe.model_copy(update={"generator_learning_rate": 4e-4})
        return PlainLoop(config.model_copy(update={"recipe": recipe}), device)

    monkeypatch.setattr("bench.agreement.PlainLoop", doubled)
    assert largest_difference(checked("dcgan"), CPU, steps=6) > 1e-3


def test_every_block_has_a_row_per_variant() -> None:
    blocks = [Block(preset, 4, tiny(preset)) for preset in ("article", "dcgan")]
    results = measure_blocks(blocks, CPU, EFFORT, 60.0, 1e12)
    assert [(one.preset, one.variant) for one in results.rows] == [
        (one.preset, name) for one in blocks for name in VARIANTS
    ]
    assert not results.left_out
    assert all(len(one.step_seconds) == 2 and one.ratio is not None for one in results.rows)
    lines = markdown(*results).splitlines()
    assert len(lines) == 2 + len(results.rows)
    assert len({line.count("|") for line in lines}) == 1
    assert all(one.label in line for one, line in zip(results.rows, lines[2:], strict=True))
    json.dumps(as_json(*results))


def test_the_roof_follows_from_the_flops_of_the_variants_own_work() -> None:
    results = measure_blocks([Block("dcgan", 4, tiny("dcgan"))], CPU, EFFORT, 60.0, 1e12)
    roofs = {one.variant: one.roof_tiles_per_second for one in results.rows}
    assert roofs["plain"] == roofs["same"] == roofs["fast"] == 1e12 / step_flops(same_work(tiny("dcgan"), "float32"))
    assert roofs["recipe"] == 1e12 / step_flops(tiny("dcgan"))


def test_without_time_the_first_run_is_the_result_and_larger_batches_are_left_out() -> None:
    blocks = [Block("dcgan", 4, tiny("dcgan")), Block("dcgan", 8, tiny("dcgan"))]
    results = measure_blocks(blocks, CPU, EFFORT, 0.0, 1e12)
    assert [one.cold for one in results.rows] == [True] * len(VARIANTS)
    assert [one.label for one in results.rows] == [line.variant for line in results.left_out]
    assert "1, cold" in markdown(*results)
    assert "not measured: dcgan at batch 8" in markdown(*results)


def test_affordable_takes_by_importance() -> None:
    assert affordable({"plain": 3.0, "fast": 1.0, "recipe": 9.0, "same": 1.0}, 5.0) == ["plain", "fast"]


def test_goals() -> None:
    assert reached(row("article", 64, "fast", 0.1, ratio=1.6)) is False
    assert reached(row("article", 64, "fast", 0.1, ratio=1.7)) is True
    assert reached(row("article", 64, "fast", 0.1)) is None
    assert reached(row("article", 512, "fast", 0.1, ratio=9.0)) is None


def test_batches_are_the_same_numbers_in_both_layouts() -> None:
    batch = make_batches(tiny("article"), CPU, 1)[0]
    assert torch.equal(batch.tiles, batch.plain_tiles)
    assert batch.plain_tiles.is_contiguous()
    assert batch.tiles.is_contiguous(memory_format=torch.channels_last)


def test_the_command_prints_one_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(step, "EFFORT", EFFORT)
    monkeypatch.setattr(step, "usable_cores", lambda: 1)
    monkeypatch.setattr(step, "check_config", checked)
    monkeypatch.setattr(step, "block", lambda preset, batch: Block(preset, batch, tiny(preset)))
    monkeypatch.setattr("bench.machine.MATRIX_SIZES", {"cpu": 64})
    assert step.main(["--presets", "dcgan", "--batches", "4", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n| dcgan | 4 |") == len(VARIANTS)
    for name in ("date", "commit", "machine", "versions", "roof"):
        assert f"- {name}: " in printed
