"""The work of a job that follows a session which another process trains, through the store alone.

Each turn reads the heartbeat and looks whether the next record is there: two small requests, however long the session
is. New records and beats become the events that the job itself would have emitted (see `session.watching.following`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mlsession.errors import (
    Cancelled,
    Interrupted,
    InvalidParameter,
    SessionFailed,
    SessionTakenOver,
    StoreError,
    StoreUnavailable,
)
from mlsession.events import StopRequested, StoreRetried, WaitingForWriter, WriterLost
from mlsession.job.context import JobContext
from mlsession.session.log.records import Outcome
from mlsession.session.stop import StopKind, request_stop
from mlsession.session.watching.following import Pulse, pulse_after, stopped
from mlsession.session.watching.liveness import is_known_dead, read_beat, start_time_of, this_process
from mlsession.session.watching.status import heartbeat_age
from mlsession.session.watching.tail import SessionTail
from mlsession.store import open_store
from mlsession.store.protocol import Store
from mlsession.store.retrying import Backoff, RetryingStore

T = TypeVar("T")
_NAP_SECONDS = 0.2
"""Between two looks whether this job was asked to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOptions:
    """How to follow."""

    poll_seconds: float = 2.0
    """Between two looks at the store."""
    stale_after: float = 20.0
    """Seconds without a sign of life, on the follower's own clock, after which the writer counts as gone."""
    wait: bool = False
    """Go on following a session that nobody trains at the moment, until it is finished."""
    store_patience: float = 900.0
    """Seconds for which an unreachable store is tried again."""

    def __post_init__(self) -> None:
        if not self.poll_seconds > 0:
            raise InvalidParameter("poll_seconds", self.poll_seconds, "must be more than 0 seconds")
        for name in ("stale_after", "store_patience"):
            if not getattr(self, name) >= 0:
                raise InvalidParameter(name, getattr(self, name), "must be 0 or more seconds")


def following(
    url: str | Path, storage_options: Mapping[str, object], options: FollowOptions, result: Callable[[], T]
) -> Callable[[JobContext], T]:
    """The work of a job that follows the session at `url`; `result` is asked once the session is finished.

    Asked to cancel, it passes that on to whoever trains the session, and goes on until that one has stopped;
    interrupted, it only stops following. It raises `SessionNotFound`, `ForeignFiles`, `NewerFormat`, `DamagedData`,
    `StoreError`; `Cancelled`, `Interrupted` and `SessionFailed` for a session that ended so, `Interrupted` also where
    its process is gone; `SessionTakenOver` where another process opened it before the one that was asked to stop had
    said how it ended.
    """

    def work(context: JobContext) -> T:
        store = open_store(url, storage_options)
        try:
            follow_session(store, context, options)
        finally:
            store.close()
        return result()

    return work


def follow_session(store: Store, context: JobContext, options: FollowOptions) -> None:
    """Follows the session under the store's root until it is finished; see `following`."""
    _Follower(store, context, options).run()


class _Follower:
    """Follows one session in the calling thread."""

    def __init__(self, store: Store, context: JobContext, options: FollowOptions) -> None:
        self._emit = context.emit
        self._stop = context.stop
        self._clock = context.clock
        self._options = options
        self._us = this_process()
        self._num_retries = 0
        self._pulse: Pulse | None = None
        self._lost = False
        self._asked: tuple[str, int] | None = None
        """Writer and opening that were asked to stop."""
        self._left = 0
        """The opening for whose successor word was left."""
        backoff = Backoff(longest=10.0, give_up_after=options.store_patience)
        self._store = RetryingStore(
            store, context.clock, backoff, self._on_retry, self._us.name, heed=self._heed_interruption
        )
        self._tail = SessionTail(self._store, context.emit)

    def run(self) -> None:
        """Returns once the session is finished; raises how it ended otherwise."""
        self._say_if_old()
        while True:
            try:
                if self._turn():
                    return
            except (Cancelled, Interrupted, SessionFailed):
                if not self._leave_word():
                    raise
                continue  # Somebody may have opened the session in that moment, and knows nothing of it.
            self._pause()

    def _turn(self) -> bool:
        """Looks once; True if the session is finished."""
        self._heed_interruption()
        self._look()
        known, asked = self._tail.known, self._stop.request
        if known.outcome is Outcome.FINISHED:
            return True
        error = stopped(known)
        if error is not None and (asked is not None or not self._options.wait):
            raise error
        if error is None and not self._lost:
            self._check_alive()
        if asked is not None and asked.kind is StopKind.CANCELLED:
            self._pass_on(asked.reason)
        return False

    def _look(self) -> None:
        """Reads what is new: the heartbeat first, so that all that was committed before it is known."""
        before, opening = self._num_retries, self._tail.known.opening
        beat = read_beat(self._store, opening) if self._tail.known.is_open else b""
        if not beat and (self._lost or not self._tail.known.is_open):
            self._tail.check_it_exists()
        if self._tail.read_records():
            self._lost = False
        known, earlier = self._tail.known, self._pulse
        now, was_blind = self._clock.monotonic(), self._num_retries != before
        self._pulse = pulse_after(earlier, known.opening, beat, now, was_blind)
        if self._pulse is not earlier and known.opening == opening:
            self._tail.hear(beat)
            if earlier is not None and earlier.data != beat:
                self._lost = False  # It was only still for long, as behind an outage of its own.

    def _check_alive(self) -> None:
        """Says so if the writer is gone, and raises `Interrupted` unless another one may be waited for."""
        what = self._sign_of_death()
        if what is None:
            return
        if self._tail.has_moved():
            self._pulse = None  # The last look lay before what it did last.
            return
        process, self._lost = self._tail.known.process, True
        if self._tail.known.opening:
            self._emit(WriterLost(host=process.host, pid=process.pid, reason=what))
        if not self._options.wait:
            raise Interrupted(f"{what}; what is committed is kept, and the session can be resumed")

    def _sign_of_death(self) -> str | None:
        process, pulse, patience = self._tail.known.process, self._pulse, self._options.stale_after
        who = f"process {process.pid} on {process.host}"
        if self._tail.known.opening and is_known_dead(process, self._us, start_time_of):
            return f"{who}, which trained the session, is gone"
        if pulse is None or self._clock.monotonic() - pulse.since < patience:
            return None
        return (
            f"{who} has shown no sign of life for {patience:.0f} s" if pulse.opening else "nobody trains this session"
        )

    def _heed_interruption(self) -> None:
        request = self._stop.request
        if request is not None and request.kind is not StopKind.CANCELLED:
            raise request.error()

    def _pass_on(self, reason: str) -> None:
        """Asks whoever trains the session to stop."""
        known = self._tail.known
        if not known.is_open or self._lost:
            raise Cancelled(f"{reason}; nobody trains the session at the moment")
        if self._asked == (known.writer, known.opening):
            return
        if self._asked is not None and self._asked[0] != known.writer:
            raise SessionTakenOver(
                f"process {known.process.pid} on {known.process.host} has opened the session after the one that was "
                "asked to stop; ask again to stop that one, too"
            )
        request_stop(self._store, known.opening, reason)
        self._asked = (known.writer, known.opening)
        self._emit(StopRequested(opening=known.opening, reason=reason))

    def _leave_word(self) -> bool:
        """Has workers that a launcher is just starting again stop as well; False where that is not asked, or done.

        They look what the opening before theirs was asked.
        """
        asked, known = self._stop.request, self._tail.known
        if asked is None or asked.kind is not StopKind.CANCELLED or not known.may_go_on:
            return False
        if self._left == known.opening or self._asked == (known.writer, known.opening):
            return False
        self._left = known.opening
        with suppress(StoreError):  # Who may only read a session cannot stop it.
            request_stop(self._store, known.opening, asked.reason)
        return True

    def _pause(self) -> None:
        """Waits until the next turn, or until this job is asked to stop."""
        begun_with, until = self._stop.request, self._clock.monotonic() + self._options.poll_seconds
        while self._stop.request is begun_with and (left := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, _NAP_SECONDS))

    def _on_retry(self, operation: str, error: StoreUnavailable, attempt: int, delay: float) -> None:
        self._num_retries += 1
        self._emit(StoreRetried(operation=operation, reason=str(error), attempt=attempt, delay=delay))

    def _say_if_old(self) -> None:
        """A heartbeat that looks old by the wall clocks is watched for a while, and a person should know why."""
        known = self._tail.known
        if not known.is_open or is_known_dead(known.process, self._us, start_time_of):
            return
        age = heartbeat_age(self._store, known.opening, self._clock.now())
        if age is not None and age >= self._options.stale_after:
            process = known.process
            self._emit(WaitingForWriter(host=process.host, pid=process.pid, seconds=self._options.stale_after))
