"""When to save: pure decisions on plain numbers.

A save holds the state of the moment at which it begins, and counts from when it is durable. So a kill costs the work
since the newest durable save *began*:

    in seconds   a save is begun early, by what the one before it took: it is durable one interval after that one began
    in steps     a save is begun at fixed steps: one interval may be in flight while the next one is worked on

While a store does not answer, saves take longer than anyone could foresee, and that much more is at risk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mlsession.errors import InvalidParameter


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryIterations:
    """Save after each step whose number is a multiple of `iterations`: the same checkpoints on every run.

    The phase goes on while a save is written, and waits at the next multiple if the store is slower than the steps. So
    a kill costs the steps since the newest commit: fewer than `iterations` and those done while the save in flight was
    written, never more than twice `iterations`.
    """

    iterations: int

    def __post_init__(self) -> None:
        if isinstance(self.iterations, bool) or not isinstance(self.iterations, int) or self.iterations < 1:
            raise InvalidParameter("checkpoint_interval", self.iterations, "must be 1 or more iterations, or 'auto'")


@dataclass(frozen=True, slots=True, kw_only=True)
class EverySeconds:
    """Save so that a kill costs at most the work of `seconds`, and no more often than that needs.

    A save is begun as much early as the last one took; the first, which nobody has measured, at half the time. Where
    two saves and a step take longer than `seconds`, the bound is what they take: saves never overlap, and one is begun
    at most twice in `seconds`.
    """

    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise InvalidParameter("checkpoint_interval", self.seconds, "must be more than 0 seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Automatic:
    """Save as often as costs at most a share `overhead` of the time; a kill costs at most `longest` seconds of work.

    The rule of CheckFreq (Mohan et al., FAST 2021): measure what a save costs, then space saves so that the cost
    stays below a bound. `longest` is kept to as by `EverySeconds`, also where that costs more; `shortest` is the least
    from one begin to the next otherwise.

    A phase waits for its last save: so shortly before its end there is one more, and little is left for the last.
    """

    overhead: float = 0.01
    shortest: float = 2.0
    longest: float = 60.0

    def __post_init__(self) -> None:
        if not self.overhead > 0:
            raise InvalidParameter("overhead", self.overhead, "must be above 0, a share of the time such as 0.01")
        if not 0 <= self.shortest <= self.longest:
            raise InvalidParameter("shortest", self.shortest, f"must be 0 to longest={self.longest} seconds")


SavePolicy: TypeAlias = EveryIterations | EverySeconds | Automatic


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Where a phase stands between two saves."""

    iteration: int
    """The step just done, counted over all attempts."""
    seconds: float
    """Seconds since the last save began."""
    step_seconds: float
    """The longest step since then, in seconds: how long the next one may take."""
    save_seconds: float | None
    """What the last save took, copy and background work together; None before the first."""
    growth: float = 1.0
    """How many times as much is to be written now as the last save wrote; less than 1 counts as 1."""
    remaining: float | None = None
    """Seconds until the phase ends, at its pace so far; None where nobody knows."""


def is_save_due(policy: SavePolicy, pace: Pace) -> bool:
    """Whether to save after this step."""
    match policy:
        case EveryIterations(iterations=iterations):
            return pace.iteration % iterations == 0
        case EverySeconds(seconds=seconds):
            return is_last_chance(seconds, pace)
        case Automatic():
            is_paid_for = pace.seconds >= automatic_interval(policy, pace.save_seconds)
            return is_paid_for or is_last_chance(policy.longest, pace) or is_last_but_one(pace)


def is_last_chance(interval: float, pace: Pace) -> bool:
    """Whether a save begun a step later would be durable only more than `interval` seconds after the last one began.

    A save is expected to take what the last one took, but at most half of `interval`: of longer ones two cannot fit
    into it whatever is done, and more of them would only keep the store busy.
    """
    half = interval / 2
    expected = half if pace.save_seconds is None else min(pace.save_seconds, half)
    return pace.seconds + pace.step_seconds + expected > interval


def is_last_but_one(pace: Pace) -> bool:
    """Whether a save begun now is durable just before the phase ends, and worth it: else the phase waits that long.

    What it takes is taken to grow with what it writes, which is more than it does. One after another is worth it as
    long as each has less to write.
    """
    if pace.save_seconds is None or pace.remaining is None:
        return False
    expected = pace.save_seconds * max(pace.growth, 1.0)
    return pace.step_seconds < pace.remaining <= expected and pace.seconds >= expected


def waits_for_store(policy: SavePolicy) -> bool:
    """Whether a due save waits for the one in flight; otherwise it is put off to the next step."""
    return isinstance(policy, EveryIterations)


def automatic_interval(policy: Automatic, save_seconds: float | None) -> float:
    """Seconds from one save to the next that pay for it; before anything was measured, it is taken to cost 50 ms."""
    wanted = (0.05 if save_seconds is None else save_seconds) / policy.overhead
    return min(max(wanted, policy.shortest), policy.longest)


def is_report_due(report_interval: int, iteration: int) -> bool:
    """Whether to report after this step; depends on the iteration alone, so that restarts do not shift it."""
    return iteration % report_interval == 0
