"""Work by several threads: in order, a little ahead, and ended by the first error."""

from __future__ import annotations

import threading

import pytest

from mlsession.data.ahead import ITEMS_PER_WORKER, MOST_WORKERS, worked_ahead


@pytest.mark.parametrize("count", [0, 1, ITEMS_PER_WORKER * 3, ITEMS_PER_WORKER * MOST_WORKERS * 2])
def test_results_come_in_order(count: int) -> None:
    assert list(worked_ahead(lambda item: item * item, range(count))) == [item * item for item in range(count)]


def test_several_threads_work_at_once() -> None:
    """Each of the first eight waits for the other seven."""
    together = threading.Barrier(MOST_WORKERS)
    items = range(ITEMS_PER_WORKER * MOST_WORKERS)
    found = list(worked_ahead(lambda item: together.wait(60) >= 0 if item < MOST_WORKERS else True, items))
    assert all(found)


def test_an_error_comes_at_its_turn_and_ends_the_work() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 5:
            raise ValueError("five")
        return item

    results = worked_ahead(work, range(10_000))
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)
    assert max(begun) < 100
