"""Pictures read and prepared ahead of the network, by several threads, in a fixed order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.data.decode import prepare_image
from mlsession.errors import KeyMissing, ModifiedTrainingData, UnreadableImage

BATCHES_AHEAD = 3
"""Batches being read and decoded while the network works on one: enough to even out slow pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One image of a data source, ready for an extractor."""

    row: int
    digest: bytes
    """SHA-256 of its bytes."""
    pixels: npt.NDArray[np.uint8] | None
    """uint8 [side, side, 3], or None if it cannot be read."""
    reason: str = ""
    """Why it cannot be read; follows from its bytes alone."""


def load_picture(row: int, key: str, data: bytes, side: int) -> Picture:
    """Digest and pixels of an image's bytes."""
    digest = hashlib.sha256(data).digest()
    try:
        return Picture(row=row, digest=digest, pixels=prepare_image(data, key, side))
    except UnreadableImage as error:
        return Picture(row=row, digest=digest, pixels=None, reason=error.reason)


def prepared_batches(
    start: int, stop: int, size: int, load: Callable[[int], Picture], workers: int | None = None
) -> Iterator[tuple[Picture, ...]]:
    """`load(row)` for rows `start` to `stop`, in order, in batches of `size`; a few batches ahead of the caller.

    Whatever `load` raises is raised here, at its row's turn. The number of workers changes the speed alone.
    """
    executor = ThreadPoolExecutor(max_workers=workers or os.cpu_count() or 1, thread_name_prefix="mlsession-pictures")
    waiting: deque[list[Future[Picture]]] = deque()
    starts = iter(range(start, stop, size))
    try:
        while True:
            while len(waiting) < BATCHES_AHEAD and (first := next(starts, None)) is not None:
                waiting.append([executor.submit(load, row) for row in range(first, min(first + size, stop))])
            if not waiting:
                return
            yield tuple(future.result() for future in waiting.popleft())
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def read_source_key(read: Callable[[str], bytes], key: str, cure: str) -> bytes:
    """The bytes of a key that the index has; one that is gone means that the data changed."""
    try:
        return read(key)
    except KeyMissing as error:
        raise ModifiedTrainingData(added=(), removed=(key,), relabeled=(), replaced=(), cure=cure) from error
