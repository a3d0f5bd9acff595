"""What `article` holds on a GPU at batch 512, by part, beside the estimate of `satgan describe`."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.gpu_row import Row, Setting
from bench.variants import OurStep, make_batches
from satgan.gan.describe import memory_bytes
from satgan.gan.pair import Pair
from satgan.train.device import decide, free_memory


def memory_rows(setting: Setting) -> Iterator[Row]:
    """Parts by the size of their tensors; activations: what a step without graphs takes beyond them at most."""
    config, device = decide(setting.config("article", 512)), setting.device
    on_gpu = device.type == "cuda"
    batches = make_batches(config, device)
    before = torch.cuda.memory_allocated() if on_gpu else 0
    ours = OurStep(config, batches, device, recorded=False)
    for turn in range(2):
        ours.step(turn)
        ours.learn_history(turn)
    parts = {name: sum(tensor.nbytes for tensor in tensors) for name, tensors in _parts(ours.pair).items()}
    estimates = memory_bytes(config)
    for name, size in parts.items():
        yield Row(f"memory of `article`, batch {config.train.lane_batch}: {name}", _megabytes(size, estimates[name]))
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        ours.step(2)
        ours.learn_history(2)
        peak = torch.cuda.max_memory_allocated() - before
        yield Row("… activations", _megabytes(peak - sum(parts.values()), estimates["activations"]))
        yield Row("… all of a step, no graphs", _megabytes(peak, sum(estimates.values())))
        del ours
        free_memory()
        reserved = torch.cuda.memory_reserved()
        replayed = OurStep(config, batches, device)
        for turn in range(3):
            replayed.step(turn)
        yield Row("… all of a run's steps, with graphs", f"{(torch.cuda.memory_reserved() - reserved) / 1e6:,.0f} MB")


def _parts(pair: Pair) -> dict[str, list[Tensor]]:
    players = (pair.generator, pair.discriminator)
    return {
        "weights": [pair.average, *(player.weights for player in players)],
        "gradients": [message.vector for lane in pair.lanes for message in (lane.to_generator, lane.to_discriminator)],
        "Adam moments": [
            value for player in players for adam in player.adams.values() for value in adam.moments.values()
        ],
        "history": [lane.history.tiles for lane in pair.lanes],
    }  # fmt: skip


def _megabytes(size: int, estimate: int) -> str:
    return f"{size / 1e6:,.0f} MB (`satgan describe`: {estimate / 1e6:,.0f})"
