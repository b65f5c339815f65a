"""When to kill: drawn over phases and store calls of a run, so that kills do not mostly hit imports. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.storm.child import ENDING, OPENING
from benchmarks.storm.watch import STARTING, Census


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment in a process's life; of a run that ends before it, there is none."""

    call: int | None = None
    """A store call, 0 for the beginning of the phase; None: `seconds` count from the start of the process."""
    phases: tuple[str, ...] = ()
    """Phases of which the first to begin is where calls count from; none: the start of the process."""
    seconds: float = 0.0
    """How long after that."""

    @property
    def fuse(self) -> str:
        """For `child.Fuse`; "" for a kill that comes from outside."""
        if self.call is None:
            return ""
        return json.dumps({"phases": self.phases, "call": self.call, "seconds": self.seconds})


def draw(random: np.random.Generator, census: Census, done: Mapping[str, float]) -> Moment | None:
    """The moment of one kill in a session of whose phases these shares are committed (absent: none).

    Of 100 draws 40 choose any store call of a whole run; 25 a phase, each as likely, and in it any of the calls that
    are left; 12 the opening and 8 the ending, likewise; 8 any instant after the start-up, and 7 one of it. Where
    a phase is chosen that is over, nobody is killed (None): a session must not be hit at its end again and again.
    """
    choice, share = random.random(2)
    if choice < 0.25:
        phase = census.phases[int(share * len(census.phases))]
        left = math.ceil(census.calls.get(phase, 0) * (1.0 - done.get(phase, 0.0)))
        return None if done.get(phase, 0.0) >= 1.0 else _within(random, census, phase, left)
    if choice < 0.65:
        spacing = census.total_seconds / census.total_calls
        call = int(random.integers(1, census.total_calls, endpoint=True))
        return Moment(call=call, seconds=_delay(random, census, spacing))
    if choice < 0.77:
        return _within(random, census, OPENING, census.calls[OPENING])
    if choice < 0.85:
        return _within(random, census, ENDING, census.calls.get(ENDING, 0))
    starting = census.seconds[STARTING]
    if choice < 0.93:
        return Moment(seconds=float(starting + share * (census.total_seconds - starting)))
    return Moment(seconds=float(share * starting))


def _within(random: np.random.Generator, census: Census, phase: str, calls: int) -> Moment:
    """One of the first calls of a phase, or its beginning; where it is over by then, of what comes after it."""
    order = (OPENING, *census.phases, ENDING)
    call = int(random.integers(0, calls, endpoint=True))
    seconds = _delay(random, census, census.spacing(phase))
    return Moment(phases=order[order.index(phase) :], call=call, seconds=seconds)


def _delay(random: np.random.Generator, census: Census, spacing: float) -> float:
    """Two in three in the midst of the call, one in three anywhere until the next one."""
    return float(random.uniform(0, census.call_seconds if random.random() < 2 / 3 else spacing))
