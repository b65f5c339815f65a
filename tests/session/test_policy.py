from __future__ import annotations

import math
from itertools import pairwise

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
    is_last_but_one,
    is_report_due,
    is_save_due,
    waits_for_store,
)
from tests.session.lost_work import Run, run

AUTO = Automatic()


def pace(
    iteration: int = 1, seconds: float = 0.0, save_seconds: float | None = None, step_seconds: float = 0.0
) -> Pace:
    return Pace(iteration=iteration, seconds=seconds, save_seconds=save_seconds, step_seconds=step_seconds)


@given(st.integers(1, 100), st.integers(1, 1_000), st.floats(0, 1e6))
def test_every_iterations_depends_on_the_iteration_alone(every: int, iteration: int, seconds: float) -> None:
    due = is_save_due(EveryIterations(iterations=every), pace(iteration, seconds, seconds))
    assert due == (iteration in range(0, 100_001, every))


def test_every_seconds_begins_early_by_what_a_save_takes() -> None:
    policy = EverySeconds(seconds=10.0)
    assert not is_save_due(policy, pace(seconds=8.0, save_seconds=2.0))
    assert is_save_due(policy, pace(seconds=8.1, save_seconds=2.0))
    # The next step would end too late to begin then.
    assert not is_save_due(policy, pace(seconds=5.0, save_seconds=2.0, step_seconds=3.0))
    assert is_save_due(policy, pace(seconds=5.1, save_seconds=2.0, step_seconds=3.0))


@pytest.mark.parametrize("save_seconds", [None, 5.0, 50.0])
def test_every_seconds_begins_at_most_twice_in_its_time(save_seconds: float | None) -> None:
    policy = EverySeconds(seconds=10.0)
    assert not is_save_due(policy, pace(seconds=5.0, save_seconds=save_seconds))
    assert is_save_due(policy, pace(seconds=5.1, save_seconds=save_seconds))


def test_saves_can_be_put_off_for_ever() -> None:
    assert not is_save_due(EverySeconds(seconds=math.inf), pace(seconds=1e9, save_seconds=1.0, step_seconds=1.0))


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


def test_automatic_begins_early_to_be_durable_within_its_longest_interval() -> None:
    policy = Automatic(overhead=0.01, shortest=2.0, longest=60.0)
    assert automatic_interval(policy, 10.0) == 60.0
    assert not is_save_due(policy, pace(seconds=49.0, save_seconds=10.0, step_seconds=1.0))
    assert is_save_due(policy, pace(seconds=49.1, save_seconds=10.0, step_seconds=1.0))


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


# What a kill costs: steps and saves of any lengths, and a kill at any moment.

DURATIONS = st.floats(0.01, 30.0)
INTERVALS = st.floats(0.1, 100.0)
BETWEEN = st.floats(0.0, 1.0)
"""A moment of a run, as a share of it."""


def bound(interval: float, steps: list[float], saves: list[float]) -> float:
    """One interval, or two saves and a step where these take longer; and by how much any outlasts its forecast."""
    surprise = max(steps) - min(steps) + max(saves) - min(saves)
    return max(interval, 2 * max(saves) + max(steps)) + surprise + 1e-6


def moments(happened: Run, share: float) -> tuple[float, ...]:
    return (*happened.worst_moments, share * happened.step_ends[-1])


@given(INTERVALS, st.integers(1, 200), DURATIONS, DURATIONS, BETWEEN)
def test_a_kill_costs_at_most_one_interval(
    interval: float, num_steps: int, step: float, save: float, share: float
) -> None:
    steps, saves = [step] * num_steps, [save]
    for policy in (EverySeconds(seconds=interval), Automatic(longest=interval, shortest=0)):
        happened = run(policy, steps, saves)
        for moment in moments(happened, share):
            assert happened.lost_seconds(moment) <= bound(interval, steps, saves)


@given(
    INTERVALS,
    st.lists(DURATIONS, min_size=1, max_size=200),
    st.lists(DURATIONS, min_size=1, max_size=20),
    BETWEEN,
)
def test_with_steps_and_saves_of_any_length_it_costs_no_more_than_their_spread_besides(
    interval: float, steps: list[float], saves: list[float], share: float
) -> None:
    for policy in (EverySeconds(seconds=interval), Automatic(longest=interval, shortest=0)):
        happened = run(policy, steps, saves)
        for moment in moments(happened, share):
            assert happened.lost_seconds(moment) <= bound(interval, steps, saves)


@given(INTERVALS, st.lists(DURATIONS, min_size=1, max_size=200), st.lists(DURATIONS, min_size=1, max_size=20))
def test_saves_longer_than_the_interval_do_not_starve_the_run(
    interval: float, steps: list[float], saves: list[float]
) -> None:
    happened = run(EverySeconds(seconds=interval), steps, saves)
    for earlier, later in pairwise(happened.saves):
        assert later.began >= earlier.ended
        assert later.began - earlier.began > interval / 2 - max(steps) - 1e-6
    assert happened.step_ends[-1] == pytest.approx(sum(steps))  # No step waited for the store.


@given(st.integers(1, 200), DURATIONS, DURATIONS, st.floats(0.001, 0.5))
def test_automatic_saves_pay_for_themselves_or_are_needed(
    num_steps: int, step: float, save: float, overhead: float
) -> None:
    policy = Automatic(overhead=overhead)
    happened = run(policy, [step] * num_steps, [save])
    for earlier, later in pairwise(happened.saves):
        spacing = later.began - earlier.began
        is_needed = spacing + step + min(save, policy.longest / 2) > policy.longest - 1e-6
        assert save <= overhead * spacing * (1 + 1e-9) or is_needed


@given(st.integers(1, 20), st.lists(DURATIONS, min_size=1, max_size=200), st.lists(DURATIONS, min_size=1), BETWEEN)
def test_a_kill_costs_at_most_twice_the_interval_in_steps(
    every: int, steps: list[float], saves: list[float], share: float
) -> None:
    happened = run(EveryIterations(iterations=every), steps, saves)
    for moment in moments(happened, share):
        assert happened.lost_steps(moment) <= 2 * every


def test_two_intervals_in_steps_are_lost_where_the_store_is_slow_and_one_where_it_is_fast() -> None:
    slow = run(EveryIterations(iterations=5), [1.0] * 40, [20.0])
    fast = run(EveryIterations(iterations=5), [1.0] * 40, [0.5])
    assert max(map(slow.lost_steps, slow.worst_moments)) == 10
    assert max(map(fast.lost_steps, fast.worst_moments)) == 5


def near_the_end(
    seconds: float, remaining: float | None, growth: float = 1.0, save_seconds: float | None = 1.0
) -> bool:
    at = Pace(
        iteration=7,
        seconds=seconds,
        step_seconds=0.1,
        save_seconds=save_seconds,
        growth=growth,
        remaining=remaining,
    )
    return is_save_due(AUTO, at)


def test_shortly_before_a_phase_ends_there_is_one_more_save_so_that_little_is_left_for_the_last() -> None:
    assert not near_the_end(seconds=20.0, remaining=1.5)
    assert near_the_end(seconds=20.0, remaining=0.9)
    # With ten times as much to write it is begun earlier.
    assert near_the_end(seconds=20.0, remaining=9.0, growth=10.0)
    assert not near_the_end(seconds=20.0, remaining=11.0, growth=10.0)
    assert not near_the_end(seconds=20.0, remaining=1.5, growth=0.1)


def test_it_is_not_begun_where_it_would_not_pay() -> None:
    assert not near_the_end(seconds=0.9, remaining=0.9), "as much was saved a moment ago"
    assert not near_the_end(seconds=20.0, remaining=0.05), "the last one comes first"
    assert not near_the_end(seconds=20.0, remaining=0.0)
    assert not near_the_end(seconds=20.0, remaining=None)
    assert not near_the_end(seconds=4.0, remaining=0.9, save_seconds=None)
    assert not is_save_due(
        EverySeconds(seconds=60.0), Pace(iteration=7, seconds=20.0, step_seconds=0.1, save_seconds=1.0, remaining=0.9)
    )


@given(st.floats(0.01, 30), st.floats(0.05, 2), st.floats(1, 300), st.floats(1, 20))
def test_towards_the_end_saves_stay_few(save_seconds: float, step_seconds: float, ahead: float, growth: float) -> None:
    """However long saves take, at most one is begun in the time that one takes."""
    now, began, times = 0.0, 0.0, list[float]()
    while now < ahead:
        now += step_seconds
        at = Pace(
            iteration=1,
            seconds=now - began,
            step_seconds=step_seconds,
            save_seconds=save_seconds,
            growth=growth if not times else 1.0,
            remaining=ahead - now,
        )
        if is_last_but_one(at):
            times.append(now)
            began = now
    assert all(later - earlier >= save_seconds for earlier, later in pairwise(times))
    assert len(times) <= 1 + growth
