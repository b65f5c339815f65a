"""Saving in the background: one save in flight, nothing dropped, no error swallowed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from mlsession.clock import Clock
from mlsession.session.log.records import CheckpointEntry, Outcome
from mlsession.session.writer import SessionWriter, Stage

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A finished save."""

    entry: CheckpointEntry
    seconds: float
    size_bytes: int


class Saver:
    """Runs a `SessionWriter` in one thread of its own, to which the writer belongs from now on.

    The thread is a daemon, not an executor's: the interpreter waits for executors when it exits, and a store that
    hangs would keep a stopped process alive for ever.
    """

    def __init__(self, writer: SessionWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._running: Future[Saved] | None = None
        self._newest: Future[Any] | None = None
        self._thread = threading.Thread(target=self._work, name="mlsession-saver", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether a save is being written."""
        return self._running is not None and not self._running.done()

    def submit(self, stage: Stage) -> Saved | None:
        """Hands a stage over; waits for the save before it, and returns that one. Raises what it raised."""
        earlier = self.wait()
        self._running = self._submit(lambda: self._save(stage))
        return earlier

    def poll(self) -> Saved | None:
        """The save that finished since the last look, if any. Raises what it raised."""
        return None if self.is_busy else self.wait()

    def wait(self, timeout: float | None = None) -> Saved | None:
        """Waits for the save in flight and returns it; None if there is none, or if `timeout` seconds pass first."""
        running = self._running
        if running is None or not _ends(running, timeout):
            return None
        self._running = None
        return running.result()

    def close_session(self, outcome: Outcome, reason: str, timeout: float | None = None) -> None:
        """Commits how this opening ended; waits for it, at most `timeout` seconds. Raises what that raised."""
        closing = self._submit(lambda: self._writer.close(outcome, reason))
        if _ends(closing, timeout):
            closing.result()

    def step_back(self, before: int) -> None:
        """See `SessionWriter.step_back`; waits for it."""
        self._submit(lambda: self._writer.step_back(before)).result()

    def close(self) -> None:
        """Ends the thread; does not wait for a write that is still going on, and nobody looks at its outcome."""
        self._calls.put(None)
        if self._newest is None or self._newest.done():
            self._thread.join()

    def _save(self, stage: Stage) -> Saved:
        began = self._clock.monotonic()
        entry, size = self._writer.commit(stage)
        return Saved(entry=entry, seconds=self._clock.monotonic() - began, size_bytes=size)

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        self._newest = future
        self._calls.put(run)
        return future

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _ends(future: Future[T], timeout: float | None) -> bool:
    """Whether a call has ended within `timeout` seconds."""
    # The longest wait the system knows stands for infinity.
    wait_for([future], None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
    return future.done()
