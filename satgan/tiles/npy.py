"""NumPy's `.npy` format, written bit by bit: an array that grows along its first axis and never lies in memory."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray


def npy_header(shape: tuple[int, ...], dtype: DTypeLike) -> bytes:
    """What stands before the first number of a `.npy` file of this shape and type."""
    head = io.BytesIO()
    descr = npy.dtype_to_descr(np.dtype(dtype))
    npy.write_array_header_1_0(head, {"descr": descr, "fortran_order": False, "shape": shape})
    return head.getvalue()


def write_npy(
    path: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    parts: Iterable[NDArray[Any]],
    written: Callable[[int], object] = lambda rows: None,
) -> None:
    """Writes an array as a file that `np.load` opens.

    Args:
        path: of the file.
        shape: of the whole array.
        dtype: of its numbers.
        parts: some rows each, in order; together as many as `shape` says.
        written: told how many more rows there are.
    """
    rows = 0
    with path.open("wb") as file:
        file.write(npy_header(shape, dtype))
        for part in parts:
            assert part.shape[1:] == shape[1:], (part.shape, shape)
            file.write(np.ascontiguousarray(part, dtype).data)
            rows += len(part)
            written(len(part))
    assert rows == shape[0], (rows, shape)
