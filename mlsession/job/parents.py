"""Worker processes end with those that started them: their launcher, and the training that started that.

A training that is killed can be started again at once: nobody is left who holds its session.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NamedTuple, Self

from mlsession.devices.placement import ELASTIC
from mlsession.session.watching.liveness import start_time_of

_LOOK_SECONDS = 0.5


class Ancestor(NamedTuple):
    """A process, told apart from a later one with its number."""

    pid: int
    start: str | None
    """As `start_time_of` gives it; None where nobody can tell."""

    @classmethod
    def of(cls, pid: int) -> Self:
        """One that runs."""
        return cls(pid, start_time_of(pid) or None)

    @property
    def is_gone(self) -> bool:
        """Whether it certainly does not run any more."""
        found = start_time_of(self.pid)
        return found is not None and found != self.start


def end_with_launcher() -> None:
    """Where an elastic launcher has started this process it ends from now on at once, as if killed, when that does.

    To be called first of all: a parent that has gone before is not known any more.
    """
    if ELASTIC in os.environ:
        parent = os.getppid()
        _end_once(lambda: os.getppid() != parent)


def end_with(ancestors: tuple[Ancestor, ...]) -> None:
    """This process ends so when any of `ancestors` does, or already has."""
    _end_once(lambda: any(each.is_gone for each in ancestors))


def _end_once(is_alone: Callable[[], bool]) -> None:
    """Nothing needs to be saved: nobody waits for it any more."""

    def look() -> None:
        pause = threading.Event()
        while not is_alone():
            pause.wait(_LOOK_SECONDS)
        # To a launcher that is still there this is no failure: it would start the workers again.
        os._exit(0)

    threading.Thread(target=look, name="parents", daemon=True).start()
