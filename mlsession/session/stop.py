"""Asking a job to stop: a flag that any thread or signal handler may set, read between two steps.

Another process asks through the store: it writes the key `control/<opening>/stop`, which the heartbeat of that one
opening looks for with each beat. An opening that comes later looks for another key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlsession.clock import Clock
from mlsession.errors import Cancelled, DamagedData, Interrupted, KeyMissing
from mlsession.session.log.canonical import canonical_json, parse_object
from mlsession.session.log.layout import stop_key
from mlsession.store.protocol import Store

HANDED_OVER = "handed over to"
"""How the reason begins with which a training closes a session that its workers are about to open."""
LOST = "lost"
"""The member of a `closed` record that is true where a training ended as one of its processes was gone."""
MOST_REASON = 2_000
"""Characters of a reason that are stored; an error's text may hold whole arrays."""
_MOST_BYTES = 65_536
"""Of a request that are read: more than the longest reason takes."""


class StopKind(StrEnum):
    CANCELLED = "cancelled"
    """The caller, or another process through the store."""
    INTERRUPTED = "interrupted"
    """A signal."""
    FAILED = "failed"
    """Something that accompanies the job, such as a callback, has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    kind: StopKind
    reason: str
    since: float
    """Monotonic seconds."""
    cause: BaseException | None = None
    """What has failed."""

    def error(self) -> BaseException:
        """What a job that stops for this raises."""
        if self.cause is not None:
            return self.cause
        return Interrupted(self.reason) if self.kind is StopKind.INTERRUPTED else Cancelled(self.reason)


class StopFlag:
    """Set at most once; setting it is one assignment, so that a signal handler may do it."""

    def __init__(self) -> None:
        self._request: StopRequest | None = None

    @property
    def request(self) -> StopRequest | None:
        return self._request

    def ask(self, kind: StopKind, reason: str, since: float) -> bool:
        """Asks to stop; False if somebody already had."""
        if self._request is not None:
            return False
        self._request = StopRequest(kind=kind, reason=reason, since=since)
        return True

    def fail(self, cause: BaseException, since: float) -> bool:
        """Asks to save and stop, and to raise `cause` then; False if somebody had asked already."""
        if self._request is not None:
            return False
        reason = f"{type(cause).__name__}: {cause}"
        self._request = StopRequest(kind=StopKind.FAILED, reason=reason, since=since, cause=cause)
        return True

    def seconds_left(self, grace_seconds: float, clock: Clock) -> float | None:
        """What is left of the grace time; None while nobody has asked."""
        request = self._request
        return None if request is None else max(request.since + grace_seconds - clock.monotonic(), 0.0)

    def check(self) -> None:
        """Raises `Cancelled`, `Interrupted` or what has failed, if somebody has asked."""
        if self._request is not None:
            raise self._request.error()


def request_stop(store: Store, opening: int, reason: str) -> None:
    """Asks the process that holds an opening to save and stop; of a long reason the beginning."""
    readable = reason.encode(errors="backslashreplace").decode()
    store.put(stop_key(opening), canonical_json({"reason": readable[:MOST_REASON]}))


def stop_requested(store: Store, opening: int) -> str | None:
    """The reason for which an opening was asked to stop, "" where none was given; None if nobody asked."""
    key = stop_key(opening)
    try:
        data = store.get_range(key, 0, _MOST_BYTES)
    except KeyMissing:
        return None
    try:
        reason = parse_object(data, key).get("reason")
    except DamagedData:
        return ""  # Any byte asks.
    return reason[:MOST_REASON] if isinstance(reason, str) else ""
