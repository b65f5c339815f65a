"""Signals in a command whose work can be resumed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from mlsession.cli.outcome import RESUMABLE
from mlsession.errors import Interrupted
from mlsession.job.signals import heeded_signals


class _Signalled(BaseException):
    """Ends what the main thread does: no `Exception`, which libraries catch, and take for a failure of their own."""


@contextmanager
def interrupted_by_signals() -> Iterator[Callable[[], None]]:
    """While the block runs, a signal ends it at once, in the main thread: it raises `Interrupted`.

    Inside, `stop_on_signals` takes the first signal while a job runs, so that this one is for the time before the job
    (imports, listing), after it (exports), and for a second Ctrl-C. What is given to the block raises `Interrupted` if
    a library swallowed the end: to be called before something is begun that would better not be.

    From the first signal on the process is about to end, and the others are not heard any more, also after the block:
    whoever sends one twice, as `timeout` does, shall see the exit code and not a process that the second one killed.
    Only one more Ctrl-C ends it on the spot, with that exit code.
    """
    numbers = heeded_signals()
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in numbers}
    received: list[str] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(signal.Signals(number).name)
            raise _Signalled
        if number == signal.SIGINT:
            os._exit(RESUMABLE)

    def check() -> None:
        if received:
            raise Interrupted(f"signal {received[0]}")

    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield check
    except BaseException as error:
        if received:  # Also where a library made another error of it.
            raise Interrupted(f"signal {received[0]}") from error
        raise
    finally:
        if not received:
            for number, handler in before.items():
                signal.signal(number, handler)
