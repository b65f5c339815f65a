"""Which images of a source are the same file, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from mlsession.data.ahead import worked_ahead
from mlsession.data.index import ImageIndex
from mlsession.session.phase import Array


def copies_of(index: ImageIndex, read: Callable[[str], bytes]) -> Array:
    """int64 [N]: for each row the first row with the same bytes, itself where there is none before it.

    Only files that share their size with another one are read, by several threads. Raises what `read` raises.
    """
    _, of_size, amounts = np.unique(index.sizes, return_inverse=True, return_counts=True)
    alike = np.flatnonzero(amounts[of_size] > 1).tolist()
    first = np.arange(len(index), dtype=np.int64)
    seen: dict[tuple[int, bytes], int] = {}
    digests = worked_ahead(lambda row: hashlib.sha256(read(index.keys[row])).digest(), alike)
    for row, digest in zip(alike, digests, strict=True):
        first[row] = seen.setdefault((int(index.sizes[row]), digest), row)
    return first
