"""A bounded stream of numbered events that any number of readers replay, and that no reader can slow."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from itertools import islice

from mlsession.clock import Clock
from mlsession.events import NOT_EMITTED, Event, EventsMissed

CAPACITY = 10_000
"""Events kept for readers that come late."""


class EventStream:
    """Where a job's events go. Any thread may emit and read."""

    def __init__(self, clock: Clock, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._events: deque[Event] = deque(maxlen=capacity)
        self._count = 0
        self._closed = False
        self._changed = threading.Condition()
        self._wakers: set[Callable[[], None]] = set()

    def emit(self, event: Event) -> Event:
        """Numbers an event, dates one that has no date, and hands it to all readers; returns it as they see it."""
        with self._changed:
            self._count += 1
            date = self._clock.now() if event.date == NOT_EMITTED else event.date
            numbered = replace(event, number=self._count, date=date)
            self._events.append(numbered)
            self._wake()
        return numbered

    def close(self) -> None:
        """No more events: readers end after the last one. Idempotent."""
        with self._changed:
            self._closed = True
            self._wake()

    def take(self, after: int, timeout: float | None) -> tuple[list[Event], bool]:
        """Events numbered above `after`, and whether the stream has ended; waits up to `timeout` seconds for some.

        A reader that fell out of the window first gets an `EventsMissed`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._count > after or self._closed, timeout)
            oldest = self._count - len(self._events) + 1
            num_new = min(max(self._count - after, 0), len(self._events))
            # Counted from the new end: looking through the whole window would hold up the emitter.
            events = list(islice(reversed(self._events), num_new))[::-1]
            if after + 1 < oldest and events:
                missed = EventsMissed(count=oldest - after - 1, number=oldest - 1, date=events[0].date)
                events.insert(0, missed)
            return events, self._closed

    def add_waker(self, waker: Callable[[], None]) -> Callable[[], None]:
        """Calls `waker`, which must not block, after each change; returns what ends that."""
        with self._changed:
            self._wakers.add(waker)
        return lambda: self._wakers.discard(waker)

    def _wake(self) -> None:
        self._changed.notify_all()
        for waker in tuple(self._wakers):
            waker()


class EventReader:
    """Reads a stream from event `after` on; both `for` and `async for`. Ends when the stream does."""

    def __init__(self, stream: EventStream, after: int = 0) -> None:
        self._stream = stream
        self._after = max(after, 0)

    def __iter__(self) -> Iterator[Event]:
        after, ended = self._after, False
        while not ended:
            events, ended = self._stream.take(after, None)
            for event in events:
                after = event.number
                yield event

    async def __aiter__(self) -> AsyncIterator[Event]:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        end = self._stream.add_waker(lambda: _set_from_thread(loop, changed))
        try:
            after, ended = self._after, False
            while not ended:
                changed.clear()
                events, ended = self._stream.take(after, 0)
                for event in events:
                    after = event.number
                    yield event
                if not events and not ended:
                    await changed.wait()
        finally:
            end()


def _set_from_thread(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:
        return  # The reader's loop is closed: there is nobody left to wake.
