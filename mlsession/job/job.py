"""The asynchronous face of a session: one running attempt in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from mlsession.clock import Clock, SystemClock
from mlsession.errors import Cancelled, Interrupted, SessionTakenOver
from mlsession.events import Event, JobEnded, JobFinished
from mlsession.job.attach import FollowOptions, following
from mlsession.job.callbacks import Callback, CallbackThread
from mlsession.job.context import JobContext as JobContext
from mlsession.job.notebook import job_html, job_words, show_live
from mlsession.job.stream import EventReader, EventStream
from mlsession.job.view import JobView, Progress, view_after
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.session.stop import StopFlag, StopKind
from mlsession.store import open_store

T = TypeVar("T")


class Job(Generic[T]):
    """One attempt to advance a session; it starts at once, in a daemon thread.

    Ask `result()` or `await job` for the outcome, iterate `events()` to follow, `cancel()` to pause. All members may
    be used from any thread.
    """

    def __init__(
        self, work: Callable[[JobContext], T], clock: Clock | None = None, callbacks: Sequence[Callback] = ()
    ) -> None:
        """`callbacks` are told of all that happens; see `Callback`."""
        self._clock = clock or SystemClock()
        self._stream = EventStream(self._clock)
        self._view = JobView()
        self._emitting = threading.Lock()
        self._stop = StopFlag()
        self._future: Future[T] = Future()
        self._future.set_running_or_notify_cancel()
        self._work = work
        self._start_date = self._clock.now()
        self._accompanied: list[tuple[CallbackThread, Callable[[], float] | None, Callable[[], None]]] = []
        if callbacks:
            self._accompany(callbacks, None, lambda: None)
        self._thread = threading.Thread(target=self._run, name="mlsession-job", daemon=True)
        self._thread.start()

    @staticmethod
    def attach(
        url: str | Path,
        storage_options: Mapping[str, object] | None = None,
        *,
        poll_seconds: float = 2.0,
        stale_after: float = 20.0,
        wait: bool = False,
        store_patience: float = 900.0,
    ) -> Job[TrainingSession]:
        """Follows a session that another process or machine trains, through the store alone; only reads.

        The events are those of the session: first its past (the newest 1,000 checkpoints, the newest opening), then
        what comes, with the dates of the process that trains it; progress between checkpoints is that of its
        heartbeat, which is 5 s old at most. Every `poll_seconds` the store gets two small requests. The result, once
        the session is finished, is a picture of it (close that). Until then, `result()` raises

        - `SessionNotFound` where there is no session, and for one that is deleted meanwhile;
        - `Cancelled`, `Interrupted` or `SessionFailed` when the process that trains it says that it ended so, or had
          ended so before; `Interrupted` also when it shows no sign of life for `stale_after` seconds. With `wait` the
          job goes on instead, until another process has finished the session;
        - `SessionTakenOver` if `cancel` was called and another process opened the session before it could be obeyed;
        - `StoreError` if the store does not answer for `store_patience` seconds, `NewerFormat` and `DamagedData`.

        `cancel(reason)` asks the process that trains the session to save and stop. That looks every 5 seconds; the job
        then raises how it ended. Where nobody trains the session nothing is written: nobody who opens it later stops.
        `interrupt(reason)` only stops following.
        """
        options = FollowOptions(
            poll_seconds=poll_seconds, stale_after=stale_after, wait=wait, store_patience=store_patience
        )
        access = storage_options or {}

        def picture() -> TrainingSession:
            parameters = SessionParameters(url, stale_after=stale_after, storage_options=access)
            return TrainingSession(lambda: open_store(url, access), parameters)

        return Job(following(url, access, options, picture))

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

    def __repr__(self) -> str:
        return f"<Job: {job_words(self)}>"

    def _repr_html_(self) -> str:
        return job_html(self)

    def _ipython_display_(self) -> None:
        show_live(self)

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self._future).__await__()

    def _emit(self, event: Event) -> None:
        # The saver and the heartbeat emit, too: without the lock one thread's view could undo another's.
        with self._emitting:
            self._view = view_after(self._view, self._stream.emit(event))

    def _run(self) -> None:
        began = self._clock.monotonic()
        outcome: tuple[T] | None = None
        error: BaseException | None = None
        try:
            context = JobContext(emit=self._emit, stop=self._stop, clock=self._clock, attend=self._attend)
            outcome = (self._work(context),)
        except BaseException as raised:
            error = raised
        error = self._end_callbacks(error)
        if outcome is not None and error is None:
            self._emit(JobFinished(elapsed=self._clock.monotonic() - began))
            self._stream.close()
            self._future.set_result(outcome[0])
        else:
            self._emit(JobEnded(outcome=_outcome(error), reason=str(error)))
            self._stream.close()
            self._future.set_exception(error)

    def _attend(self, callback: Callback, patience: Callable[[], float], on_late: Callable[[], None]) -> None:
        self._accompany((callback,), patience, on_late)

    def _accompany(
        self, callbacks: Sequence[Callback], patience: Callable[[], float] | None, on_late: Callable[[], None]
    ) -> None:
        def fail(error: BaseException) -> None:
            self._stop.fail(error, self._clock.monotonic())

        self._accompanied.append((CallbackThread(self, self._stream, callbacks, fail), patience, on_late))

    def _end_callbacks(self, error: BaseException | None) -> BaseException | None:
        """Waits until all callbacks have heard how the job ends; what ends it now: `error`, or what they raised."""
        for thread, patience, on_late in self._accompanied:
            if not thread.end(error, None if patience is None else patience()):
                on_late()
            failure = thread.failure
            if error is None:
                error = failure
            elif failure is not None and failure is not error:
                error.add_note(f"a callback failed, too: {type(failure).__name__}: {failure}")
        return error


def _outcome(error: BaseException | None) -> str:
    match error:
        case Cancelled():
            return "cancelled"
        case Interrupted():
            return "interrupted"
        case SessionTakenOver():
            return "taken_over"
        case _:
            return "failed"
