"""Signals on request: the first asks a job to stop at the next safe point, a second Ctrl-C has its usual effect."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from mlsession.job.job import Job

T = TypeVar("T")
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
"""Those of SIGTERM, SIGINT, SIGUSR1 and SIGHUP that this system has: asked to go, Ctrl-C, a batch system's warning, and
a terminal that was closed."""


def heeded_signals() -> tuple[signal.Signals, ...]:
    """Those of `SIGNALS` to take notice of: not a SIGHUP that whoever started us turned off, as `nohup` does.

    A SIGINT that is off counts all the same. Shells turn it off for all that a script runs in the background, and
    there it is what the script sends to have the work saved.
    """
    return tuple(number for number in SIGNALS if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN)


@contextmanager
def stop_on_signals(job: Job[T]) -> Iterator[None]:
    """While the block runs, the first signal interrupts `job`. Only in the main thread, as Python demands.

    After that a SIGINT has the effect that it had before the block, so that a second Ctrl-C need not wait for the save;
    of the others nothing more is heard: `timeout`, batch systems and closing terminals send them twice.
    """
    # A handler that C code installed shows as None, and only the usual effect can be put back for it.
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in heeded_signals()}

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        job.interrupt(f"signal {signal.Signals(number).name}")

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
