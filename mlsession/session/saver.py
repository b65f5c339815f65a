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
from mlsession.session.cost import CostMeter
from mlsession.session.log.records import CheckpointEntry, Outcome
from mlsession.session.upkeep.retainer import NoUpkeep, Upkeep
from mlsession.session.writer import SessionWriter, Stage

T = TypeVar("T")
Patience = Callable[[], float | None]
"""Seconds that are left to wait, which are asked for again and again while there is no end (None)."""
_LOOK_SECONDS = 0.5
"""Between two times that it is asked."""
_JOIN_SECONDS = 5.0
"""How long closing waits for a step of upkeep that is being taken; a store that hangs may hold it up for ever."""


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

    Between saves it sees to `upkeep`, one step at a time, so that no save waits for more than that.
    """

    def __init__(
        self,
        writer: SessionWriter,
        clock: Clock,
        upkeep: Upkeep | None = None,
        upkeep_seconds: float = 25.0,
        meter: CostMeter | None = None,
    ) -> None:
        """`upkeep_seconds`: how long upkeep may hold up the end of a session that has finished."""
        self._writer = writer
        self._clock = clock
        self._upkeep = upkeep or NoUpkeep()
        self._upkeep_seconds = upkeep_seconds
        self._meter = meter or CostMeter()
        self._upkeep_error: BaseException | None = None
        self._is_queued = False
        """Whether a step of upkeep waits for its turn. Only the thread looks."""
        self._closing = False
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
        """The save that finished since the last look, if any. Raises what it, or upkeep, raised."""
        return None if self.is_busy else self.wait()

    def wait(self, timeout: float | None = None) -> Saved | None:
        """Waits for the save in flight and returns it; None if there is none, or if `timeout` seconds pass first."""
        if self._upkeep_error is not None:
            error, self._upkeep_error = self._upkeep_error, None
            raise error
        running = self._running
        if running is None or not _ends(running, timeout):
            return None
        self._running = None
        return running.result()

    def close_session(
        self, outcome: Outcome, reason: str, patience: Patience = lambda: None, *, is_lost: bool = False
    ) -> bool:
        """Commits how this opening ended; False if it is not done when patience is at its end. Raises what it raised.

        A finished session is tidied up first. `is_lost`: see `SessionWriter.close`.
        """
        return _result_in_time(self._submit(lambda: self._close_session(outcome, reason, is_lost)), patience)

    def step_back(self, before: int, patience: Patience = lambda: None) -> bool:
        """See `SessionWriter.step_back`; False if it is not done when patience is at its end. Raises what it raised."""
        return _result_in_time(self._submit(lambda: self._step_back(before)), patience)

    def close(self) -> None:
        """Ends the thread; does not wait for a write that is still going on, and nobody looks at its outcome."""
        self._closing = True
        self._calls.put(None)
        if self._newest is None or self._newest.done():
            self._thread.join(_JOIN_SECONDS)

    def _save(self, stage: Stage) -> Saved:
        began = self._clock.monotonic()
        entry, size = self._writer.commit(stage)
        saved = Saved(entry=entry, seconds=self._clock.monotonic() - began, size_bytes=size)
        self._meter.stored(saved.seconds)
        self._upkeep.committed(entry)
        self._queue_upkeep()
        return saved

    def _step_back(self, before: int) -> None:
        self._writer.step_back(before)
        self._upkeep.went_back()

    def _close_session(self, outcome: Outcome, reason: str, is_lost: bool) -> None:
        if outcome is Outcome.FINISHED:
            began = self._clock.monotonic()
            while self._clock.monotonic() - began < self._upkeep_seconds and self._upkeep.step(finish=True):
                pass
        self._writer.close(outcome, reason, self._meter.cost, is_lost=is_lost)

    def _queue_upkeep(self) -> None:
        if not self._is_queued:
            self._is_queued = True
            self._calls.put(self._take_step)

    def _take_step(self) -> None:
        self._is_queued = False
        if self._closing or self._upkeep_error is not None:
            return
        try:
            if self._upkeep.step():
                self._queue_upkeep()
        except BaseException as error:
            self._upkeep_error = error

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


def _result_in_time(future: Future[None], patience: Patience) -> bool:
    """Whether a call has ended before patience has; raises what it raised."""
    while (left := patience()) is None:
        if _ends(future, _LOOK_SECONDS):
            break
    if left is not None and not _ends(future, left):
        return False
    future.result()
    return True


def _ends(future: Future[T], timeout: float | None) -> bool:
    """Whether a call has ended within `timeout` seconds."""
    # The longest wait the system knows stands for infinity.
    wait_for([future], None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
    return future.done()
