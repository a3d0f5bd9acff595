"""What can be seen in a tile set, or in a folder of tiles: records in, findings out."""

from collections.abc import Callable, Mapping

from satgan.doctor.finding import Finding
from satgan.doctor.limits import graded
from satgan.doctor.records import TilesRecord
from satgan.tiles.inspect import MONO

TilesCheck = Callable[[TilesRecord], Finding | None]

POOR = ("flat", "low-entropy", "nodata")
MIXED = ("wrong-size", "wrong-channels", "undecodable", MONO)
"""Reasons of an inspection. Sea, clouds and repetitions are left to `satgan tiles inspect`: a user may want them."""


def tiles_are_few(record: TilesRecord) -> Finding | None:
    """S07: so few tiles that they are learned by heart."""
    action = "satgan tiles cut RASTER… SET --stride 32"
    return graded("S07", "few", record.tiles, f"{record.tiles} tile(s) in {record.url}", action)


def tiles_are_poor(record: TilesRecord) -> Finding | None:
    """S07: tiles without anything to learn from."""
    share, told = _share(record, POOR)
    found = f"{share:.1%} of the tiles have next to nothing in them: {told}"
    return graded("S07", "poor", share, found, f"satgan tiles inspect {record.url} --contact-sheet look.png")


def tiles_are_mixed(record: TilesRecord) -> Finding | None:
    """S07: tiles of several modes or sizes."""
    share, told = _share(record, MIXED)
    found = f"{share:.1%} of the tiles are not like the others: {told}"
    return graded("S07", "mixed", share, found, f"satgan tiles pack {record.url} SET")


def range_is_narrow(record: TilesRecord) -> Finding | None:
    """S08: tiles that fill half of the range or less."""
    found = f"99 % of the pixels lie between {record.lowest:.0f} and {record.highest:.0f} of 255"
    action = "satgan tiles cut RASTER… SET --stretch 2,98"
    return graded("S08", "span", (record.highest - record.lowest) / 255, found, action)


def range_is_upper(record: TilesRecord) -> Finding | None:
    """S29: tiles that the networks see in [0, 1] instead of [-1, 1]."""
    lowest = record.lowest / 127.5 - 1
    found = f"the darkest pixels are {record.lowest:.0f} of 255, {lowest:.2f} to the networks: the lower half is empty"
    return graded("S29", "lowest", lowest, found, "satgan tiles cut RASTER… SET --stretch 2,98")


def _share(record: TilesRecord, reasons: tuple[str, ...]) -> tuple[float, str]:
    counts = {reason: record.reasons[reason] for reason in reasons if record.reasons.get(reason)}
    told = ", ".join(f"{reason} {count}" for reason, count in counts.items())
    return sum(counts.values()) / max(1, record.tiles), told


TILES_CHECKS: Mapping[str, tuple[TilesCheck, ...]] = {
    "S07": (tiles_are_few, tiles_are_poor, tiles_are_mixed),
    "S08": (range_is_narrow,),
    "S29": (range_is_upper,),
}
