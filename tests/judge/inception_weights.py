"""A file like that of Inception weights, with random ones: the real one is not ours to keep."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from satgan.judge.inception import NETWORK, Block, Convolution, Pool, Step, layer_shapes

CLASSES = 1008


def thin_network() -> tuple[Block, ...]:
    """The network with a 16th of its filters: every branch is there, and 1,000 tiles cost seconds."""

    def thin(step: Step) -> Step:
        if isinstance(step, Pool):
            return step
        if isinstance(step, Convolution):
            return step._replace(filters=step.filters // 16)
        return tuple(one._replace(filters=one.filters // 16) for one in step)

    return tuple(Block(name, tuple(tuple(map(thin, branch)) for branch in branches)) for name, branches in NETWORK)


def random_state() -> dict[str, Tensor]:
    """Tensors under the names of pt_inception-2015-12-05, the unused ones as well; responses keep their scale."""
    chance = np.random.Generator(np.random.Philox(5))

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(chance.standard_normal(shape, dtype=np.float32))

    state: dict[str, Tensor] = {}
    for name, shape in layer_shapes().items():
        state[f"{name}.conv.weight"] = normal(*shape) * float(np.sqrt(2 / np.prod(shape[1:])))
        state[f"{name}.bn.weight"] = 1 + normal(shape[0]).clamp(-2, 2) / 10
        state[f"{name}.bn.bias"] = normal(shape[0]) / 10
        state[f"{name}.bn.running_mean"] = normal(shape[0]) / 10
        state[f"{name}.bn.running_var"] = 1 + normal(shape[0]).clamp(-2, 2) / 10
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(0)
    return state | {"fc.weight": normal(CLASSES, 2048), "fc.bias": normal(CLASSES)}


def saved(path: Path, state: object, zipped: bool = True) -> tuple[str, str]:
    """Writes it as torch does; the file's path and sha256."""
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
    path.write_bytes(buffer.getvalue())
    return str(path), hashlib.sha256(buffer.getvalue()).hexdigest()


def without(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The same but for one tensor."""
    return {key: tensor for key, tensor in state.items() if key != name}
