"""Which call meets which fault."""

from __future__ import annotations

from collections import Counter

import pytest

from mlsession.errors import InvalidParameter
from mlsession.testing.clock import FakeClock
from mlsession.testing.faults import Call, Fault, Operation, at, between, each, first_of, no_faults, only, seeded


def call(number: int, operation: Operation = Operation.PUT, key: str = "log/1") -> Call:
    return Call(number=number, operation=operation, key=key)


def test_by_number() -> None:
    plan = each({2: Fault.DENIED, 4: Fault.DELAY})
    assert [plan(call(number)) for number in range(1, 6)] == [None, Fault.DENIED, None, Fault.DELAY, None]
    assert at(3, Fault.EXPIRED)(call(3)) is Fault.EXPIRED
    assert at(3, Fault.EXPIRED)(call(2)) is None
    assert no_faults(call(1)) is None
    with pytest.raises(InvalidParameter, match="number=0"):
        at(0, Fault.DENIED)


def test_a_seeded_plan_is_a_function_of_seed_number_and_operation() -> None:
    rates = {Fault.UNAVAILABLE: 0.3, Fault.LOST_REPLY: 0.2}
    one, again, other = seeded(1, rates), seeded(1, rates), seeded(2, rates)
    calls = [call(number) for number in range(1, 500)]
    forwards = [one(each) for each in calls]
    # Asked in another order, and on other keys: the same.
    backwards = [again(call(each.number, key="another")) for each in reversed(calls)]
    assert forwards == backwards[::-1]
    assert forwards != [other(each) for each in calls]
    assert forwards != [one(call(each.number, Operation.GET)) for each in calls]


def test_rates_are_kept() -> None:
    plan = seeded(3, {Fault.UNAVAILABLE: 0.25, Fault.NO_SPACE: 0.5})
    counts = Counter(plan(call(number)) for number in range(1, 2001))
    assert 400 < counts[Fault.UNAVAILABLE] < 600
    assert 900 < counts[Fault.NO_SPACE] < 1100
    # A listing needs no space, and is as likely as anything to find the store unavailable.
    listings = Counter(plan(call(number, Operation.LIST)) for number in range(1, 2001))
    assert set(listings) == {None, Fault.UNAVAILABLE}
    assert 400 < listings[Fault.UNAVAILABLE] < 600


def test_wrong_rates_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="rates"):
        seeded(0, {Fault.DENIED: -0.1})
    with pytest.raises(InvalidParameter, match="sum"):
        seeded(0, {Fault.DENIED: 0.6, Fault.EXPIRED: 0.6})


def test_an_outage_lasts_as_long_as_it_is_told_to() -> None:
    clock = FakeClock()
    plan = between(clock, 10.0, 20.0, Fault.UNAVAILABLE)
    seen: dict[float, Fault | None] = {}
    for _ in range(6):
        seen[clock.monotonic()] = plan(call(1))
        clock.advance(5.0)
    down = Fault.UNAVAILABLE
    assert seen == {0.0: None, 5.0: None, 10.0: down, 15.0: down, 20.0: None, 25.0: None}


def test_for_some_calls_only() -> None:
    plan = only(lambda call: Fault.DENIED, {Operation.PUT, Operation.LIST}, "log")
    assert plan(call(1)) is Fault.DENIED
    assert plan(call(1, Operation.LIST, "log")) is Fault.DENIED
    assert plan(call(1, Operation.GET)) is None
    assert plan(call(1, key="logs/1")) is None
    assert plan(call(1, Operation.LIST, "")) is None


def test_the_first_of_several_that_has_something() -> None:
    plan = first_of(at(2, Fault.DENIED), each({2: Fault.DELAY, 3: Fault.DELAY}))
    assert [plan(call(number)) for number in range(1, 5)] == [None, Fault.DENIED, Fault.DELAY, None]
