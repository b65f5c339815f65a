"""One simulated process: it counts the calls of all its handles, and dies for all of them at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import TypeVar

from mlsession.clock import Clock, SystemClock
from mlsession.errors import InvalidParameter
from mlsession.randomness import keyed_generator
from mlsession.store.protocol import Entry
from mlsession.testing.faults.plans import FaultPlan, no_faults
from mlsession.testing.faults.values import Call, Fault, Operation, can_befall

T = TypeVar("T")


class ProcessDied(BaseException):
    """The simulated process is gone. Not an `Exception`: nothing may catch it and go on, or tidy up."""


def kill_this_process() -> None:
    """An `on_crash` for real child processes: SIGKILL (TerminateProcess on Windows), at this very instruction."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def _only_raise() -> None:
    return


class Process:
    """What the handles of one process share; may be used by any number of threads.

    The store is asked one call at a time, so the order of the numbers is the order of the effects. After the death
    every numbered call of every handle raises `ProcessDied` and does nothing.
    """

    def __init__(
        self,
        plan: FaultPlan = no_faults,
        *,
        clock: Clock | None = None,
        on_crash: Callable[[], None] = _only_raise,
        seed: int = 0,
        delay_seconds: float = 1.0,
        stale_keys: int = 2,
    ) -> None:
        """`clock`: what `Fault.DELAY` sleeps on, for `delay_seconds`; default: the system's.

        `on_crash` is called at the death; if it returns, `ProcessDied` is raised. `seed` chooses the flipped bits.
        `stale_keys`: how many keys a listing that lags behind leaves out. Raises `InvalidParameter` for less than 0.
        """
        for name, value in (("delay_seconds", delay_seconds), ("stale_keys", stale_keys)):
            if value < 0:
                raise InvalidParameter(name, value, "must be 0 or more")
        self._plan = plan
        self._clock = clock or SystemClock()
        self._on_crash = on_crash
        self._seed = seed
        self._delay_seconds = delay_seconds
        self._stale_keys = stale_keys
        self._lock = threading.RLock()
        self._calls: list[Call] = []
        self._met: list[tuple[Call, Fault]] = []
        self._listed: dict[str, Entry] = {}
        self._is_dead = False

    @property
    def calls(self) -> tuple[Call, ...]:
        """The numbered calls so far, in order."""
        with self._lock:
            return tuple(self._calls)

    @property
    def met(self) -> tuple[tuple[Call, Fault], ...]:
        """The calls that went wrong, each with its fault; a planned fault that cannot befall its call is none."""
        with self._lock:
            return tuple(self._met)

    @property
    def is_dead(self) -> bool:
        return self._is_dead

    def die(self) -> ProcessDied:
        """Ends the process, now; returns what to raise."""
        with self._lock:
            self._is_dead = True
            self._on_crash()
        return ProcessDied("this process died on purpose")

    def run(self, operation: Operation, key: str, act: Callable[[Call, Fault | None], T]) -> T:
        """Numbers a call, and has `act` carry it out with what the plan holds for it; `DELAY` is over by then."""
        with self._lock:
            self._check_alive()
            call = Call(number=len(self._calls) + 1, operation=operation, key=key)
            self._calls.append(call)
            fault = self._plan(call)
            if fault is not None and not can_befall(fault, operation):
                fault = None
            if fault is not None:
                self._met.append((call, fault))
            if fault is not Fault.DELAY:
                return act(call, fault)
        self._clock.sleep(self._delay_seconds)
        with self._lock:
            self._check_alive()
            return act(call, None)

    def run_unnumbered(self, act: Callable[[], T], when_dead: Callable[[], T]) -> T:
        """Carries out what no plan concerns; of a dead process `when_dead`."""
        with self._lock:
            return when_dead() if self._is_dead else act()

    def flipped(self, call: Call, data: bytes) -> bytes:
        """`data` with one bit changed, by (seed, number of the call)."""
        if not data:
            return data
        place = int(keyed_generator(self._seed, "bit", call.number).integers(len(data) * 8))
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        return bytes(damaged)

    def listed(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """A listing as it is; remembered for when a later one lags behind."""
        self._listed.update((entry.key, entry) for entry in entries)
        return entries

    def lagging(self, entries: tuple[Entry, ...], below: str) -> tuple[Entry, ...]:
        """A listing that does not know yet what happened of late; `below` is what its keys begin with."""
        new = sorted(entry.key for entry in entries if entry.key not in self._listed)
        unseen = set(new[max(len(new) - self._stale_keys, 0) :])
        there = {entry.key for entry in entries}
        gone = [entry for key, entry in self._listed.items() if key not in there and key.startswith(below)]
        return (*(entry for entry in entries if entry.key not in unseen), *gone)

    def _check_alive(self) -> None:
        if self._is_dead:
            raise ProcessDied("this process is dead")
