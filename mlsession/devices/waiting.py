"""Waiting in C++, where Python hears no signal: one thread waits, and the one that asked looks about meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from mlsession.errors import WorkerLost

T = TypeVar("T")
_LOOK_SECONDS = 0.2


class Waiter:
    """A thread for calls that wait for other processes, one after the other.

    It is a daemon, not an executor's, which the interpreter would wait for: a call whose end nobody awaits any more may
    never come to one.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        Thread(target=self._work, name="mlsession-world", daemon=True).start()

    def wait(self, call: Callable[[], T], look: Callable[[], None], patience: timedelta = timedelta.max) -> T:
        """What `call` gives or raises. Until then `look` is called again and again, and what it raises ends the wait.

        Raises `WorkerLost` once `patience` is over.
        """
        future: Future[T] = Future()
        until = time.monotonic() + patience.total_seconds()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(run)
        while True:
            try:
                return future.result(_LOOK_SECONDS)
            except TimeoutError:
                if future.done():
                    return future.result()
            look()
            if time.monotonic() > until:
                raise WorkerLost(
                    f"another process has not come within {patience.total_seconds():,.0f} s; it may be gone"
                )

    def _work(self) -> None:
        while True:
            self._calls.get()()
