"""Other loaders on the same tiles, each as its documentation has it, with two worker processes where it has workers.

They run in an environment of their own: `bench.peer_environment`.

`python -m bench.tile_peers NAME OPTIONS-AS-JSON` writes the peer's own format beside the set if it is not there yet,
measures, and prints a line of JSON. One that is not installed ends with its ImportError.
"""

import io
import json
import logging
import os
import sys
import tarfile
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.tile_loaders import BATCH, SEED, Loader, Options, timed
from bench.tile_server import BUCKET, SET_NAME
from satgan.tiles.manifest import MANIFEST_NAME, Manifest
from satgan.tiles.tile_set import open_tile_set

WORKERS = 2
TAR_TILES, PARQUET_TILES, GROUP_TILES = 2048, 4096, 1024
TILE_SHAPE = (64, 64, 3)
MDS_SHARD_BYTES = 16 * 2**20
STAND_INS = {
    "torchvision": (), "torchvision.transforms": (), "torchvision.transforms.functional": ("to_tensor",),
    "torchvision.datasets": ("VisionDataset",), "transformers": (), "transformers.models": (),
    "transformers.models.auto": (), "transformers.models.auto.tokenization_auto": ("AutoTokenizer",),
    "transformers.feature_extraction_utils": ("BatchFeature",),
    "transformers.tokenization_utils_base": ("BatchEncoding",),
}  # fmt: skip


def s3torchconnector(options: Options) -> Iterator[int]:
    """S3MapDataset on our shards: one item is a shard, split and permuted in the worker."""
    import torch
    from s3torchconnector import S3ClientConfig, S3MapDataset

    shards = _manifest(options).shards
    urls = [f"s3://{BUCKET}/{SET_NAME}/{shard.name}" for shard in shards]
    client = S3ClientConfig(force_path_style=True)

    def split(reader: Any) -> list[torch.Tensor]:
        tiles = torch.from_numpy(np.load(io.BytesIO(reader.read())))
        return list(torch.split(tiles[torch.randperm(len(tiles))], BATCH))

    dataset = S3MapDataset.from_objects(
        urls, region="us-east-1", endpoint=options.endpoint, transform=split, s3client_config=client
    )
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, shuffle=True, num_workers=WORKERS, persistent_workers=True
    )
    yield 0
    while True:
        for batches in loader:
            yield from (len(batch) for batch in batches)


def mosaicml(options: Options) -> Iterator[int]:
    """StreamingDataset of raw tiles; every epoch from the server, into a new folder."""
    _stand_in()
    import torch
    from streaming import MDSWriter, StreamingDataset

    folder = Path(options.root) / BUCKET / "mds"
    if not (folder / "index.json").exists():
        with MDSWriter(out=str(folder), columns={"tile": "bytes"}, size_limit=MDS_SHARD_BYTES) as writer:
            for tile in _tiles(options):
                writer.write({"tile": tile.tobytes()})
    os.environ["S3_ENDPOINT_URL"] = options.endpoint
    yield 0
    while True:
        with tempfile.TemporaryDirectory() as local:
            dataset = StreamingDataset(
                remote=f"s3://{BUCKET}/mds", local=local, shuffle=True, batch_size=BATCH, shuffle_seed=SEED
            )
            loader = torch.utils.data.DataLoader(dataset, BATCH, num_workers=WORKERS, collate_fn=_stack)
            yield from (len(batch) for batch in loader)


def webdataset(options: Options) -> Iterator[int]:
    """Tars of raw tiles through pipe:curl, with the shuffle buffer of its examples."""
    import torch
    import webdataset as wds

    folder = Path(options.root) / BUCKET / "tar"
    if not folder.exists():
        _write_tars(options, folder)
    names = sorted(path.name for path in folder.iterdir())
    urls = [f"pipe:curl -s {options.endpoint}/{BUCKET}/tar/{name}" for name in names]
    dataset = wds.WebDataset(urls, shardshuffle=len(urls), nodesplitter=wds.split_by_node).shuffle(2000)
    samples = dataset.to_tuple("bin").map(lambda sample: {"tile": sample[0]}).batched(BATCH, collation_fn=_stack)
    loader = torch.utils.data.DataLoader(samples, batch_size=None, num_workers=WORKERS, persistent_workers=True)
    yield 0
    while True:
        yield from (len(batch) for batch in loader)


def ray_data(options: Options) -> Iterator[int]:
    """read_parquet of raw tiles, blocks shuffled, iter_torch_batches."""
    import pyarrow
    import ray
    from pyarrow import fs, parquet
    from ray.data.extensions import ArrowTensorArray

    folder = Path(options.root) / BUCKET / "parquet"
    if not folder.exists():
        folder.mkdir()
        tiles = np.stack(list(_tiles(options)))
        for number, first in enumerate(range(0, len(tiles), PARQUET_TILES)):
            column = ArrowTensorArray.from_numpy(tiles[first : first + PARQUET_TILES])
            table = pyarrow.table({"tile": column})
            parquet.write_table(table, folder / f"{number:04d}.parquet", GROUP_TILES, compression="none")
    names = sorted(path.name for path in folder.iterdir())
    address = options.endpoint.partition("://")[2]
    filesystem = fs.S3FileSystem(endpoint_override=address, scheme="http", region="us-east-1")
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield 0
    while True:
        paths = [f"{BUCKET}/parquet/{name}" for name in names]
        dataset = ray.data.read_parquet(paths, filesystem=filesystem, shuffle="files")
        for batch in dataset.iter_torch_batches(batch_size=BATCH, prefetch_batches=4):
            yield len(batch["tile"])


PEERS: dict[str, Loader] = {
    "s3torchconnector": s3torchconnector, "mosaicml-streaming": mosaicml, "webdataset": webdataset,
    "ray data": ray_data,
}  # fmt: skip


def _manifest(options: Options) -> Manifest:
    return Manifest.model_validate_json((Path(options.root) / BUCKET / SET_NAME / MANIFEST_NAME).read_bytes())


def _tiles(options: Options) -> Iterator[NDArray[np.uint8]]:
    tile_set = open_tile_set(str(Path(options.root) / BUCKET / SET_NAME))
    for piece in range(tile_set.manifest.piece_count):
        yield from tile_set.read_piece(piece)


def _write_tars(options: Options, folder: Path) -> None:
    folder.mkdir()
    tar = None
    for number, tile in enumerate(_tiles(options)):
        if number % TAR_TILES == 0:
            if tar is not None:
                tar.close()
            tar = tarfile.open(folder / f"{number // TAR_TILES:04d}.tar", "w")  # noqa: SIM115
        assert tar is not None
        entry = tarfile.TarInfo(f"{number:06d}.bin")
        entry.size = tile.nbytes
        tar.addfile(entry, io.BytesIO(tile.tobytes()))
    if tar is not None:
        tar.close()


def _stack(samples: list[dict[str, bytes]]) -> Any:
    import torch

    tiles = [np.frombuffer(sample["tile"], np.uint8).reshape(TILE_SHAPE) for sample in samples]
    return torch.from_numpy(np.stack(tiles))


def _stand_in() -> None:
    """mosaicml-streaming imports these for its own data sets of texts and pictures, which nobody uses here."""
    for name, attributes in STAND_INS.items():
        module = types.ModuleType(name)
        module.__path__ = []
        for attribute in attributes:
            setattr(module, attribute, type(attribute, (), {}))
        sys.modules.setdefault(name, module)


if __name__ == "__main__":
    print(json.dumps(timed(PEERS[sys.argv[1]], Options(**json.loads(sys.argv[2])))._asdict()), flush=True)
