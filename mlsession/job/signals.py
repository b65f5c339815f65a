"""Signals on request: the first asks a job to stop at the next safe point, the second has its usual effect."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from mlsession.job.job import Job

T = TypeVar("T")
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name))
"""Those of SIGTERM, SIGINT and SIGUSR1 that this system has."""


@contextmanager
def stop_on_signals(job: Job[T]) -> Iterator[None]:
    """While the block runs, the first signal interrupts `job`. Only in the main thread, as Python demands."""
    # A handler that C code installed shows as None, and only the usual effect can be put back for it.
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def interrupt(number: int, frame: FrameType | None) -> None:
        restore()
        job.interrupt(f"signal {signal.Signals(number).name}")

    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        restore()
