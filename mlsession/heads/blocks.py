"""Rows in fixed blocks: the same blocks whatever shards, batches or commits the rows came in.

A matrix product rounds by the shape and the alignment of its operands, so a sum over rows is only repeatable to the
bit when every pass cuts them alike and puts them into memory alike.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias, TypeVar

import numpy as np
import torch

from mlsession.errors import InternalError
from mlsession.processor import usable_processors
from mlsession.session.phase import Array, Arrays

BLOCK_ROWS = 4096
FLOATS = ("float32", "float16")
"""What features may be."""
MOST_WORKERS = 8
"""Each has a block of its own in memory."""
ALIGNMENT = 64
"""Bytes: torch allocates so, and a vector instruction reads so much at a time."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Rows: TypeAlias = Callable[[], Iterator[Arrays]]
"""Starts a pass over the usable rows, in index order: {"features", "labels": int64 [n]} with any n.

Features are float16 or float32 [n, D], and stay as they are for the whole pass; what is computed with is float32.
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
    buffer: Block | None = None
    for pieces in _pieces(rows, block_rows):
        buffer = buffer or _buffer(pieces, block_rows)
        yield _filled(buffer, pieces)


def worked_blocks(
    rows: Rows, work: Callable[[Block], Result], workers: int | None = None, block_rows: int = BLOCK_ROWS
) -> Iterator[Result]:
    """What `work` gives for each of the `fixed_blocks`, in order; several threads work on one block each.

    How many (default: one for each usable processor, at most `MOST_WORKERS`) changes the speed alone. torch's own
    threads would change what is rounded, and wait for each other at every operation: on a processor that others use,
    too, a pass then took a hundred times as long. Each thread of ours has as many of torch's as the caller's. A block
    is valid while it is worked on. Raises what `fixed_blocks` and `work` raise.
    """
    count = workers or min(usable_processors(), MOST_WORKERS)
    cut = _pieces(rows, block_rows)
    few = list(itertools.islice(cut, 2))
    if count == 1 or len(few) < 2:
        for pieces in itertools.chain(few, cut):
            yield work(_filled(_buffer(pieces, block_rows), pieces))
        return
    buffers = SimpleQueue[Block]()
    for _ in range(count):
        buffers.put(_buffer(few[0], block_rows))

    def work_on(pieces: Sequence[Arrays]) -> Result:
        buffer = buffers.get()
        try:
            return work(_filled(buffer, pieces))
        finally:
            buffers.put(buffer)

    yield from worked(itertools.chain(few, cut), work_on, count)


def worked(items: Iterable[Item], work: Callable[[Item], Result], workers: int) -> Iterator[Result]:
    """What `work` gives for each of the items, in order; so many threads of ours work on one each.

    Each has as many of torch's threads as the caller's. Raises what `work` raises.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(
        max_workers=workers,
        thread_name_prefix="mlsession-block",
        initializer=_use_threads,
        initargs=(torch.get_num_threads(),),
    )
    try:
        for item in items:
            if len(waiting) > workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _use_threads(count: int) -> None:
    """Gives the calling thread so many intra-op threads of torch.

    A new thread has what was set last, in whichever thread of the process that was; and has it only once it is asked.
    """
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def _pieces(rows: Rows, block_rows: int) -> Iterator[list[Arrays]]:
    """The slices of what `rows` gives that make up each block. Raises `InternalError`."""
    pieces: list[Arrays] = []
    missing, width = block_rows, None
    for arrays in rows():
        width = _checked_width(arrays, width)
        taken, count = 0, len(arrays["labels"])
        while taken < count:
            amount = min(missing, count - taken)
            pieces.append({name: arrays[name][taken : taken + amount] for name in ("features", "labels")})
            missing, taken = missing - amount, taken + amount
            if not missing:
                yield pieces
                pieces, missing = [], block_rows
    if pieces:
        yield pieces


def _buffer(pieces: Sequence[Arrays], block_rows: int) -> Block:
    """Room for a block like this one."""
    width = pieces[0]["features"].shape[1]
    features = torch.empty((block_rows, width), dtype=torch.float32)
    return Block(features=features, labels=torch.empty(block_rows, dtype=torch.int64))


def _filled(buffer: Block, pieces: Sequence[Arrays]) -> Block:
    """The rows of these pieces in a buffer."""
    filled = 0
    for arrays in pieces:
        amount = len(arrays["labels"])
        _copy(arrays["features"], buffer.features[filled : filled + amount])
        buffer.labels.numpy()[filled : filled + amount] = arrays["labels"]
        filled += amount
    return Block(features=buffer.features[:filled], labels=buffer.labels[:filled])


def block_of(arrays: Arrays) -> Block:
    """Rows that were picked, as a block of their own. Raises `InternalError`, see `fixed_blocks`."""
    width, count = _checked_width(arrays, None), len(arrays["labels"])
    features = torch.empty((count, width), dtype=torch.float32)
    labels = torch.empty(count, dtype=torch.int64)
    _copy(arrays["features"], features)
    labels.numpy()[:] = arrays["labels"]
    return Block(features=features, labels=labels)


def widened(features: Array) -> Array:
    """float32 of float16 or float32 [n, D], in memory of its own; no value is rounded."""
    wide = torch.empty(features.shape, dtype=torch.float32)
    _copy(features, wide)
    return wide.numpy()


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
