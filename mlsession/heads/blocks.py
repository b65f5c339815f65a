"""Rows in fixed blocks: the same blocks whatever shards, batches or commits the rows came in.

A matrix product rounds by the shape and the alignment of its operands, so a sum over rows is only repeatable to the
bit when every pass cuts them alike and puts them into memory alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch

from mlsession.errors import InternalError
from mlsession.session.phase import Array, Arrays

BLOCK_ROWS = 4096
FLOATS = ("float32", "float16")
"""What features may be."""
ALIGNMENT = 64
"""Bytes: torch allocates so, and a vector instruction reads so much at a time."""

Rows: TypeAlias = Callable[[], Iterator[Arrays]]
"""Starts a pass over the usable rows, in index order: {"features", "labels": int64 [n]} with any n.

Features are float16 or float32 [n, D]; what is computed with is float32 in any case.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows in memory that torch has allocated: always aligned alike. The receiver may write into it."""

    features: torch.Tensor
    """float32 [n, D]."""
    labels: torch.Tensor
    """int64 [n]."""


def fixed_blocks(rows: Rows, block_rows: int = BLOCK_ROWS) -> Iterator[Block]:
    """One pass over `rows` in blocks of exactly `block_rows`; only the last may be shorter. No rows, no blocks.

    All blocks share one buffer: a block is valid until the next one is asked for. Raises `InternalError` for rows of
    another shape or dtype than `Rows` states.
    """
    features: torch.Tensor | None = None
    labels = torch.empty(0, dtype=torch.int64)
    filled = 0
    for arrays in rows():
        width = _checked_width(arrays, None if features is None else features.shape[1])
        taken, count = 0, len(arrays["labels"])
        while taken < count:
            if features is None:
                features = torch.empty((block_rows, width), dtype=torch.float32)
                labels = torch.empty(block_rows, dtype=torch.int64)
            amount = min(block_rows - filled, count - taken)
            _copy(arrays["features"][taken : taken + amount], features[filled : filled + amount])
            labels.numpy()[filled : filled + amount] = arrays["labels"][taken : taken + amount]
            filled, taken = filled + amount, taken + amount
            if filled == block_rows:
                yield Block(features=features, labels=labels)
                filled = 0
    if features is not None and filled:
        yield Block(features=features[:filled], labels=labels[:filled])


def block_of(arrays: Arrays) -> Block:
    """Rows that were picked, as a block of their own. Raises `InternalError`, see `fixed_blocks`."""
    width, count = _checked_width(arrays, None), len(arrays["labels"])
    features = torch.empty((count, width), dtype=torch.float32)
    labels = torch.empty(count, dtype=torch.int64)
    _copy(arrays["features"], features)
    labels.numpy()[:] = arrays["labels"]
    return Block(features=features, labels=labels)


def owned(*arrays: Array) -> torch.Tensor:
    """The arrays, flat and joined, in memory that torch has allocated and nobody else uses."""
    joined = np.concatenate([np.ravel(array) for array in arrays])
    return torch.from_numpy(joined).clone()


def aligned(array: Array) -> torch.Tensor:
    """The array, flat, in memory aligned as torch aligns: its own where that is so already. Not to be written into."""
    flat = np.ravel(array)
    if flat.flags.writeable and flat.ctypes.data % ALIGNMENT == 0:
        return torch.from_numpy(flat)
    return owned(flat)


def _copy(source: Array, target: torch.Tensor) -> None:
    """Copies float32 or float16 [n, D] into float32; no value is rounded."""
    if source.flags.writeable:
        # With vector instructions and threads: numpy converts float16 seven times slower.
        target.copy_(torch.from_numpy(source))
    else:
        # torch does not wrap the read-only arrays that a store may hand out.
        target.numpy()[:] = source


def _checked_width(arrays: Arrays, width: int | None) -> int:
    features, labels = arrays["features"], arrays["labels"]
    known = str(features.dtype) in FLOATS
    if features.ndim != 2 or not known or width not in (None, features.shape[1]):
        raise InternalError(
            f"rows must hold float16 or float32 features [n, {width or 'D'}], not {features.dtype} {features.shape}"
        )
    if labels.shape != features.shape[:1] or str(labels.dtype) != "int64":
        raise InternalError(f"rows must hold int64 labels [{len(features)}], not {labels.dtype} {labels.shape}")
    return int(features.shape[1])
