from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mlsession.events import Event, EventsMissed, JobFinished, JobStopping
from mlsession.job.stream import EventReader, EventStream
from mlsession.testing.clock import START, FakeClock


def said(text: str) -> Event:
    return JobStopping(reason=text)


def stream_of(count: int, capacity: int = 100, closed: bool = True) -> EventStream:
    stream = EventStream(FakeClock(), capacity)
    for number in range(1, count + 1):
        stream.emit(said(str(number)))
    if closed:
        stream.close()
    return stream


def test_events_are_numbered_and_dated_by_the_stream() -> None:
    clock = FakeClock()
    stream = EventStream(clock)
    first = stream.emit(said("a"))
    clock.advance(5)
    second = stream.emit(said("b"))
    assert [(event.number, (event.date - first.date).total_seconds()) for event in (first, second)] == [(1, 0), (2, 5)]
    assert stream.take(0, 0)[0] == [first, second]


def test_an_event_that_happened_elsewhere_keeps_its_date() -> None:
    event = JobStopping(reason="a", date=START - timedelta(days=1))
    assert EventStream(FakeClock()).emit(event) == replace(event, number=1)


@given(st.integers(0, 12), st.integers(0, 14), st.integers(1, 15))
def test_replay_from_any_number(count: int, after: int, capacity: int) -> None:
    events = list(EventReader(stream_of(count, capacity), after))
    gone = max(count - capacity - after, 0)
    if gone and count > after:
        missed, *events = events
        assert isinstance(missed, EventsMissed)
        assert (missed.count, missed.number) == (gone, after + gone)
    assert [event.number for event in events] == list(range(after + gone + 1, count + 1))
    assert [getattr(event, "reason", None) for event in events] == [str(event.number) for event in events]


def test_reading_from_before_the_beginning_is_reading_from_the_beginning() -> None:
    assert [event.number for event in EventReader(stream_of(3), -5)] == [1, 2, 3]


def test_readers_end_with_the_stream_and_do_not_disturb_each_other() -> None:
    stream = stream_of(0, capacity=1_000, closed=False)
    barrier = threading.Barrier(5)

    def read(after: int) -> list[int]:
        barrier.wait()
        return [event.number for event in EventReader(stream, after)]

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, after) for after in (0, 0, 7, 400)]
        barrier.wait()
        for number in range(500):
            stream.emit(said(str(number)))
        stream.close()
        stream.close()
        found = [reader.result(60) for reader in readers]
    assert found == [list(range(after + 1, 501)) for after in (0, 0, 7, 400)]


def test_a_reader_that_does_not_read_holds_nobody_up() -> None:
    stream = stream_of(1, capacity=10, closed=False)
    slow = iter(EventReader(stream))
    assert next(slow).number == 1
    for number in range(1_000):
        stream.emit(said(str(number)))
    stream.close()
    missed, *rest = slow
    assert isinstance(missed, EventsMissed)
    assert (missed.count, missed.number) == (990, 991)
    assert [event.number for event in rest] == list(range(992, 1_002))
    assert missed.date == rest[0].date


def test_emitting_from_many_threads_leaves_no_gap() -> None:
    stream = stream_of(0, capacity=10_000, closed=False)
    with ThreadPoolExecutor(8) as pool:
        emitted = list(pool.map(lambda number: stream.emit(said(str(number))), range(2_000)))
    stream.close()
    events = list(EventReader(stream))
    assert [event.number for event in events] == list(range(1, 2_001))
    assert sorted(emitted, key=lambda event: event.number) == events


def test_waiting_for_an_event_can_end_without_one() -> None:
    assert stream_of(2, closed=False).take(2, 0) == ([], False)
    assert stream_of(2).take(2, None) == ([], True)


def test_a_whole_window_is_not_looked_through_for_one_event() -> None:
    class Watched(list[Event]):
        """Counts what is read of it."""

        reads = 0

        def __reversed__(self) -> Iterator[Event]:
            for event in super().__reversed__():
                Watched.reads += 1
                yield event

        def __iter__(self) -> Iterator[Event]:
            for event in super().__iter__():
                Watched.reads += 1
                yield event

    stream = stream_of(1_000, capacity=1_000)
    stream._events = Watched(stream._events)  # type: ignore[assignment]
    Watched.reads = 0
    events, _ = stream.take(998, 0)
    assert [event.number for event in events] == [999, 1_000]
    assert Watched.reads <= 3


def test_async_readers_see_the_same() -> None:
    stream = stream_of(3, capacity=1_000, closed=False)

    async def read(after: int) -> list[int]:
        return [event.number async for event in EventReader(stream, after)]

    async def both() -> list[list[int]]:
        readers = [asyncio.create_task(read(after)) for after in (0, 2)]
        await asyncio.sleep(0)

        def emit() -> None:
            for number in range(200):
                stream.emit(said(str(number)))
            stream.close()

        await asyncio.to_thread(emit)
        return [await asyncio.wait_for(reader, 60) for reader in readers]

    assert asyncio.run(both()) == [list(range(1, 204)), list(range(3, 204))]


def test_an_async_reader_that_leaves_early_is_forgotten() -> None:
    stream = stream_of(3, closed=False)

    async def first() -> int:
        reader = EventReader(stream).__aiter__()
        event = await anext(reader)
        await _close(reader)
        return event.number

    assert asyncio.run(first()) == 1
    assert stream._wakers == set()
    stream.emit(JobFinished(elapsed=0.0))


def test_a_reader_whose_loop_is_gone_disturbs_nobody() -> None:
    stream = stream_of(1, closed=False)
    reader = EventReader(stream).__aiter__()

    async def first() -> int:
        return (await anext(reader)).number

    # Without asyncio.run, which would end the reader: its waker stays, and its loop does not.
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(first()) == 1
    loop.close()
    assert len(stream._wakers) == 1
    end = stream.add_waker(lambda: None)
    assert stream.emit(said("on")).number == 2
    end()
    end()
    asyncio.run(_close(reader))


async def _close(reader: AsyncIterator[Event]) -> None:
    await reader.aclose()  # type: ignore[attr-defined]
