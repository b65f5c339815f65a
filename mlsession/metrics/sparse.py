"""Tables of counts that are mostly zero, in the form in which they are stored."""

from __future__ import annotations

import numpy as np

from mlsession.errors import InternalError
from mlsession.session.phase import Array, Arrays

PLACES = "places"
COUNTS = "counts"


def sparse_arrays(name: str, table: Array) -> dict[str, Array]:
    """The cells of an int64 table that are not zero, in memory of their own.

    `<name>.places` uint32 [m], ascending: where they are, counted row by row; `<name>.counts` int64 [m]: what they
    hold. A table of 1,000 classes by 1,024 bins has 8 MB, its sparse form a third of that.
    Raises `InternalError` for a table of 2^32 cells or more.
    """
    if table.size >= 2**32:
        raise InternalError(f"{name}: a table of {table.size} cells cannot be stored")
    places = np.flatnonzero(table)
    return {
        f"{name}.{PLACES}": places.astype(np.uint32),
        f"{name}.{COUNTS}": table.reshape(-1)[places].astype(np.int64),
    }


def dense_table(name: str, arrays: Arrays, shape: tuple[int, ...]) -> Array:
    """Reads `sparse_arrays` back as int64 of a shape. Raises `InternalError` for what does not fit it."""
    places, counts = arrays.get(f"{name}.{PLACES}"), arrays.get(f"{name}.{COUNTS}")
    table = np.zeros(shape, dtype=np.int64)
    if places is None or counts is None or places.shape != counts.shape or counts.dtype != np.int64:
        raise InternalError(f"{name}: no places and counts of a table")
    if len(places) and int(places.max()) >= table.size:
        raise InternalError(f"{name}: cell {int(places.max())} of a table of {table.size}")
    table.reshape(-1)[places] = counts
    return table
