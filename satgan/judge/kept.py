"""Arrays that are kept as bytes: sha256 in hex, then safetensors with the version of whatever wrote them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from satgan.errors import CorruptData

DIGEST_CHARACTERS = 64
REMAKE = "delete it: it is made again when it is needed"


def seal(arrays: Mapping[str, NDArray[Any]], version: int) -> bytes:
    """The arrays as bytes that know whether they are whole."""
    payload = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {"version": str(version)})
    return hashlib.sha256(payload).hexdigest().encode() + payload


def unseal(raw: bytes, version: int, what: str) -> dict[str, NDArray[Any]]:
    """What `seal` was given.

    Args:
        raw: what it made.
        version: that is understood.
        what: the bytes' name in messages.

    Raises:
        CorruptData: the bytes differ from their digest, or are of another version.
    """
    digest, payload = raw[:DIGEST_CHARACTERS], raw[DIGEST_CHARACTERS:]
    found = hashlib.sha256(payload).hexdigest()
    if found.encode() != digest:
        raise CorruptData(f"{what} of {len(raw)} bytes has sha256 {found}, not its own", REMAKE)
    header_bytes = int.from_bytes(payload[:8], "little")
    written = json.loads(payload[8 : 8 + header_bytes])["__metadata__"]["version"]
    if written != str(version):
        raise CorruptData(f"{what} of version {written}; this satgan's is {version}", REMAKE)
    return load(payload)
