"""Pictures read and prepared ahead of the network, by several threads, in a fixed order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from mlsession.phases.featurize import Picture

BATCH = 16
"""Images in a step: bounded work, and small enough for the caches of a CPU."""
BATCHES_AHEAD = 3
"""Batches being read and decoded while the network works on one: enough to even out slow pictures."""


def prepared_batches(
    start: int, stop: int, load: Callable[[int], Picture], size: int = BATCH, workers: int | None = None
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
