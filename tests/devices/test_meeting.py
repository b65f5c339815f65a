"""Ranks find each other whatever the ranks before them have left in the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from torch.distributed import HashStore  # type: ignore[attr-defined]

from mlsession.devices.meeting import met
from mlsession.errors import WorkerLost
from tests.devices.worlds import SECONDS, in_worlds

PATIENCE = timedelta(seconds=60)


def world(store: HashStore, size: int) -> list[str]:
    """What the ranks of a world call it."""
    ranks: list[Callable[[], str]] = [partial(met, store, rank, size, PATIENCE) for rank in range(size)]
    return [outcome.result() for outcome in in_worlds(ranks)]


def test_each_world_has_a_name_of_its_own() -> None:
    store = HashStore()
    names = [world(store, size) for size in (3, 2, 3, 1)]
    assert [len(set(each)) for each in names] == [1, 1, 1, 1]
    assert len({each[0] for each in names}) == 4


@pytest.mark.parametrize("late", [0, 1])
def test_nobody_takes_those_before_for_those_of_today(late: int) -> None:
    """Whoever comes first waits, though the store holds all the keys of a world of the same size."""
    store, names = HashStore(), set[str]()
    for _ in range(3):
        looks = threading.Semaphore(0)

        def wait_first(looks: threading.Semaphore = looks) -> str:
            for _ in range(3):
                assert looks.acquire(timeout=SECONDS / 10), "the other one has met somebody"
            return met(store, late, 2, PATIENCE)

        def come(looks: threading.Semaphore = looks) -> str:
            return met(store, 1 - late, 2, PATIENCE, looks.release)

        name, other = (outcome.result() for outcome in in_worlds([wait_first, come]))
        assert name == other
        names.add(name)
    assert len(names) == 3


def test_waiting_ends() -> None:
    for rank in range(2):
        with pytest.raises(WorkerLost, match=f"rank {rank} has waited 0 s"):
            met(HashStore(), rank, 2, timedelta())
