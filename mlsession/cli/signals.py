"""Signals in a command whose work can be resumed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlsession.errors import Interrupted
from mlsession.job.signals import SIGNALS


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """While the block runs, a signal raises `Interrupted` at once, in the main thread.

    Inside, `stop_on_signals` takes the first signal while a job runs, so that this one is for the time before the job
    (imports, listing), after it (exports), and for a second signal.
    """
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(f"signal {signal.Signals(number).name}")

    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
