"""The side tables of a tile set, in Parquet: where each tile comes from, and which tiles were rejected, why.

`tiles.parquet` has a row per tile in packed order: tile (its number), name, source, row, column (of its top left
pixel, in the source's pixels or, after `--resolution`, in pixels of that size), transform (the six numbers a, b, c, d,
e, f of x = a·column + b·row + c, y = d·column + e·row + f for the tile's own pixels; null without georeference), crs
and label. `rejected.parquet` has name, reason, figure, threshold and detail.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgan.tiles.inspect import Rejection

if TYPE_CHECKING:
    import pyarrow

REJECTED_NAME = "rejected.parquet"
TILES_NAME = "tiles.parquet"
ROWS_AT_ONCE = 16384

Transform = tuple[float, float, float, float, float, float]


class Place(NamedTuple):
    """Where a tile comes from: see the module's text for the units."""

    source: str
    row: int = 0
    column: int = 0
    transform: Transform | None = None
    crs: str | None = None
    label: str | None = None


class Tile(NamedTuple):
    """A tile on its way into a set: `[H, W, C] uint8`, or the reason why there are no pixels."""

    name: str
    pixels: NDArray[np.uint8] | Rejection
    masked_share: float = 0.0
    place: Place | None = None


class Records:
    """A table that grows by rows and is kept as Arrow chunks, a tenth of what Python objects take."""

    def __init__(self, schema: "pyarrow.Schema") -> None:
        self._schema = schema
        self._rows: list[tuple[Any, ...]] = []
        self._chunks: list[pyarrow.RecordBatch] = []

    def append(self, row: tuple[Any, ...]) -> None:
        """Adds a row, a value per column of the schema."""
        self._rows.append(row)
        if len(self._rows) == ROWS_AT_ONCE:
            self._close_chunk()

    def _close_chunk(self) -> None:
        import pyarrow

        columns = zip(*self._rows, strict=True) if self._rows else ([] for _ in self._schema)
        arrays = [pyarrow.array(list(column), kind) for column, kind in zip(columns, self._schema.types, strict=True)]
        self._chunks.append(pyarrow.record_batch(arrays, schema=self._schema))
        self._rows.clear()

    def table(self) -> "pyarrow.Table":
        """All rows so far."""
        import pyarrow

        self._close_chunk()
        return pyarrow.Table.from_batches(self._chunks, self._schema)


def place_records() -> Records:
    """An empty table of accepted tiles; rows are made by `place_row`."""
    import pyarrow as arrow

    few = arrow.dictionary(arrow.int32(), arrow.string())
    kinds = {"name": arrow.string(), "source": few, "row": arrow.int64(), "column": arrow.int64()}
    return Records(arrow.schema({**kinds, "transform": arrow.list_(arrow.float64(), 6), "crs": few, "label": few}))


def place_row(tile: Tile) -> tuple[Any, ...]:
    """A row for `place_records`."""
    return (tile.name, *(tile.place or Place(tile.name)))


def write_places(places: "pyarrow.Table", order: NDArray[np.int64], path: Path) -> None:
    """Write the side table: row i of the file is row `order[i]` of `places`."""
    import pyarrow
    from pyarrow import parquet

    table = places.unify_dictionaries().take(pyarrow.array(order))
    parquet.write_table(table.add_column(0, "tile", pyarrow.array(np.arange(len(order)))), path)


def rejected_records() -> Records:
    """An empty table of rejected tiles: name, then the fields of a `Rejection`."""
    import pyarrow as arrow

    kinds = {"name": arrow.string(), "reason": arrow.string(), "figure": arrow.float64(), "threshold": arrow.float64()}
    return Records(arrow.schema({**kinds, "detail": arrow.string()}))


def write_table(table: "pyarrow.Table", path: Path) -> None:
    """Write a table as Parquet; without rows it still has its columns."""
    from pyarrow import parquet

    parquet.write_table(table, path)


def count_rejected(data: bytes) -> dict[str, int]:
    """How many tiles a written list rejects for each reason, most frequent first."""
    return _counted(data, "reason")


def count_places(data: bytes) -> tuple[dict[str, int], dict[str, int], int]:
    """Of a written side table: tiles per source, tiles per label, and how many tiles have a georeference."""
    import pyarrow
    from pyarrow import parquet

    column = parquet.read_table(pyarrow.BufferReader(data), columns=["crs"])["crs"]
    return _counted(data, "source"), _counted(data, "label"), len(column) - column.null_count


def read_places(data: bytes, column: str) -> tuple[list[str], list[str | None]]:
    """Of a written side table, in packed order: the tiles' names, and a column of texts, say label or source."""
    import pyarrow
    from pyarrow import parquet

    table = parquet.read_table(pyarrow.BufferReader(data), columns=["name", column])
    return table["name"].to_pylist(), table[column].cast(pyarrow.string()).to_pylist()


def read_names(data: bytes, is_csv: bool) -> dict[str, str]:
    """Label by name, of a user's table with the columns name and label, as CSV or Parquet; rows without either are
    left out.

    Raises:
        KeyError: a column is missing.
        ValueError: it is no such table.
    """
    import pyarrow
    from pyarrow import csv, parquet

    source = pyarrow.BufferReader(data)
    table = csv.read_csv(source) if is_csv else parquet.read_table(source)
    names, labels = (table[name].cast(pyarrow.string()).to_pylist() for name in ("name", "label"))
    return {name: label for name, label in zip(names, labels, strict=True) if name and label}


def _counted(data: bytes, name: str) -> dict[str, int]:
    """How often each value but null occurs in a column, most frequent first, then by name."""
    import pyarrow
    from pyarrow import parquet

    column = parquet.read_table(pyarrow.BufferReader(data), columns=[name])[name].cast(pyarrow.string())
    counts = {entry["values"]: entry["counts"] for entry in column.drop_null().value_counts().to_pylist()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
