"""Worlds of several ranks in one process: real process groups of gloo over loopback, each rank in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import TypeVar

import torch.distributed as distributed
from torch.distributed import HashStore  # type: ignore[attr-defined]

from mlsession.devices.group import Group

T = TypeVar("T")
SECONDS = 120.0
"""More than anything here takes; a rank that waits so long hangs."""


def gloo_groups(size: int) -> list[distributed.ProcessGroup]:
    """The process groups of a world, by rank."""
    store, groups = HashStore(), dict[int, distributed.ProcessGroup]()

    def join(rank: int) -> None:
        backend = distributed.ProcessGroupGloo(store, rank, size, timedelta(days=1))
        groups[rank] = backend  # type: ignore[assignment]

    threads = [threading.Thread(target=join, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [groups[rank] for rank in range(size)]


def in_world(size: int, work: Callable[[Group], T]) -> list[Future[T]]:
    """Runs `work` in each rank of a world; how each has ended, by rank."""
    return in_worlds([lambda group=group: work(Group(group)) for group in gloo_groups(size)])  # type: ignore[misc]


def in_worlds(works: list[Callable[[], T]]) -> list[Future[T]]:
    """Runs each in a thread of its own, until all have ended."""
    outcomes: list[Future[T]] = [Future() for _ in works]

    def run(work: Callable[[], T], outcome: Future[T]) -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in zip(works, outcomes, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert all(outcome.done() for outcome in outcomes), "a rank hangs"
    return outcomes
