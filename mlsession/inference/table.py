"""The table of predictions: its columns, and its rows in blocks; pure.

    path    label    confidence    label_2    confidence_2    ...    reason

A row for each image, in the order of their paths (by code points). `label` is the best one and `confidence` its
probability; with a top of K, `label_2` to `label_K` are the next best. `reason` says why an image has none (it cannot
be read, or its best label is less sure than was asked for): then labels and confidences are missing, and otherwise
`reason` is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mlsession.errors import DamagedData
from mlsession.session.log.blobs import as_written
from mlsession.session.phase import Array, Arrays

BLOCK = 65_536
"""Rows of a block: bounded memory, and a row group of Parquet."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Some rows, as columns; n rows, K labels each."""

    paths: Sequence[str]
    """[n]."""
    top: Array
    """int32 [n, K]: labels as places in the model's classes, best first."""
    confidence: Array
    """float64 [n, K]."""
    reasons: Sequence[str]
    """[n]: why an image has no label; "" for those that have one."""


class TableWriter(Protocol):
    """Writes blocks to a file, one after the other; what it wrote follows from their rows alone."""

    def write(self, block: Block) -> None:
        """Appends the rows of a block, which all but the last has `BLOCK` of. Raises `OSError`."""
        ...

    def close(self) -> None:
        """Finishes the file."""
        ...


def without_unsure(block: Block, classes: Sequence[str], min_confidence: float) -> Block:
    """The block, with a reason for each image whose best label is less sure; itself where none is."""
    unsure = [
        not reason and confidence < min_confidence
        for reason, confidence in zip(block.reasons, block.confidence[:, 0].tolist(), strict=True)
    ]
    if not any(unsure):
        return block
    columns = zip(unsure, block.reasons, block.top[:, 0].tolist(), block.confidence[:, 0].tolist(), strict=True)
    reasons = [
        f"less sure than {min_confidence:g}: {classes[label]} {confidence:.3g}" if is_unsure else reason
        for is_unsure, reason, label, confidence in columns
    ]
    return replace(block, reasons=reasons)


def column_names(top: int) -> list[str]:
    """The columns in order, for `top` labels an image."""
    more = [f"{name}_{rank}" for rank in range(2, top + 1) for name in ("label", "confidence")]
    return ["path", "label", "confidence", *more, "reason"]


def blocks_of(
    rows: Iterable[Arrays], keys: Sequence[str], num_classes: int, reasons: Sequence[str], top: int
) -> Iterator[Block]:
    """The table out of the rows that inferencing left, which came out of a store. Raises `DamagedData`.

    `rows` have any length; `reasons` are those of the state, and `top` is at most the labels kept of each image.
    """
    texts, first = ["", *reasons], 0
    for block in rows:
        with as_written("predictions"):
            places, best = block["reason"].tolist(), block["top"][:, :top]
            if len(best) and not 0 <= int(best.min()) <= int(best.max()) < num_classes:
                raise ValueError("a label that the model has not")
            if best.shape[1] < top or any(place < 0 for place in places):
                raise ValueError("fewer labels than were kept, or a reason that is none")
            paths = keys[first : first + len(places)]
            if len(paths) < len(places):
                raise ValueError("more rows than images")
            yield Block(
                paths=paths,
                top=best,
                confidence=block["top_confidence"][:, :top],
                reasons=[texts[place] for place in places],
            )
        first += len(places)
    if first != len(keys):
        raise DamagedData("predictions", f"there are {first} for {len(keys)} images")
