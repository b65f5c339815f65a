"""The asynchronous face of a session: one running attempt in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from mlsession.clock import Clock, SystemClock
from mlsession.errors import Cancelled, Interrupted, SessionTakenOver
from mlsession.events import Event, JobEnded, JobFinished
from mlsession.job.stream import EventReader, EventStream
from mlsession.job.view import JobView, Progress, view_after
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.stop import StopFlag, StopKind

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What the work of a job is given."""

    emit: Callable[[Event], None]
    stop: StopFlag
    clock: Clock


class Job(Generic[T]):
    """One attempt to advance a session; it starts at once, in a daemon thread.

    Ask `result()` or `await job` for the outcome, iterate `events()` to follow, `cancel()` to pause. All members may
    be used from any thread.
    """

    def __init__(self, work: Callable[[JobContext], T], clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._stream = EventStream(self._clock)
        self._view = JobView()
        self._emitting = threading.Lock()
        self._stop = StopFlag()
        self._future: Future[T] = Future()
        self._future.set_running_or_notify_cancel()
        self._work = work
        self._start_date = self._clock.now()
        self._thread = threading.Thread(target=self._run, name="mlsession-job", daemon=True)
        self._thread.start()

    @property
    def phase(self) -> str:
        """The phase that the job is in; `initialized` before the first."""
        return self._view.phase

    @property
    def progress(self) -> Progress | None:
        """The newest progress report, or None before the first."""
        return self._view.progress

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The checkpoints that this job has committed, oldest first."""
        return self._view.checkpoints

    @property
    def start_date(self) -> datetime:
        """When the job was started, UTC."""
        return self._start_date

    @property
    def is_cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self._stop.request is not None

    def events(self, after: int = 0) -> EventReader:
        """All events numbered above `after`, from the beginning by default, then live until the job ends.

        Both `for` and `async for`. Readers do not disturb each other or the job; one that falls more than 10,000
        events behind gets an `EventsMissed`.
        """
        return EventReader(self._stream, after)

    def add_event_callback(self, callback: Callable[[Event], None]) -> None:
        """Calls `callback` with every event, from the first on, in a thread of its own."""

        def follow() -> None:
            for event in self.events():
                callback(event)

        threading.Thread(target=follow, name="mlsession-events", daemon=True).start()

    def result(self, timeout: float | None = None) -> T:
        """The task's result, waiting for it; `TimeoutError` after `timeout` seconds.

        Raises `Cancelled`, `Interrupted`, `SessionTakenOver` if the job stopped before its task was done (the same
        call that started it resumes it), and whatever went wrong otherwise.
        """
        return self._future.result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What `result` would raise, or None."""
        return self._future.exception(timeout)

    def done(self) -> bool:
        """Whether the job has ended, with a result or without."""
        return self._future.done()

    def cancel(self, reason: str = "cancelled by the caller") -> None:
        """Pauses: a checkpoint is taken at the next safe point, then `result` raises `Cancelled`. Returns at once."""
        self._stop.ask(StopKind.CANCELLED, reason, self._clock.monotonic())

    def interrupt(self, reason: str) -> None:
        """Like `cancel`, for signal handlers: only sets a flag; `result` then raises `Interrupted`."""
        self._stop.ask(StopKind.INTERRUPTED, reason, self._clock.monotonic())

    def add_done_callback(self, callback: Callable[[Job[T]], None]) -> None:
        """Calls `callback(job)` once the job has ended, or at once if it has."""
        self._future.add_done_callback(lambda _: callback(self))

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self._future).__await__()

    def _emit(self, event: Event) -> None:
        # The saver and the heartbeat emit, too: without the lock one thread's view could undo another's.
        with self._emitting:
            self._view = view_after(self._view, self._stream.emit(event))

    def _run(self) -> None:
        began = self._clock.monotonic()
        try:
            result = self._work(JobContext(emit=self._emit, stop=self._stop, clock=self._clock))
        except BaseException as error:
            self._emit(JobEnded(outcome=_outcome(error), reason=str(error)))
            self._stream.close()
            self._future.set_exception(error)
        else:
            self._emit(JobFinished(elapsed=self._clock.monotonic() - began))
            self._stream.close()
            self._future.set_result(result)


def _outcome(error: BaseException) -> str:
    match error:
        case Cancelled():
            return "cancelled"
        case Interrupted():
            return "interrupted"
        case SessionTakenOver():
            return "taken_over"
        case _:
            return "failed"
