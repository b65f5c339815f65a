"""Crash at every store call, then resume: the result must be that of the run that was never disturbed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mlsession.randomness import keyed_generator
from mlsession.session.policy import EveryIterations
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.invariants import check_session
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, WalkResult, attempt_on, unbroken
from tests.session.stores import Crash, Fate, MortalStore

TASK = Walk(limit=10)


@dataclass(frozen=True)
class Doom:
    """Call `at` kills the process, before or after it."""

    at: int
    after: bool


def crash(space: MemorySpace, task: Walk, doom: Doom, interval: int = 3) -> bool:
    """Runs an attempt into its crash; False if it got to the end first."""
    fate = Fate(doom.at, doom.after)
    attempt = Attempt(open_store=lambda: MortalStore(space, fate), policy=EveryIterations(iterations=interval))
    try:
        attempt.walk(task)
    except Crash:
        assert fate.dead
        return True
    assert not fate.dead
    return False


def resume(space: MemorySpace, task: Walk) -> WalkResult:
    check_session(MemoryStore(space))
    result = attempt_on(space).walk(task)
    facts = check_session(MemoryStore(space))
    assert facts is not None
    assert facts.records[-1].body["outcome"] == "finished"
    return result


def num_calls(task: Walk, interval: int) -> int:
    """Mutating store calls of an undisturbed run."""
    fate = Fate(at=-1, after=False)
    space = MemorySpace()
    policy = EveryIterations(iterations=interval)
    Attempt(open_store=lambda: MortalStore(space, fate), policy=policy).walk(task)
    return fate.calls


@pytest.mark.parametrize("interval", [1, 3, 100])
@pytest.mark.parametrize("after", [False, True])
def test_crash_at_every_call(interval: int, after: bool) -> None:
    expected = unbroken(TASK)
    calls = num_calls(TASK, interval)
    assert calls > 10
    for at in range(1, calls + 1):
        space = MemorySpace()
        assert crash(space, TASK, Doom(at, after), interval), f"call {at} of {calls} was never made"
        assert resume(space, TASK) == expected, f"after a crash at call {at}, after={after}"
    assert not crash(MemorySpace(), TASK, Doom(calls + 1, after), interval)


def test_what_is_lost_is_bounded() -> None:
    for at in range(1, num_calls(TASK, 3) + 1):
        for after in (False, True):
            steps: list[int] = []
            space = MemorySpace()
            crash(space, Walk(limit=10, on_step=steps.append), Doom(at, after))
            reached = max(steps, default=0)
            again: list[int] = []
            resume(space, Walk(limit=10, on_step=again.append))
            # The interval since the last save, and the one whose save was in flight: no more.
            assert min(again, default=11) > reached - 2 * 3, f"call {at}, after={after}"


def test_two_crashes_in_a_row() -> None:
    expected = unbroken(TASK)
    random = keyed_generator(0, "two crashes")
    for trial in range(40):
        space = MemorySpace()
        dooms = [Doom(int(random.integers(1, 30)), bool(random.integers(2))) for _ in range(2)]
        for doom in dooms:
            crash(space, TASK, doom, interval=int(random.integers(1, 5)))
            check_session(MemoryStore(space))
        assert resume(space, TASK) == expected, f"trial {trial}: {dooms}"


def test_crash_around_a_roll_of_the_index() -> None:
    task = Walk(limit=70)
    expected = unbroken(task)
    calls = num_calls(task, 1)
    random = keyed_generator(0, "roll")
    # The index is written at about record 65, that is after nine tenths of the calls.
    for at in random.choice(range(calls * 8 // 10, calls), size=8, replace=False):
        space = MemorySpace()
        assert crash(space, task, Doom(int(at), bool(at % 2)), interval=1)
        assert resume(space, task) == expected, f"call {at}"
        facts = check_session(MemoryStore(space))
        assert facts is not None
        assert facts.records[-1].index is not None


def test_crash_while_extending() -> None:
    longer = Walk(limit=14)
    expected = unbroken(longer)
    for at in range(1, 20):
        space = MemorySpace()
        attempt_on(space).walk(TASK)
        crash(space, longer, Doom(at, after=at % 2 == 0), interval=2)
        assert resume(space, longer) == expected, f"call {at}"
