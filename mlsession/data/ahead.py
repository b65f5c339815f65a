"""The same work on many things by several threads, with the results in order and little of it ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 8
"""Threads that wait for a store most of the time."""
ITEMS_PER_WORKER = 32
"""Each thread opens a handle of its own, which takes as long as many a request to a bucket."""


def worked_ahead(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`work(item)` for each, in order, a few ahead of the caller. What it raises is raised here, at its item's turn.

    Who stops early (an error, Ctrl-C) does not wait for what is still going on.
    """
    workers = min(max(len(items) // ITEMS_PER_WORKER, 1), MOST_WORKERS)
    executor = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="mlsession-data")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(work, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        executor.shutdown(wait=True)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
