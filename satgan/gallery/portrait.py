"""A checkpoint's tiles beside real ones: what a report draws of them. The judge's own measures, in curves and pairs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.errors import SatganError
from satgan.gallery.judgement import open_side
from satgan.judge.histogram import histogram
from satgan.judge.memory import nearest, thumbnails
from satgan.judge.spectrum import Spectrum, log_power, radial_means

Tiles = NDArray[np.uint8]
Curve = NDArray[np.float64]

TILES = 512
PAIRS = 16
SEED = 0


class Portrait(NamedTuple):
    """Fakes and reals.

    Attributes:
        fakes: `[N, S, S, C] uint8`.
        reals: `[M, S, S, C] uint8`, of the set that was trained on.
        spectra: log10 power by ring of frequency, mean over channels, of fakes and of reals: `[rings]` each.
        histograms: share of each grey level per channel, of fakes and of reals: `[C, 256]` each.
        nearest_reals: `[PAIRS, S, S, C] uint8`: of the first fakes the nearest of these reals, turned or flipped as it
            may be.
    """

    fakes: Tiles
    reals: Tiles
    spectra: tuple[Curve, Curve]
    histograms: tuple[Curve, Curve]
    nearest_reals: Tiles


def portray(checkpoint: str, tiles: str) -> Portrait | str:
    """Draws tiles and takes as many real ones; or says why that cannot be done.

    Args:
        checkpoint: url of a checkpoint or a run.
        tiles: url of the tile set.
    """
    try:
        real_side, fake_side = open_side(tiles, SEED), open_side(checkpoint, SEED)
        if (real_side.size, real_side.channels) != (fake_side.size, fake_side.channels):
            return f"{tiles} has tiles of {real_side.size} pixels and {real_side.channels} channels, not the run's"
        fakes, reals = fake_side.take(TILES), real_side.take(min(TILES, real_side.available or TILES))
    except SatganError as error:
        return str(error)
    spectra, histograms = (radial(log_power(fakes)), radial(log_power(reals))), (histogram(fakes), histogram(reals))
    places = nearest(thumbnails(fakes[:PAIRS]), thumbnails(reals))
    return Portrait(fakes, reals, spectra, histograms, reals[places])


def radial(spectrum: Spectrum) -> Curve:
    """A spectrum's means over rings of frequency and over channels, in powers of ten: `[rings]`."""
    return np.asarray(radial_means(spectrum).mean(axis=0) / np.log(10))
