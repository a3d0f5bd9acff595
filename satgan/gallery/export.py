"""A generator for use without satgan: as TorchScript or ONNX, from noise to bytes, or its weights as safetensors."""

import io
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

from satgan.errors import require_extra
from satgan.gallery.draw import BATCH, Artist, Choice, open_artist
from satgan.gan.networks import Generator
from satgan.gan.normalization import BatchNorm
from satgan.tiles.pixels import to_bytes
from satgan.tiles.store import open_store

Form = Literal["torchscript", "onnx", "safetensors"]
OPSET = 17
"""Of ONNX; onnxruntime knows it since 1.12."""


class NoiseToTiles(nn.Module):
    """The whole way: noise `[N, Z]` float32, standard normal, to tiles `[N, S, S, C]` uint8."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, noise: Tensor) -> Tensor:
        """Tiles of noise."""
        return to_bytes(self.generator(noise))


def export(checkpoint: str, out: str, form: Form, raw: bool) -> str:
    """Writes the generator of a checkpoint as one file.

    TorchScript and ONNX take noise of any number of tiles (input `noise`) and give bytes (output `tiles`). Safetensors
    holds the weights by their names in `satgan.gan.networks.Generator`; its metadata has the networks' options as
    JSON (`gan`), `step`, and `generator` (average or raw).

    Args:
        checkpoint: url of a checkpoint or a run.
        out: folder or prefix for the file.
        form: of the file.
        raw: the generator as trained instead of the averaged one.

    Returns:
        The url written.

    Raises:
        InputError: ONNX without its package.
        CheckpointError, CorruptData, StoreError: the checkpoint cannot be used, or `out` cannot be written.
    """
    if form == "onnx":
        require_extra("onnx", "onnx", "--format onnx", "take --format torchscript")
    artist, store = open_artist(checkpoint, Choice(raw=raw, device="cpu")), open_store(out)
    name, make = FORMS[form]
    store.write(name, make(artist))
    return f"{store.url.rstrip('/')}/{name}"


def _torchscript(artist: Artist) -> bytes:
    memory = io.BytesIO()
    with _traced_quietly(), torch.no_grad():
        network = NoiseToTiles(artist.network).eval()
        traced = torch.jit.trace(network, _some_noise(artist))  # type: ignore[no-untyped-call]
        torch.jit.save(traced, memory)
    return memory.getvalue()


def _onnx(artist: Artist) -> bytes:
    _spell_scales_out(artist.network)
    with _traced_quietly(), tempfile.TemporaryDirectory(prefix="satgan-") as folder:
        path = Path(folder, "generator.onnx")
        torch.onnx.export(
            NoiseToTiles(artist.network).eval(), (_some_noise(artist),), path, dynamo=False, opset_version=OPSET,
            input_names=["noise"], output_names=["tiles"],
            dynamic_axes={"noise": {0: "count"}, "tiles": {0: "count"}},
        )  # fmt: skip
        return path.read_bytes()


def _spell_scales_out(network: Generator) -> None:
    """Gives norms without trainable scale and shift 1 and 0: without them the exporter cannot tell the channels."""
    for norm in network.modules():
        if isinstance(norm, BatchNorm) and norm.scale is None:
            norm.scale = nn.Parameter(torch.ones_like(norm.running_mean))
            norm.shift = nn.Parameter(torch.zeros_like(norm.running_mean))


@contextmanager
def _traced_quietly() -> Iterator[None]:
    """PyTorch calls tracing deprecated; it is what gives TorchScript, and ONNX without another library (onnxscript)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _safetensors(artist: Artist) -> bytes:
    about = {
        "gan": artist.config.gan.model_dump_json(),
        "step": json.dumps(artist.checkpoint.step),
        "generator": "raw" if artist.choice.raw else "average",
    }
    tensors = {name: tensor.contiguous() for name, tensor in artist.network.state_dict().items()}
    return save(tensors, about)


def _some_noise(artist: Artist) -> Tensor:
    return torch.from_numpy(artist.noise(0, BATCH))


FORMS: dict[Form, tuple[str, Callable[[Artist], bytes]]] = {
    "torchscript": ("generator.pt", _torchscript),
    "onnx": ("generator.onnx", _onnx),
    "safetensors": ("generator.safetensors", _safetensors),
}
"""File and maker of each form."""
