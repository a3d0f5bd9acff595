"""Exported generators give the same tiles without satgan."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open

from satgan.errors import InputError
from satgan.gallery.draw import Choice, draw_tiles, open_artist
from satgan.gallery.export import export
from satgan.gan.networks import Generator
from satgan.groups import GanConfig
from satgan.tiles.store import open_store
from tests.train.conftest import MakeConfig, run

COUNTS = (64, 3, 70)
"""Tiles at a time: as many as were traced with, and others."""


@pytest.fixture(params=["batch", "virtual"])
def checkpoint(request: pytest.FixtureRequest, make_config: MakeConfig) -> str:
    """A run with either norm: the two differ most in what has to be exported."""
    return run(make_config(gan={"generator_norm": request.param, "virtual_batch": 4})).run


@pytest.mark.filterwarnings("ignore:.*jit.load. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("raw", [False, True])
def test_torchscript_and_onnx_give_the_same_tiles(checkpoint: str, tmp_path: Path, raw: bool) -> None:
    """The same bits where PyTorch computes batches of the same shape, else within a level."""
    artist = open_artist(checkpoint, Choice(seed=4, raw=raw, device="cpu"))
    script = torch.jit.load(export(checkpoint, str(tmp_path), "torchscript", raw))  # type: ignore[no-untyped-call]
    path = export(checkpoint, str(tmp_path), "onnx", raw)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in COUNTS:
        noise = artist.noise(0, count)
        expected = draw_tiles(artist.network, noise)
        with torch.no_grad():
            scripted = script(torch.from_numpy(noise)).numpy()
        (run_by_onnx,) = session.run(["tiles"], {"noise": noise})
        for tiles in (scripted, run_by_onnx):
            assert tiles.dtype == np.uint8
            assert tiles.shape == expected.shape
            assert np.abs(tiles.astype(int) - expected).max() <= 1
            assert (tiles != expected).mean() < 1e-3
        if count == 64:
            assert np.array_equal(scripted, expected)


def test_safetensors_tell_how_to_build_the_network(checkpoint: str, place: str, tmp_path: Path) -> None:
    export(checkpoint, place, "safetensors", raw=False)
    open_store(place).download("generator.safetensors", tmp_path / "copy")
    with safe_open(tmp_path / "copy", "pt") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    assert (about["generator"], json.loads(about["step"])) == ("average", 12)
    network = Generator(GanConfig.model_validate_json(about["gan"]))
    network.load_state_dict(tensors)
    artist = open_artist(checkpoint, Choice(device="cpu"))
    noise = artist.noise(0, 10)
    assert np.array_equal(draw_tiles(network.eval(), noise), draw_tiles(artist.network, noise))


def test_onnx_without_its_package_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[onnx\]'") as caught:
        export(str(tmp_path / "is not even looked at"), str(tmp_path / "out"), "onnx", raw=False)
    assert "onnx" in caught.value.found
    assert list(tmp_path.iterdir()) == []
