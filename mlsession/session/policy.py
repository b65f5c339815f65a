"""When to save: pure decisions on plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mlsession.errors import InvalidParameter


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryIterations:
    """Save after each step whose number is a multiple of `iterations`: the same checkpoints on every run.

    Where the store is slower than the steps, the phase waits for it.
    """

    iterations: int

    def __post_init__(self) -> None:
        if isinstance(self.iterations, bool) or not isinstance(self.iterations, int) or self.iterations < 1:
            raise InvalidParameter("checkpoint_interval", self.iterations, "must be 1 or more iterations, or 'auto'")


@dataclass(frozen=True, slots=True, kw_only=True)
class EverySeconds:
    """Save when `seconds` have passed since the last save began."""

    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise InvalidParameter("checkpoint_interval", self.seconds, "must be more than 0 seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Automatic:
    """Save as often as costs at most a share `overhead` of the time, and at least each `longest` seconds.

    The rule of CheckFreq (Mohan et al., FAST 2021): measure what a save costs, then space saves so that the cost
    stays below a bound.
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
    save_seconds: float | None
    """What the last save took, copy and background work together; None before the first."""


def is_save_due(policy: SavePolicy, pace: Pace) -> bool:
    """Whether to save after this step."""
    match policy:
        case EveryIterations(iterations=iterations):
            return pace.iteration % iterations == 0
        case EverySeconds(seconds=seconds):
            return pace.seconds >= seconds
        case Automatic():
            return pace.seconds >= automatic_interval(policy, pace.save_seconds)


def waits_for_store(policy: SavePolicy) -> bool:
    """Whether a due save waits for the one in flight; otherwise it is put off to the next step."""
    return isinstance(policy, EveryIterations)


def automatic_interval(policy: Automatic, save_seconds: float | None) -> float:
    """Seconds between saves; before anything was measured, a save is taken to cost 50 ms."""
    wanted = (0.05 if save_seconds is None else save_seconds) / policy.overhead
    return min(max(wanted, policy.shortest), policy.longest)


def is_report_due(report_interval: int, iteration: int) -> bool:
    """Whether to report after this step; depends on the iteration alone, so that restarts do not shift it."""
    return iteration % report_interval == 0
