"""What `satgan describe` says of options that follow from others, and of what virtual batch norm costs."""

import json

import pytest

from satgan.__main__ import main
from satgan.config import load_config
from satgan.gan.describe import describe, memory_bytes, step_flops, table


def test_rates_are_told_with_the_law() -> None:
    """S31: those that follow it, and those that do not with what it would give."""
    for preset, told in (
        ("article", "generator learning rate 0.0002: as the law has it for a global batch of 64 (S31)"),
        ("demo", "discriminator learning rate 0.0003: given; by the law 7.96994e-05 (S31)"),
    ):
        described = describe(load_config(preset))
        assert told in described["notes"]
        assert told in table(described)


def test_filters_that_follow_the_kernel_are_told() -> None:
    """S20: given ones are not, and neither are the preset's own."""
    told = "filters 4096,2048,1024,512: 4 times the preset's, for 11×11 instead of 5×5 (S20)"
    followed = describe(load_config("article", {"gan": {"kernel_size": 11}}))
    assert told in followed["notes"]
    for gan in ({}, {"kernel_size": 11, "filters": "8,8,8,8"}):
        assert not any("S20" in note for note in describe(load_config("article", {"gan": gan}))["notes"])


def test_the_reference_batch_is_counted() -> None:
    """As many reference tiles as the lane has double the work and the maps."""
    plain = load_config("demo", {"gan": {"virtual_batch": 16}})
    both = {"generator_norm": "virtual", "discriminator_norm": "virtual", "virtual_batch": 16}
    virtual = load_config("demo", {"gan": both})
    assert step_flops(virtual) == 2 * step_flops(plain)
    assert memory_bytes(virtual)["activations"] == 2 * memory_bytes(plain)["activations"]


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_memory_is_what_train_tells_before_a_run(
    precision: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of this machine's precision, and so of the doctor's S02."""
    monkeypatch.setattr("satgan.train.device.fast_precision", lambda: precision)
    told = []
    for words in (("describe", "demo"), ("train", "demo", "--dry-run")):
        assert main([*words, "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["memory_bytes"]["total"] == told[1]["needs"]["memory_bytes_per_lane"]
    assert told[0]["precision"] == precision
