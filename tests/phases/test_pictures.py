"""Batches through several workers: in order, whatever the workers do, and not more in memory than there is room for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.phases import pictures
from mlsession.phases.pictures import AT_ONCE, READERS, Read, Share, readers_for, worked_batches


def content(row: int) -> bytes:
    return b"%d." % row * (row % 5 + 1)


def joined(batch: Sequence[tuple[int, Read]]) -> tuple[tuple[int, bytes], ...]:
    return tuple((row, read()) for row, read in batch)


def settled() -> Iterator[None]:
    """Checks that no thread of ours is left."""
    before = set(threading.enumerate())
    yield
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


no_threads_left = pytest.fixture(autouse=True)(settled)


@settings(deadline=None, max_examples=30)
@given(start=st.integers(0, 50), count=st.integers(0, 70), size=st.integers(1, 20), workers=st.integers(1, 5))
def test_all_rows_in_order_whatever_the_number_of_workers(start: int, count: int, size: int, workers: int) -> None:
    rows = range(start, start + count)
    batches = list(worked_batches(rows, content, joined, size, workers))
    assert [pair for batch in batches for pair in batch] == [(row, content(row)) for row in rows]
    assert all(len(batch) == size for batch in batches[:-1])


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("where", ["read", "work"])
def test_an_error_comes_at_its_turn(workers: int, where: str) -> None:
    def read(row: int) -> bytes:
        if where == "read" and row == 21:
            raise OSError("gone")
        return content(row)

    def work(batch: Sequence[tuple[int, Read]]) -> tuple[tuple[int, bytes], ...]:
        if where == "work" and batch[0][0] == 20:
            raise OSError("gone")
        return joined(batch)

    seen: list[int] = []

    def follow() -> None:
        for batch in worked_batches(range(100), read, work, 4, workers):
            seen.extend(row for row, _ in batch)

    with pytest.raises(OSError, match="gone"):
        follow()
    assert seen == list(range(20))


def test_what_a_reader_has_taken_with_a_row_that_fails_is_not_read() -> None:
    """A store that is down makes each read wait for minutes; nobody will look at the rows behind it."""
    seen: list[int] = []

    def read(row: int) -> bytes:
        seen.append(row)
        if row == 1:
            raise OSError("gone")
        return content(row)

    with pytest.raises(OSError, match="gone"):
        next(worked_batches(range(AT_ONCE), read, joined, AT_ONCE, 1))
    assert seen == [0, 1]


def test_who_stops_early_leaves_nothing_behind() -> None:
    batches = worked_batches(range(1000), content, joined, 4, 2)
    assert next(batches)[0] == (0, b"0.")
    batches.close()


@pytest.mark.parametrize("workers", [1, 4])
def test_what_lies_ready_is_bounded(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is larger than all the room: hardly more than one for each reader lies there, and all come through."""
    monkeypatch.setattr(pictures, "READY_BYTES", 100)
    lock, ready, most = threading.Lock(), [0], [0]

    def read(row: int) -> bytes:
        with lock:
            ready[0] += 1
            most[0] = max(most[0], ready[0])
        return bytes(150)

    def work(batch: Sequence[tuple[int, Read]]) -> int:
        for _, taken in batch:
            taken()
            with lock:
                ready[0] -= 1
        return len(batch)

    assert sum(worked_batches(range(200), read, work, 8, workers)) == 200
    assert most[0] <= 2 * READERS + workers


def test_slow_pictures_hold_up_nobody_behind_them() -> None:
    """The first batch ends only once a later one has been worked on."""
    later = threading.Event()

    def work(batch: Sequence[tuple[int, Read]]) -> int:
        if batch[0][0] == 0:
            assert later.wait(60)
        else:
            later.set()
        return batch[0][0]

    assert list(worked_batches(range(12), content, work, 4, 2)) == [0, 4, 8]


def test_far_away_many_wait_at_once_and_the_rows_stay_in_order() -> None:
    """Once it is known how large files are, each read waits until as many are going on as the rule says."""
    workers, known, count = 2, 100, 400
    most = readers_for(workers, is_shared=True)
    together, left, lock = threading.Event(), [0, 0], threading.Lock()

    def read(row: int) -> bytes:
        with lock:
            left[0] += 1
            left[1] = max(left)
            if left[0] == most:
                together.set()
        assert row < known or together.wait(60)
        with lock:
            left[0] -= 1
        return content(row)

    batches = worked_batches(range(count), read, joined, 4, workers, lambda: True)
    assert [pair for batch in batches for pair in batch] == [(row, content(row)) for row in range(count)]
    assert left[1] == most


def test_how_many_read_at_once() -> None:
    assert [readers_for(workers, is_shared=False) for workers in (1, 2, 32)] == [READERS] * 3
    assert [readers_for(workers, is_shared=True) for workers in (1, 2, 4, 32)] == [32, 64, 128, 128]


def test_large_files_under_way_count_before_they_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is known how large they are, hardly more are under way than there is room for."""
    monkeypatch.setattr(pictures, "READY_BYTES", 1000)
    lock, under_way, most = threading.Lock(), [0], [0]

    def read(row: int) -> bytes:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.005)  # Long enough for others to begin.
        return bytes(400)

    def work(batch: Sequence[tuple[int, Read]]) -> int:
        for _, taken in batch:
            taken()
            with lock:
                under_way[0] -= 1
        return len(batch)

    assert sum(worked_batches(range(150), read, work, 8, 2, lambda: True)) == 150
    assert most[0] <= READERS + 2


def test_whether_handles_are_shared_is_asked_when_there_is_something_to_read() -> None:
    def fail() -> bool:
        raise OSError("gone")

    assert list(worked_batches(range(0), content, joined, 4, 1, fail)) == []
    with pytest.raises(OSError, match="gone"):
        next(worked_batches(range(1), content, joined, 4, 1, fail))


@settings(deadline=None, max_examples=30)
@given(known=st.sets(st.integers(0, 19)), workers=st.integers(1, 4), rank=st.integers(0, 1))
def test_what_is_at_hand_is_not_read_and_comes_in_its_place(known: set[int], workers: int, rank: int) -> None:
    seen: list[int] = []

    def read(row: int) -> bytes:
        seen.append(row)
        return content(row)

    def at_hand(rows: range) -> tuple[tuple[int, bytes], ...] | None:
        assert threading.current_thread() is threading.main_thread()
        return tuple((row, content(row)) for row in rows) if rows.start // 4 in known else None

    share = Share(rank=rank, size=2)
    batches = list(worked_batches(range(80), read, joined, 4, workers, share=share, at_hand=at_hand))
    mine = [row for row in range(80) if row // 4 % 2 == rank]
    assert [pair for batch in batches for pair in batch] == [(row, content(row)) for row in mine]
    assert sorted(seen) == [row for row in mine if row // 4 not in known]


def test_no_more_lies_ready_behind_a_slow_batch_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_WAITING", 8)
    asked: list[int] = []

    def at_hand(rows: range) -> tuple[tuple[int, bytes], ...] | None:
        asked.append(rows.start)
        return None if rows.start == 4 else tuple((row, content(row)) for row in rows)

    batches = worked_batches(range(200), content, joined, 4, 2, at_hand=at_hand)
    next(batches)
    assert asked == [0], "nobody looks further than is needed"
    next(batches)
    assert asked == list(range(0, 36, 4)), "the second one was worked on meanwhile"
    assert [pair for batch in batches for pair in batch] == [(row, content(row)) for row in range(8, 200)]
