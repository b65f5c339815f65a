"""Asking a job to stop: a flag that any thread or signal handler may set, read between two steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlsession.errors import Cancelled, Interrupted, JobStopped


class StopKind(StrEnum):
    CANCELLED = "cancelled"
    """The caller, or another process through the store."""
    INTERRUPTED = "interrupted"
    """A signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    kind: StopKind
    reason: str
    since: float
    """Monotonic seconds."""

    def error(self) -> JobStopped:
        """What a job that stops for this raises."""
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

    def check(self) -> None:
        """Raises `Cancelled` or `Interrupted` if somebody has asked."""
        if self._request is not None:
            raise self._request.error()
