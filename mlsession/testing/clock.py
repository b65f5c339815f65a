"""Time that passes only when somebody says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A `Clock` that `sleep` and `advance` move, in no real time; may be shared by threads.

    `on_sleep`, if given, is called after each sleep with the seconds slept: a place for what happens meanwhile.
    """

    def __init__(self, start: datetime = START, on_sleep: Callable[[float], None] | None = None) -> None:
        self._start = start
        self._on_sleep = on_sleep
        self._seconds = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        with self._lock:
            return self._seconds

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        if self._on_sleep is not None:
            self._on_sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Lets time pass. Raises `ValueError` for less than 0 seconds: monotonic time never steps back."""
        if seconds < 0:
            raise ValueError(f"seconds={seconds}: must be 0 or more")
        with self._lock:
            self._seconds += seconds
