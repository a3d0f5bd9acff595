"""A config's tile set: which it is, whether the networks can take it, and how the machines of a cluster reach it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from satgan.config import Config, networks_for
from satgan.errors import TilesError
from satgan.tiles.demo import check_demo, demo_tile_set
from satgan.tiles.digits import check_digits, digits_tile_set
from satgan.tiles.images import look_at_folder, open_or_pack
from satgan.tiles.manifest import MANIFEST_NAME
from satgan.tiles.store import FolderStore, open_store
from satgan.tiles.tile_set import TileSet, open_tile_set

LOCAL_TILES = Path("runs") / "tiles"
"""Where sets that satgan packs by itself are kept when the store is a bucket."""

PACKING_SEED = 1234
"""Of those sets, whatever the run's seed: runs of several seeds share one set."""


class Embedded(NamedTuple):
    """A set that comes with satgan: what it is called, how many tiles it has, who opens it, and who refuses what
    opening would, without doing it."""

    name: str
    tiles: int
    open: Callable[[Path, int], TileSet]
    check: Callable[[Path, int], None]


EMBEDDED = {
    (64, 3): Embedded("NASA Blue Marble", 4_963, demo_tile_set, check_demo),
    (28, 1): Embedded("handwritten digits of scikit-learn", 1_797, digits_tile_set, check_digits),
}
"""Where no tile set is given, by size and channels."""


class Glance(NamedTuple):
    """What is known of a config's tiles before they are packed.

    Attributes:
        where: folder, `s3://` prefix or the name of an embedded set.
        size: height and width [pixels].
        channels: per tile.
        tiles: how many; of a folder that is still to be packed, at most.
        packed: whether it is a tile set already.
    """

    where: str
    size: int
    channels: int
    tiles: int
    packed: bool


def tiles_of(config: Config, say: Callable[[str], None]) -> TileSet:
    """Opens the config's tile set; packs it first where it is a folder of tiles or an embedded set.

    Args:
        config: the run's.
        say: told where embedded tiles are from.

    Raises:
        TilesError: no tiles, or not such as the networks can take.
        InputError: the package that an embedded set comes with is not installed.
    """
    tile_set = _open(config, say)
    manifest = tile_set.manifest
    _check(config, Glance(tile_set.store.url, manifest.size, manifest.channels, manifest.tile_count, packed=True))
    return tile_set


def look(config: Config) -> Glance | None:
    """The same without writing anything: sets by their manifest, folders by their files' headers; None for the
    embedded sets, once they fit.

    Raises:
        TilesError, InputError: as for `tiles_of`.
    """
    source = config.tiles.source
    if source is None:
        embedded = _embedded(config)
        embedded.check(_packed(config), PACKING_SEED)
        where = f"the embedded set ({embedded.name})"
        _check(config, Glance(where, config.gan.size, config.gan.channels, embedded.tiles, packed=False))
        return None
    if open_store(source).exists(MANIFEST_NAME):
        manifest = open_tile_set(source).manifest
        found = Glance(source, manifest.size, manifest.channels, manifest.tile_count, packed=True)
    else:
        folder = look_at_folder(source)
        found = Glance(source, folder.shape.height, folder.shape.channels, len(folder.listing), packed=False)
    _check(config, found)
    return found


def _open(config: Config, say: Callable[[str], None]) -> TileSet:
    store, packed = config.train.store, _packed(config)
    if config.tiles.source is not None:
        return _shared(open_or_pack(config.tiles.source, packed, PACKING_SEED), packed, store)
    embedded = _embedded(config)
    say(f"tiles: {embedded.name}, embedded")
    return _shared(embedded.open(packed, PACKING_SEED), packed, store)


def _packed(config: Config) -> Path:
    """Where sets lie that satgan packed by itself."""
    store = config.train.store
    return LOCAL_TILES if store.startswith("s3://") else Path(store).expanduser() / "tiles"


def _embedded(config: Config) -> Embedded:
    shape = (config.gan.size, config.gan.channels)
    if shape not in EMBEDDED:
        raise TilesError(
            f"no tile set given, and none of the embedded ones has {shape[0]}×{shape[0]} tiles of {shape[1]} "
            "channel(s): Blue Marble has 64×64 of 3, the digits 28×28 of 1",
            "give --tiles SET; make one with `satgan tiles cut` or `satgan tiles pack`",
        )
    return EMBEDDED[shape]


def _shared(tile_set: TileSet, packed: Path, store: str) -> TileSet:
    """The set itself; where satgan packed it into a local folder while the store is a bucket, its copy in the bucket,
    which other machines can read."""
    if not store.startswith("s3://") or not isinstance(tile_set.store, FolderStore):
        return tile_set
    folder = tile_set.store.folder
    if folder.resolve().parent != packed.resolve():
        return tile_set
    copy = open_store(f"{store.rstrip('/')}/tiles/{folder.name}")
    if not copy.exists(MANIFEST_NAME):
        for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST_NAME):
            copy.upload(path, path.name)
    return open_tile_set(copy.url)


def _check(config: Config, found: Glance) -> None:
    if (found.size, found.channels) != (config.gan.size, config.gan.channels):
        raise TilesError(
            f"{found.where} has {found.size}×{found.size} tiles of {found.channels} channel(s), the "
            f"networks make {config.gan.size}×{config.gan.size} of {config.gan.channels}",
            networks_for(config.gan, found.size, found.channels),
        )
    virtual = config.gan.discriminator_norm == "virtual"
    if virtual and found.tiles < config.gan.virtual_batch:
        raise TilesError(
            f"{found.where} has {found.tiles} tile(s), gan.virtual_batch = {config.gan.virtual_batch}",
            f"take --gan.virtual-batch {found.tiles} or less, or --gan.discriminator-norm batch",
        )
    if found.tiles < config.train.lanes:
        raise TilesError(
            f"{found.where} has {found.tiles} tile(s) for {config.train.lanes} lanes",
            "give more tiles, or fewer lanes with --train.lanes",
        )
