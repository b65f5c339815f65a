"""Which call meets which fault; pure, but for the clock that `between` is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import TypeAlias

from mlsession.clock import Clock
from mlsession.errors import InvalidParameter
from mlsession.randomness import keyed_generator
from mlsession.testing.faults.values import Call, Fault, Operation, can_befall

FaultPlan: TypeAlias = Callable[[Call], Fault | None]
"""What goes wrong with a call; None: nothing."""


def no_faults(call: Call) -> Fault | None:
    """The plan of a good day."""
    return None


def at(number: int, fault: Fault) -> FaultPlan:
    """One fault, at call `number` (from 1)."""
    return each({number: fault})


def each(faults: Mapping[int, Fault]) -> FaultPlan:
    """Faults by the number of the call. Raises `InvalidParameter` for a number below 1: it would never be reached."""
    for number in faults:
        if number < 1:
            raise InvalidParameter("number", number, "calls are counted from 1")
    planned = MappingProxyType(dict(faults))
    return lambda call: planned.get(call.number)


def seeded(seed: int, rates: Mapping[Fault, float]) -> FaultPlan:
    """Faults at random: each call meets each fault that can befall it with the probability that `rates` gives.

    A pure function of (seed, number, operation). Raises `InvalidParameter` for rates below 0 or above 1 in all.
    """
    for fault, rate in rates.items():
        if not 0.0 <= rate <= 1.0:
            raise InvalidParameter("rates", rate, f"the rate of {fault} must be from 0 to 1")
    if sum(rates.values()) > 1.0:
        raise InvalidParameter("rates", sum(rates.values()), "a call meets one fault at most: the sum may be up to 1")
    planned = tuple((fault, rates[fault]) for fault in Fault if fault in rates)

    def plan(call: Call) -> Fault | None:
        left = float(keyed_generator(seed, "fault", call.number, call.operation.value).random())
        for fault, rate in planned:
            if can_befall(fault, call.operation):
                if left < rate:
                    return fault
                left -= rate
        return None

    return plan


def between(clock: Clock, start: float, stop: float, fault: Fault) -> FaultPlan:
    """A fault at every call from `start` until before `stop`, in seconds of `clock.monotonic()`: an outage."""
    return lambda call: fault if start <= clock.monotonic() < stop else None


def only(plan: FaultPlan, operations: Collection[Operation] = tuple(Operation), folder: str = "") -> FaultPlan:
    """A plan for calls of these kinds, on keys below `folder` ("" = all), alone."""
    below = f"{folder.rstrip('/')}/" if folder else ""
    return lambda call: plan(call) if call.operation in operations and f"{call.key}/".startswith(below) else None


def first_of(*plans: FaultPlan) -> FaultPlan:
    """Of several plans the first that has something for a call."""
    return lambda call: next((fault for plan in plans if (fault := plan(call)) is not None), None)
