"""Callbacks on what happens to a job: told in order, in one thread, and waited for when the job ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mlsession.events import CheckpointCommitted, Event, Progressed

if TYPE_CHECKING:
    from mlsession.job.job import Job
    from mlsession.job.stream import EventStream


class Callback(Protocol):
    """What is told of a job while it runs; derive from it, and override what is wanted.

        class StopWhenGood(ml.Callback):
            def on_progress(self, job, progress):
                if progress.metrics.get("validation_accuracy", 0.0) > 0.99:
                    job.cancel("good enough")

    The callbacks of a job are called in one thread, event by event and in the order in which they were given. That is
    not the thread which trains, so a slow callback holds up no training; the job's end waits for it. One that falls
    10,000 events behind is told so with an `EventsMissed`.

    What a callback raises fails the job, as in Lightning: a checkpoint is taken at the next safe point, the session is
    closed as failed, `Job.result` raises that very error, and the same call resumes. The callback that raised it hears
    no more but `on_end`; the others hear everything.
    """

    def on_event(self, job: Job[Any], event: Event) -> None:
        """Of every event but the last one (`JobFinished`, `JobEnded`), before the two below."""
        return

    def on_progress(self, job: Job[Any], progress: Progressed) -> None:
        """Of each progress report, so with every `report_interval`-th iteration."""
        return

    def on_checkpoint(self, job: Job[Any], checkpoint: CheckpointCommitted) -> None:
        """Of each checkpoint, once it is durable."""
        return

    def on_end(self, job: Job[Any], error: BaseException | None) -> None:
        """After the last event, once: `error` is what ends the job; None where it has its result.

        `job.result()` gives it only after this has returned: to wait for it here would be to wait forever.
        """
        return


class CallbackThread:
    """Tells callbacks of a job's events, from the first on, in a daemon thread."""

    def __init__(
        self,
        job: Job[Any],
        stream: EventStream,
        callbacks: Sequence[Callback],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """`on_failure` gets the first thing that a callback raises, in this thread, as soon as it is raised."""
        self.failure: BaseException | None = None
        """The first thing that a callback has raised."""
        self._job = job
        self._stream = stream
        self._callbacks = tuple(callbacks)
        self._on_failure = on_failure
        self._failed: set[int] = set()
        self._changed = threading.Event()
        self._changed.set()
        self._ended: tuple[BaseException | None] | None = None
        self._unhook = stream.add_waker(self._changed.set)
        self._thread = threading.Thread(target=self._run, name="mlsession-callbacks", daemon=True)
        self._thread.start()

    def end(self, error: BaseException | None, timeout: float | None) -> bool:
        """Lets the callbacks hear what is left, and how the job ends; False where that takes over `timeout` seconds."""
        self._ended = (error,)
        self._changed.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        after = 0
        while True:
            self._changed.wait()
            self._changed.clear()
            ended = self._ended  # Looked at first: what was emitted before the end is among the events then.
            events, _ = self._stream.take(after, 0)
            for event in events:
                after = event.number
                self._tell(event)
            if ended is not None:
                self._unhook()
                self._say_end(ended[0])
                return

    def _tell(self, event: Event) -> None:
        for place, callback in enumerate(self._callbacks):
            if place in self._failed:
                continue
            try:
                callback.on_event(self._job, event)
                match event:
                    case Progressed():
                        callback.on_progress(self._job, event)
                    case CheckpointCommitted():
                        callback.on_checkpoint(self._job, event)
            except BaseException as error:
                self._failed.add(place)
                self._fail(error)

    def _say_end(self, error: BaseException | None) -> None:
        for callback in self._callbacks:
            try:
                callback.on_end(self._job, self.failure if error is None else error)
            except BaseException as second:
                self._fail(second)

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
            self._on_failure(error)
        elif error is not self.failure:
            self.failure.add_note(f"a callback failed, too: {type(error).__name__}: {error}")
