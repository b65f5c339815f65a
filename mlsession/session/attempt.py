"""One attempt to finish a session: open it, drive its task, and say how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from mlsession.clock import Clock
from mlsession.errors import (
    Cancelled,
    DamagedData,
    Interrupted,
    MLSessionError,
    SessionTakenOver,
    StoreError,
    WorkerLost,
)
from mlsession.events import CheckpointSkipped, Event, HeartbeatMissed, StoreRetried
from mlsession.session.cost import CostMeter
from mlsession.session.drive import DriveOptions, Driver
from mlsession.session.log.journal import LogState
from mlsession.session.log.layout import record_of
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, open_session, require_session
from mlsession.session.past import StoredPast
from mlsession.session.phase import Task
from mlsession.session.saver import Saver
from mlsession.session.standing import stand
from mlsession.session.stop import StopFlag, StopKind
from mlsession.session.upkeep.leftovers import tidy_after
from mlsession.session.upkeep.retainer import Retainer
from mlsession.session.watching.beat import NewestReport
from mlsession.session.watching.liveness import BEAT_SECONDS, Heartbeat
from mlsession.session.writer import SessionWriter
from mlsession.store.protocol import Store
from mlsession.store.retrying import Backoff, OnRetry, RetryingStore

T = TypeVar("T")
Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All that an attempt needs of the world."""

    open_store: Callable[[], Store]
    """A new handle on the session's folder; each thread gets its own."""
    clock: Clock
    backoff: Backoff
    emit: Emit
    stop: StopFlag
    beat_seconds: float = BEAT_SECONDS
    """Between two signs of life."""
    caller: str = ""
    """Who this is among all that use the store; see `RetryingStore`."""

    def open_patient_store(self) -> RetryingStore:
        """A handle that tries again what is worth it, says so, and stops waiting when the job is asked to stop."""
        teller = retry_teller(self.emit)
        return RetryingStore(
            self.open_store(), self.clock, self.backoff, teller, self.caller, heed=self.stop.check, admitted=True
        )


def retry_teller(emit: Emit) -> OnRetry:
    """Says each retry as an event."""
    return lambda operation, error, attempt, delay: emit(
        StoreRetried(operation=operation, reason=str(error), attempt=attempt, delay=delay)
    )


def finished_result(task: Task[T], store: Store, state: LogState) -> tuple[T] | None:
    """The result of a session that ended well and has nothing more to do, without writing anything; else None."""
    closed = state.timeline.closed
    if closed is None or closed.body.get("outcome") != Outcome.FINISHED.value:
        return None
    past = StoredPast(store, state.timeline)
    try:
        standing = stand(
            task.phases,
            state.timeline.newest,
            task.inputs,
            lambda entry: task.is_complete(entry.phase, past.state(entry.phase)),
        )
        return (task.result(past),) if standing.phase is None else None
    except DamagedData:
        return None  # Opening the session will say what is damaged, and mend it by going back.


def advance_session(
    task: Task[T], around: Surroundings, opening: OpenOptions, drive: DriveOptions, known: LogState | None = None
) -> T:
    """Takes a session from where it stands to its result, and returns that.

    `known` is what a look at the session showed a moment ago, and saves another one. If it is out of date by now,
    opening the session shows that.

    Raises what `open_session` and `Driver.run` raise. The log then says how the attempt ended, as far as the store
    could be reached.
    """
    store = around.open_patient_store()
    try:
        known = known or require_session(store)
        if (done := finished_result(task, store, known)) is not None:
            return done[0]
        writer, state = open_session(store, around.clock, opening, around.emit, known, around.stop)
        tidy_after(state.timeline, around.open_store)
        for damage in state.damaged:
            number = record_of(damage.key) or 0
            around.emit(CheckpointSkipped(checkpoint=number, key=damage.key, reason=damage.reason))
        reader = around.open_patient_store()
        store.persist()  # The saver's from here on: what it is writing when a stop is asked for has the grace time.
        upkeep = None if drive.retention.keeps_all else Retainer(store, writer, drive.retention, around.emit)
        meter = CostMeter()
        saver = Saver(writer, around.clock, upkeep, drive.grace_seconds, meter)
        report = NewestReport(meter)

        def emit(event: Event) -> None:
            report.hear(event)
            around.emit(event)

        try:
            with _heartbeat(around, writer, report), _closing_session(saver, around, drive.grace_seconds):
                return Driver(task, writer, saver, reader, drive, around.stop, emit, around.clock, meter).run()
        finally:
            saver.close()
            reader.close()
    finally:
        store.close()


@contextmanager
def _heartbeat(around: Surroundings, writer: SessionWriter, report: NewestReport) -> Iterator[None]:
    heartbeat = Heartbeat(
        around.open_store(),
        lambda: writer.opening,
        around.clock,
        on_stop=lambda reason: _ask(around, reason),
        on_missed=lambda reason: around.emit(HeartbeatMissed(reason=reason)),
        beat_seconds=around.beat_seconds,
        report=report,
    )
    try:
        yield
    finally:
        heartbeat.close()


def _ask(around: Surroundings, reason: str) -> None:
    around.stop.ask(StopKind.CANCELLED, reason, around.clock.monotonic())


@contextmanager
def _closing_session(saver: Saver, around: Surroundings, grace_seconds: float) -> Iterator[None]:
    """Commits how the block ended; nothing where the session is not ours any more or the store is gone."""
    try:
        yield
    except SessionTakenOver:
        raise
    except StoreError:
        raise  # Without a `closed` record the session counts as interrupted, which is what it is.
    except BaseException as error:
        began = around.clock.monotonic() if around.stop.request is None else around.stop.request.since
        _close(saver, error, lambda: max(began + grace_seconds - around.clock.monotonic(), 0.0))
        raise
    else:
        # All is committed by now: a stop that comes while the store is away need not wait for more than its grace time.
        if not saver.close_session(Outcome.FINISHED, "", lambda: around.stop.seconds_left(grace_seconds, around.clock)):
            around.stop.check()


def _close(saver: Saver, error: BaseException, seconds_left: Callable[[], float]) -> None:
    """Records the outcome while the grace time lasts; without a record the session counts as interrupted."""
    match error:
        case Cancelled():
            outcome, reason = Outcome.PAUSED, str(error)
        case Interrupted():
            outcome, reason = Outcome.INTERRUPTED, str(error)
        case _:
            outcome, reason = Outcome.FAILED, f"{type(error).__name__}: {error}"
    try:
        saver.wait(seconds_left())
        if not saver.is_busy:
            saver.close_session(outcome, reason, seconds_left, is_lost=isinstance(error, WorkerLost))
    except MLSessionError as second:
        # The error that ends the job matters more, but this one is not lost.
        error.add_note(f"recording the outcome {outcome.value!r} in the session failed, too: {second}")
