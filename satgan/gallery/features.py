"""What a trained discriminator sees in tiles: its maps, max-pooled to 4 × 4 layer by layer (arXiv 1511.06434, §5.1)."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from satgan.errors import TilesError
from satgan.gallery.draw import BATCH, DeviceName, Tiles, device_of, open_checkpoint
from satgan.gallery.labelled import Collection, open_collection
from satgan.gallery.walk import picture_place
from satgan.gan.networks import Discriminator
from satgan.groups import GanConfig
from satgan.tiles.npy import write_npy
from satgan.tiles.pixels import to_unit_range
from satgan.train.restored import discriminator_of

Features = NDArray[np.float32]
Progress = Callable[[int, int | None], None]

POOLED_PIXELS = 4
ENDINGS = (".parquet", ".npy")


def write_features(
    checkpoint: str,
    tiles: str,
    out: str,
    device: DeviceName,
    progress: Progress = lambda count, total: None,
) -> str:
    """Writes the features of every tile, in the order of the set, or of the names in a folder.

    Args:
        checkpoint: url of a checkpoint or a run.
        tiles: a tile set, or a folder or prefix of images.
        out: a `.parquet` file or object with the columns tile, name, label and features (d float32; the schema's
            metadata tells the layers), or `.npy`: `[N, d] float32`.
        device: to compute on.
        progress: told how far it is.

    Returns:
        The url written.

    Raises:
        ConfigError: another ending, or no GPU where one is asked for.
        TilesError: tiles of another size or channels than the network's.
        CheckpointError, CorruptData, StoreError: something cannot be read or written.
    """
    store, name, ending = picture_place(out, ENDINGS)
    opened, collection = open_checkpoint(checkpoint), open_collection(tiles)
    refuse_other_tiles(opened.config().gan, collection)
    network = discriminator_of(opened).to(device_of(device))

    def parts() -> Iterator[Features]:
        for batch in collection.batches():
            yield features_of(network, batch)
            progress(len(batch), len(collection.names))

    with store.writing(name) as path:
        if ending == ".npy":
            write_npy(path, (len(collection.names), sum(layer_sizes(network))), np.float32, parts())
        else:
            _write_parquet(path, collection, layer_sizes(network), parts())
    return out


def refuse_other_tiles(gan: GanConfig, collection: Collection) -> None:
    """TilesError where networks of this form take tiles of another shape."""
    if (collection.size, collection.channels) != (gan.size, gan.channels):
        found = f"{collection.url} has tiles of {collection.size} pixels and {collection.channels} channels"
        raise TilesError(found, f"give tiles of {gan.size} pixels and {gan.channels} channels, as the checkpoint knows")


def layer_sizes(network: Discriminator) -> list[int]:
    """How many of the features are each convolution's, first to last."""
    return [filters * POOLED_PIXELS**2 for filters in _filters(network)]


def _filters(network: Discriminator) -> list[int]:
    return [layer.out_channels for layer in network.convolutions if isinstance(layer, nn.Conv2d)]


@torch.no_grad()
def features_of(network: Discriminator, tiles: Tiles) -> Features:
    """Features `[N, d] float32` of tiles `[N, S, S, C] uint8`, in passes of one fixed shape, so that a tile's follow
    from the tile alone.

    Args:
        network: in evaluation mode.
        tiles: of the size that it has learned.

    Returns:
        For each layer, first to last, its maps after the activation, max-pooled to 4 × 4: filters, rows, columns.
    """
    parts, device = [], next(network.parameters()).device
    for first in range(0, len(tiles), BATCH):
        rows = tiles[first : first + BATCH]
        padded = np.zeros((BATCH, *tiles.shape[1:]), np.uint8)
        padded[: len(rows)] = rows
        maps = _maps(network, to_unit_range(torch.from_numpy(padded).to(device)))
        pooled = [adaptive_max_pool2d(layer, POOLED_PIXELS).flatten(1) for layer in maps]
        parts.append(torch.cat(pooled, dim=1)[: len(rows)].cpu().numpy())
    return np.concatenate(parts)


def _maps(network: Discriminator, tiles: Tensor) -> list[Tensor]:
    """What each convolution gives after norm and activation, `[B, filters, H, W]`: what the layer after it is given."""
    seen: list[Tensor] = []

    def note(module: Any, given: tuple[Tensor, ...]) -> None:
        seen.append(given[0][-len(tiles) :])  # virtual norm's reference batch goes before

    followers = [*network.convolutions[1:], network.head[0]]
    hooks = [follower.register_forward_pre_hook(note) for follower in followers]
    try:
        network(tiles)
    finally:
        for hook in hooks:
            hook.remove()
    filters = _filters(network)[-1]
    side = int((seen[-1].shape[1] // filters) ** 0.5)
    seen[-1] = seen[-1].view(-1, side, side, filters).permute(0, 3, 1, 2)
    return seen


def _write_parquet(path: Path, collection: Collection, layers: list[int], parts: Iterator[Features]) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    kinds = {
        "tile": arrow.int64(), "name": arrow.string(), "label": arrow.string(),
        "features": arrow.list_(arrow.float32(), sum(layers)),
    }  # fmt: skip
    schema = arrow.schema(kinds, {"layers": json.dumps(layers)})
    first = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for part in parts:
            rows = slice(first, first + len(part))
            vectors = arrow.FixedSizeListArray.from_arrays(arrow.array(part.reshape(-1)), sum(layers))
            columns = [range(rows.start, rows.stop), collection.names[rows], collection.labels[rows]]
            arrays = [arrow.array(list(column), kind) for column, kind in zip(columns, schema.types, strict=False)]
            writer.write_batch(arrow.record_batch([*arrays, vectors], schema=schema))
            first += len(part)
