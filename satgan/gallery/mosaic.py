"""A large sheet of new tiles without gaps, on which neighbours are alike: a walk that goes two ways."""

import numpy as np

from satgan.errors import InputError
from satgan.gallery.draw import Choice, Noise, open_artist
from satgan.gallery.walk import Progress, draw_all, picture_place, slerp
from satgan.pictures.grid import png, sheet

ANCHOR_TILES = 8
"""So many tiles lead from one noise vector to the next, across and down."""

LARGEST_MOSAIC_BYTES = 2**30


def mosaic_noise(anchors: Noise, rows: int, columns: int) -> Noise:
    """A sheet of noise on which neighbours are alike.

    Args:
        anchors: `[R, K, Z]`: noise every `ANCHOR_TILES` rows and columns; the last of them after the end of the sheet.
        rows: of the sheet.
        columns: of the sheet.

    Returns:
        `[rows, columns, Z]`.
    """
    across, right = np.divmod(np.arange(columns), ANCHOR_TILES)
    down, below = np.divmod(np.arange(rows), ANCHOR_TILES)
    right_share = (right / ANCHOR_TILES).astype(np.float32)
    lines = slerp(anchors[:, across], anchors[:, across + 1], right_share[None])  # [R, columns, Z]
    return slerp(lines[down], lines[down + 1], (below / ANCHOR_TILES).astype(np.float32)[:, None])


def mosaic(
    checkpoint: str,
    out: str,
    choice: Choice,
    *,
    rows: int,
    columns: int,
    progress: Progress = lambda count, total: None,
) -> str:
    """Draws a large sheet without gaps, on which neighbours are alike.

    Args:
        checkpoint: url of a checkpoint or a run.
        out: PNG file or object to write.
        choice: how to draw.
        rows: of tiles.
        columns: of tiles.
        progress: told how far it is.

    Returns:
        The url written.

    Raises:
        ConfigError: another ending than .png.
        InputError: no rows or columns, or too many for one picture.
        CheckpointError, CorruptData, StoreError: as `open_artist` has them, or `out` cannot be written.
    """
    store, name, _ = picture_place(out, (".png",))
    artist = open_artist(checkpoint, choice)
    size, channels = artist.config.gan.size, artist.config.gan.channels
    if rows < 1 or columns < 1 or rows * columns * size * size * channels > LARGEST_MOSAIC_BYTES:
        found = f"--rows {rows}, --columns {columns} of {size} pixels a tile"
        raise InputError(found, f"ask for 1 to {LARGEST_MOSAIC_BYTES // (size * size * channels):,} tiles in all")
    reach = -(-rows // ANCHOR_TILES) + 1, -(-columns // ANCHOR_TILES) + 1
    anchors = artist.noise(0, reach[0] * reach[1]).reshape(*reach, -1)
    tiles = draw_all(artist, mosaic_noise(anchors, rows, columns), progress)
    store.write(name, png(sheet(tiles.reshape(-1, size, size, channels), columns, gap_pixels=0)))
    return out
