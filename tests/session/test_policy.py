from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.errors import InvalidParameter
from mlsession.session.policy import (
    Automatic,
    EveryIterations,
    EverySeconds,
    Pace,
    automatic_interval,
    is_report_due,
    is_save_due,
    waits_for_store,
)


def pace(iteration: int = 1, seconds: float = 0.0, save_seconds: float | None = None) -> Pace:
    return Pace(iteration=iteration, seconds=seconds, save_seconds=save_seconds)


@given(st.integers(1, 100), st.integers(1, 1_000), st.floats(0, 1e6))
def test_every_iterations_depends_on_the_iteration_alone(every: int, iteration: int, seconds: float) -> None:
    due = is_save_due(EveryIterations(iterations=every), pace(iteration, seconds, seconds))
    assert due == (iteration in range(0, 100_001, every))


def test_every_seconds() -> None:
    policy = EverySeconds(seconds=10.0)
    assert not is_save_due(policy, pace(iteration=10, seconds=9.99))
    assert is_save_due(policy, pace(iteration=1, seconds=10.0))


def test_automatic_spaces_saves_by_what_they_cost() -> None:
    policy = Automatic()
    assert automatic_interval(policy, None) == pytest.approx(5.0)
    assert automatic_interval(policy, 0.3) == pytest.approx(30.0)
    assert not is_save_due(policy, pace(seconds=29.9, save_seconds=0.3))
    assert is_save_due(policy, pace(seconds=30.0, save_seconds=0.3))


@given(st.floats(0, 1e4))
def test_automatic_costs_at_most_its_share_and_saves_each_minute(save_seconds: float) -> None:
    policy = Automatic()
    interval = automatic_interval(policy, save_seconds)
    assert policy.shortest <= interval <= policy.longest
    assert save_seconds <= policy.overhead * interval * (1 + 1e-12) or interval == policy.longest


def test_only_counted_saves_wait_for_a_slow_store() -> None:
    assert waits_for_store(EveryIterations(iterations=1))
    assert not waits_for_store(EverySeconds(seconds=1))
    assert not waits_for_store(Automatic())


def test_reports_do_not_shift_with_restarts() -> None:
    assert [turn for turn in range(1, 16) if is_report_due(5, turn)] == [5, 10, 15]
    assert all(is_report_due(1, turn) for turn in range(1, 5))


@pytest.mark.parametrize("iterations", [0, -1, 1.5, True, "5"])
def test_wrong_iterations(iterations: int) -> None:
    with pytest.raises(InvalidParameter, match="checkpoint_interval="):
        EveryIterations(iterations=iterations)


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan])
def test_wrong_seconds(seconds: float) -> None:
    with pytest.raises(InvalidParameter, match="more than 0 seconds"):
        EverySeconds(seconds=seconds)


@pytest.mark.parametrize(
    ("overhead", "shortest", "longest"),
    [
        (0.0, 1.0, 2.0),
        (-1.0, 1.0, 2.0),
        (math.nan, 1.0, 2.0),
        (0.01, 3.0, 2.0),
        (0.01, -1.0, 2.0),
        (0.01, 1.0, math.nan),
    ],
)
def test_wrong_automatic(overhead: float, shortest: float, longest: float) -> None:
    with pytest.raises(InvalidParameter):
        Automatic(overhead=overhead, shortest=shortest, longest=longest)
