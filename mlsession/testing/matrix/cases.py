"""Every way to disturb a run: which call, by what, and what comes after; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlsession.randomness import keyed_generator
from mlsession.testing.faults import CRASHES, Call, Fault, FaultPlan, Operation, can_befall, each

_SOON = 12
"""A process that met a fault which it survives dies within so many calls after it."""
_LATER = 24
"""And the process after it dies within so many of its own."""
_AT_LEAST = 4
"""Calls that even a process makes that finds all done."""
_BYTES_WRITTEN = frozenset({Operation.PUT, Operation.CREATE})
_DAMAGES = frozenset({Fault.FLIPPED_BIT, Fault.TRUNCATED, Fault.SWAPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run of a scenario: what goes wrong with call `number`, and at which calls the processes die."""

    scenario: str
    number: int
    """The call of the first process, from 1."""
    fault: Fault
    operation: Operation
    """What that call is when nothing is disturbed."""
    seed: int = 0
    """Draws the later deaths."""

    def plans(self) -> tuple[FaultPlan, FaultPlan, FaultPlan]:
        """Of the first process, the next one, and any that are killed since the run was over before the second death.

        Each draw is a function of the whole case.
        """
        random = keyed_generator(self.seed, self.scenario, self.number, self.fault.value)
        deaths = tuple(sorted(CRASHES))
        kinds = [deaths[int(random.integers(len(deaths)))] for _ in range(3)]
        first = {self.number: self.fault}
        soon, later, last = (int(random.integers(1, most + 1)) for most in (_SOON, _LATER, _AT_LEAST))
        if self.fault not in CRASHES:
            first[self.number + soon] = kinds[0]
        return each(first), each({later: kinds[1]}), each({last: kinds[2]})

    def __str__(self) -> str:
        return f"{self.scenario}: {self.fault} at call {self.number} ({self.operation}), seed {self.seed}"


def cases_of(scenario: str, calls: Iterable[Call], faults: Iterable[Fault], seed: int) -> tuple[Case, ...]:
    """One case for each call of an undisturbed run and each of the faults that can befall it.

    Bytes are damaged where they are read: what lies in the store stays whole. A crash halfway is tried where bytes are
    written; elsewhere there is no half.
    """
    chosen = sorted(set(faults))
    return tuple(
        Case(scenario=scenario, number=call.number, fault=fault, operation=call.operation, seed=seed)
        for call in calls
        for fault in chosen
        if can_befall(fault, call.operation)
        and not (fault in _DAMAGES and call.operation in _BYTES_WRITTEN)
        and not (fault is Fault.CRASH_HALFWAY and call.operation not in _BYTES_WRITTEN)
    )


def sampled(cases: Sequence[Case], count: int, seed: int) -> tuple[Case, ...]:
    """`count` of the cases, in their order; all if there are fewer."""
    chosen = keyed_generator(seed, "sample").permutation(len(cases))[:count]
    return tuple(cases[int(place)] for place in sorted(chosen))
