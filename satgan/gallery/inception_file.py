"""Inception weights out of a file that the user has: nothing is downloaded, and nothing of it can run."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor

from satgan.errors import ConfigError
from satgan.judge.inception import fold, layer_shapes, tensor_names
from satgan.judge.inception_scores import Extractor
from satgan.tiles.store import open_store

NAME = "pt_inception-2015-12-05"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the weights that FID is defined by, as pytorch-fid and torch-fidelity publish them (95,628,359 bytes)."""

WHENCE = (
    f"give {NAME}-6726825d.pth, which pytorch-fid publishes under its release fid_weights (torch-fidelity calls the "
    "same file weights-inception-2015-12-05-6726825d.pth)"
)
OPTION, HASH_OPTION = "--inception", "--inception-sha256"


def open_extractor(url: str, sha256: str | None) -> Extractor:
    """The network with the weights of a file.

    Args:
        url: the file, a path or `s3://…`: a state dict as torch saves it, in either of its formats.
        sha256: the file's, in hex, where the user means other weights than those that FID is defined by.

    Raises:
        ConfigError: another hash, or a file that holds other things than these tensors.
        StoreError: the file cannot be read.
    """
    if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", sha256.lower()):
        raise ConfigError(f"{HASH_OPTION} {sha256} is no sha256", "give the file's 64 hex digits, as sha256sum prints")
    folder, slash, name = url.rstrip("/").rpartition("/")
    raw = open_store(folder or slash or ".").read(name)
    found = hashlib.sha256(raw).hexdigest()
    _refuse_other_hash(url, found, sha256)
    state = _load(url, raw)
    _refuse_other_layout(url, state)
    return Extractor(NAME if found == SHA256 else PurePosixPath(name).stem, found, fold(state))


def _refuse_other_hash(url: str, found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted.lower():
        raise ConfigError(f"{OPTION} {url} has sha256 {found}, not {wanted} as {HASH_OPTION} says", "give one of both")
    if wanted is None and found != SHA256:
        remedy = f"{WHENCE}; or, if these weights are meant and you trust them: {HASH_OPTION} {found}"
        raise ConfigError(f"{OPTION} {url} has sha256 {found}, not {SHA256} ({NAME})", remedy)


def _load(url: str, raw: bytes) -> Any:
    try:
        return torch.load(BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception as error:  # torch promises none in particular of bytes that are no weights
        first = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(f"{OPTION} {url} cannot be read as tensors alone: {first}", WHENCE) from None


def _refuse_other_layout(url: str, state: Any) -> None:
    wrong = next(_differences(state), None) if isinstance(state, Mapping) else f"a {type(state).__name__}"
    if wrong is not None:
        raise ConfigError(f"{OPTION} {url} holds no such InceptionV3 network: {wrong}", WHENCE)


def _differences(state: Mapping[Any, Any]) -> Iterator[str]:
    for layer, shape in layer_shapes().items():
        for name in tensor_names(layer):
            expected = shape if name.endswith(".conv.weight") else shape[:1]
            tensor = state.get(name)
            if not isinstance(tensor, Tensor):
                yield f"no tensor {name}"
            elif tensor.shape != expected or not tensor.is_floating_point():
                yield f"{name} is {tensor.dtype} of {tuple(tensor.shape)}, not floats of {expected}"
            elif not tensor.isfinite().all():
                yield f"{name} holds numbers that are not finite"
