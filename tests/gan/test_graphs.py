"""Recorded sections of the step: replayed, they give the same bits as computed ones."""

import multiprocessing
from typing import Any

import pytest
import torch

from satgan.config import Config
from satgan.gan.balance import Verdict
from satgan.gan.graphs import Graphs, Recorder
from satgan.gan.losses import called_fake_loss
from satgan.gan.noise import DRAWN_TENSORS, draw
from satgan.gan.pair import Pair
from satgan.gan.step import train_step
from satgan.train.device import recorder_on, training_device
from satgan.train.sums import LaneSums
from tests.gan.conftest import MakeConfig, one_by_one, reals
from tests.gan.recording import CpuRecorder

CPU = torch.device("cpu")
STEPS = 14


def state(pair: Pair) -> list[torch.Tensor]:
    players = (pair.generator, pair.discriminator)
    moments = [value for player in players for adam in player.adams.values() for value in adam.moments.values()]
    kept = [lane.history.tiles for lane in pair.lanes]
    return [
        *(player.weights for player in players),
        *(player.running for player in players),
        pair.average,
        *moments,
        *kept,
    ]


def trained(
    config: Config, recorder: Recorder | None, device: torch.device = CPU
) -> tuple[Pair, list[dict[str, float]]]:
    """Steps on both paths, with turns of the history, log steps among them."""
    lanes = config.train.lanes
    pair = Pair(config, range(lanes), device, LaneSums(lanes, device, threads=1), one_by_one, recorder)
    told = []
    for step in range(STEPS):
        pair.verdict = Verdict(float(step % 3 == 0), 0.0)
        for lane in pair.lanes:
            draws = draw(config, step, lane.number)
            moved = {name: getattr(draws, name).to(device) for name in DRAWN_TENSORS}
            lane.begin(reals(config, step, lane.number).to(device), draws._replace(**moved))
        if step % 5 == 4:
            pair.observe()
        numbers = train_step(pair)
        if step % 5 == 4:
            numbers |= pair.evaluate() | pair.observed()
        told.append(numbers)
    return pair, told


@pytest.mark.parametrize(
    "groups",
    [
        {},
        {"train": {"lanes": 1}},
        {"train": {"precision": "bfloat16"}},
        {"recipe": {"instance_noise": 0.1, "instance_noise_steps": 9}},  # from step 9 on inputs have another shape
        {"recipe": {"differentiable_augmentation": "color,translation,cutout", "generator_updates": 1}},
        {"gan": {"discriminator_norm": "virtual", "generator_norm": "virtual", "virtual_batch": 4}},
    ],
    ids=["two lanes", "one lane", "bfloat16", "instance noise", "augmentation", "virtual norm"],
)
def test_replayed_sections_give_the_bits_of_computed_ones(make_config: MakeConfig, groups: dict[str, Any]) -> None:
    groups["recipe"] = {"history_share": 0.5} | groups.get("recipe", {})
    config, recorder = make_config(**groups), CpuRecorder()
    computed, figures = trained(config, None)
    replayed, same = trained(config, recorder)
    assert same == figures
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(state(replayed), state(computed), strict=True))
    assert any("history_loss_before" in numbers for numbers in figures)
    assert recorder.replayed > 4 * STEPS
    assert replayed.why_not_recorded() == ""


@pytest.mark.parametrize("refuse", [0, 3, 6, 9])
def test_what_cannot_be_recorded_is_computed_and_told_once(make_config: MakeConfig, refuse: int) -> None:
    """The lanes' sections are seven; two updates of the generator follow, then those of the discriminator."""
    config = make_config(recipe={"history_share": 0.5})
    computed, figures = trained(config, None)
    pair, same = trained(config, CpuRecorder(refuse))
    assert same == figures
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(state(pair), state(computed), strict=True))
    assert pair.why_not_recorded() == "RuntimeError: no more recordings"
    assert pair.why_not_recorded() == ""


class Failing(CpuRecorder):
    """Fails as CUDA does: the recording's end, too, raises, and says no more than that something was wrong before."""

    def record(self, works: Any) -> Any:
        try:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


def test_what_failed_first_is_told() -> None:
    graphs = Graphs(Failing())
    graphs.record((1,), {"section": lambda: None})
    assert graphs.news() == "RuntimeError: CUDA error: operation not permitted when stream is capturing"


def test_a_step_is_recorded_once_and_reads_the_host_once(make_config: MakeConfig) -> None:
    """A read within a section would have failed to be recorded: what is left is the figures' at the end."""
    recorder = CpuRecorder()
    trained(make_config(recipe={"history_share": 0.5}), recorder)
    sections, updates = 7, 5
    assert recorder.recorded == sections + updates


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cuda_graphs_give_the_bits_of_computed_steps(make_config: MakeConfig, precision: str) -> None:
    config, device = make_config(train={"precision": precision}), training_device(deterministic=True)
    computed, figures = trained(config, None, device)
    replayed, same = trained(config, recorder_on(device), device)
    assert replayed.why_not_recorded() == ""
    assert same == figures
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(state(replayed), state(computed), strict=True))


def _read_the_host_while_recording(config: Config, sent: Any) -> None:
    device = training_device(deterministic=True)
    computed, figures = trained(config, None, device)

    def reading(logits: torch.Tensor) -> torch.Tensor:
        loss = called_fake_loss(logits)
        loss.item()
        return loss

    pytest.MonkeyPatch().setattr("satgan.gan.lane.called_fake_loss", reading)
    pair, same = trained(config, recorder_on(device), device)
    equal = all(torch.equal(ours, theirs) for ours, theirs in zip(state(pair), state(computed), strict=True))
    sent.put((same == figures and equal, pair.why_not_recorded()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_what_cuda_refuses_to_record_is_computed(make_config: MakeConfig) -> None:
    """In a process of its own: PyTorch does not tidy up after a recording that CUDA has ended."""
    context = multiprocessing.get_context("spawn")
    sent = context.SimpleQueue()
    process = context.Process(target=_read_the_host_while_recording, args=(make_config(), sent))
    process.start()
    process.join()
    assert process.exitcode == 0
    same, why = sent.get()
    assert same
    assert "captur" in why, why
