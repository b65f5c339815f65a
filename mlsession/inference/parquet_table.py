"""The table of predictions as Parquet: texts and doubles, null where they are missing, paths exactly as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlsession.inference.table import Block, column_names


class ParquetWriter:
    """Writes the table to a local file, a row group for each block."""

    def __init__(self, path: Path, classes: Sequence[str], top: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {name: pa.float64() if name.startswith("confidence") else pa.string() for name in column_names(top)}
        self._schema = pa.schema([pa.field(name, kind, nullable=name != "path") for name, kind in kinds.items()])
        self._classes = np.array(classes, dtype=object)
        self._writer = pq.ParquetWriter(path, self._schema)

    def write(self, block: Block) -> None:
        """See `TableWriter`."""
        import pyarrow as pa

        unread = np.array([bool(reason) for reason in block.reasons])
        columns: list[pa.Array[Any]] = [pa.array(list(block.paths), type=pa.string())]
        for rank in range(block.top.shape[1]):
            labels = self._classes[block.top[:, rank]]
            columns.append(pa.array(labels, type=pa.string(), mask=unread))
            columns.append(pa.array(np.array(block.confidence[:, rank]), type=pa.float64(), mask=unread))
        columns.append(pa.array([reason or None for reason in block.reasons], type=pa.string()))
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema), row_group_size=len(block.paths))

    def close(self) -> None:
        """See `TableWriter`."""
        self._writer.close()
