"""The extracted features on this machine: read once from the store, checked, then passed over many times."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.errors import InternalError
from mlsession.session.phase import Array, Arrays, Past, Phase

BLOCK = 4_096
"""Rows are read and consumed in blocks of this many, wherever shards and commits fell."""
MEMORY_BYTES = 512 * 2**20
"""Features beyond this size lie in a temporary file, not in memory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureTable:
    """One row for each image of the corpus, in index order."""

    features: Array
    """float32 [N, D]."""
    labels: npt.NDArray[np.int64]
    """[N]."""
    training: npt.NDArray[np.bool_]
    """[N]: readable rows to train on."""
    validation: npt.NDArray[np.bool_]
    """[N]: readable rows held out."""

    def rows(self, chosen: npt.NDArray[np.bool_]) -> Iterator[Arrays]:
        """One pass over the chosen rows, in index order: `features` float32 [n, D] and `labels` int64 [n]."""
        for start in range(0, len(self.labels), BLOCK):
            mask = chosen[start : start + BLOCK]
            if mask.any():
                block = slice(start, start + BLOCK)
                yield {"features": self.features[block][mask], "labels": self.labels[block][mask]}


def load_features(past: Past, labels: npt.NDArray[np.int64]) -> FeatureTable:
    """Reads what extracting has left, through the shard codec. Raises `DamagedData`."""
    state = past.state(Phase.EXTRACTING)
    readable, validation = (state.arrays[name].astype(bool) for name in ("readable", "validation"))
    features, done = None, 0
    for block in past.rows(Phase.EXTRACTING, BLOCK):
        if features is None:
            features = _room(len(labels), block["features"].shape[1])
        features[done : done + len(block["features"])] = block["features"]
        done += len(block["features"])
    if features is None or done != len(labels):
        raise InternalError(f"extracting left {done} rows for {len(labels)} images")
    return FeatureTable(
        features=features, labels=labels, training=readable & ~validation, validation=readable & validation
    )


def _room(rows: int, width: int) -> Array:
    if rows * width * 4 <= MEMORY_BYTES:
        return np.empty((rows, width), dtype=np.float32)
    # The file has no name: it goes when the array does, or the process, however that ends.
    with tempfile.TemporaryFile(prefix="mlsession-features-") as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=(rows, width))
