"""Driving a task: what is saved when and what is said, and that none of it changes a bit of the result."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise

import pytest

from mlsession.errors import (
    InternalError,
)
from mlsession.events import (
    CheckpointCommitted,
    ItemSkipped,
    PhaseFinished,
    PhaseStarted,
    Progressed,
)
from mlsession.session.log.journal import Journal
from mlsession.session.phase import PhaseState, Step
from mlsession.session.policy import Automatic, EveryIterations, EverySeconds, SavePolicy
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, attempt_on, facts_of, unbroken
from tests.session.one_phase import OnePhase
from tests.session.stores import CountingStore, HookedStore

TASK = Walk(limit=10)


class TestPolicies:
    @pytest.mark.parametrize(
        "policy",
        [
            *(EveryIterations(iterations=every) for every in (1, 2, 3, 4, 7, 10, 100)),
            EverySeconds(seconds=1e-9),
            EverySeconds(seconds=3600),
            Automatic(),
            Automatic(overhead=1e9, shortest=0, longest=0),
        ],
    )
    @pytest.mark.parametrize("held_bytes", [0, 2**20])
    def test_no_policy_changes_the_result(self, policy: SavePolicy, held_bytes: int) -> None:
        space = MemorySpace()
        attempt = Attempt(open_store=lambda: MemoryStore(space), policy=policy, held_bytes=held_bytes)
        assert attempt.walk(TASK) == unbroken(TASK)
        facts = facts_of(space)
        assert [entry.phase for entry in facts.checkpoints if entry.ended] == ["walking", "summing"]

    def test_counted_saves_come_at_the_same_iterations_on_every_run(self) -> None:
        for _ in range(3):
            space = MemorySpace()
            attempt_on(space, interval=4).walk(TASK)
            saved = [(entry.phase, entry.iteration) for entry in facts_of(space).checkpoints]
            assert saved == [("walking", 4), ("walking", 8), ("walking", 10), ("summing", 2)]

    @pytest.mark.parametrize("policy", [EveryIterations(iterations=4), EverySeconds(seconds=3600)])
    def test_what_was_found_out_is_saved_whatever_the_policy(self, policy: SavePolicy) -> None:
        def steps() -> Iterator[Step]:
            for turn in range(1, 8):
                yield Step(iteration=turn, total=7, snapshot=PhaseState, last=turn == 7, urgent=turn in (2, 3))

        space = MemorySpace()
        Attempt(open_store=lambda: MemoryStore(space), policy=policy).run(OnePhase(steps=steps), {})
        saved = [entry.iteration for entry in facts_of(space).checkpoints]
        assert saved == ([2, 3, 4, 7] if isinstance(policy, EveryIterations) else [2, 3, 7])

    def test_a_save_is_durable_one_interval_after_the_one_before_it_began(self) -> None:
        space, clock = MemorySpace(), FakeClock()
        began: list[float] = []

        def save_slowly(operation: str, key: str) -> None:
            if operation == "put" and key.startswith("blobs/"):
                clock.advance(2.0)

        def begin() -> PhaseState:
            began.append(clock.monotonic())
            return PhaseState()

        def steps() -> Iterator[Step]:
            for turn in count(1):
                if len(attempt.of(CheckpointCommitted)) == len(began):
                    clock.advance(1.0)
                else:
                    time.sleep(0.001)  # Only the save that is in flight makes time pass.
                yield Step(iteration=turn, total=None, snapshot=begin, last=clock.monotonic() > 60)

        attempt = Attempt(
            open_store=lambda: HookedStore(MemoryStore(space), save_slowly),
            policy=EverySeconds(seconds=10),
            clock=clock,
        )
        attempt.run(OnePhase(steps=steps), {})
        assert began[0] == 5.0  # Nobody knows yet what a save takes.
        assert len(began) > 5
        for earlier, later in pairwise(began[:-1]):
            assert earlier + 7.0 <= later <= earlier + 8.0

    def test_a_slow_store_puts_a_timed_save_off_and_loses_nothing(self) -> None:
        space, clock = MemorySpace(), FakeClock()
        let_go = threading.Event()

        def slow(operation: str, key: str) -> None:
            if operation == "put" and key.startswith("blobs/"):
                assert let_go.wait(60)

        def on_step(turn: int) -> None:
            clock.advance(1.0)
            if turn == 10:
                let_go.set()

        attempt = Attempt(
            open_store=lambda: HookedStore(MemoryStore(space), slow), policy=EverySeconds(seconds=1), clock=clock
        )
        assert attempt.walk(Walk(limit=10, on_step=on_step)) == unbroken(TASK)
        saved = [entry.iteration for entry in facts_of(space).checkpoints if entry.phase == "walking"]
        assert saved[0] == 1
        assert saved[-1] == 10
        assert set(saved) & set(range(2, 9)) == set()

    def test_output_above_the_limit_waits_for_the_store(self) -> None:
        space = MemorySpace()
        unsaved: list[int] = []
        started: list[int] = []

        def commit(operation: str, key: str) -> None:
            if operation == "create" and key.startswith("log/"):
                unsaved.clear()

        def on_step(turn: int) -> None:
            started.append(turn)
            unsaved.append(turn)
            # Rows of one step are at most 3 x (16 + 2) bytes; never more than the limit and one step are waiting, and
            # as much in the save before.
            assert len(unsaved) <= 8

        attempt = Attempt(
            open_store=lambda: HookedStore(MemoryStore(space), commit),
            policy=EverySeconds(seconds=3600),
            held_bytes=54,
        )
        assert attempt.walk(Walk(limit=20, on_step=on_step)) == unbroken(Walk(limit=20))
        assert started == list(range(1, 21))
        assert len([entry for entry in facts_of(space).checkpoints if entry.phase == "walking"]) > 5

    def test_output_above_the_limit_is_saved_while_the_phase_goes_on(self) -> None:
        space, went_on = MemorySpace(), threading.Event()
        first: list[bool] = []

        def save_slowly(operation: str, key: str) -> None:
            if operation == "put" and key.startswith("blobs/") and not first:
                first.append(went_on.wait(60))

        def on_step(turn: int) -> None:
            if turn > 3:  # Three steps have more than the limit.
                went_on.set()

        attempt = Attempt(
            open_store=lambda: HookedStore(MemoryStore(space), save_slowly),
            policy=EverySeconds(seconds=3600),
            held_bytes=54,
        )
        assert attempt.walk(Walk(limit=20, on_step=on_step)) == unbroken(Walk(limit=20))
        assert first == [True]
        walking = [entry.iteration for entry in facts_of(space).checkpoints if entry.phase == "walking"]
        assert walking[0] <= 3


class TestEvents:
    def test_what_a_whole_run_says(self) -> None:
        attempt = attempt_on(MemorySpace(), interval=4)
        attempt.walk(TASK)
        assert [(event.phase, event.iteration) for event in attempt.of(PhaseStarted)] == [
            ("walking", 0),
            ("summing", 0),
        ]
        assert [(event.phase, event.iteration) for event in attempt.of(PhaseFinished)] == [
            ("walking", 10),
            ("summing", 2),
        ]
        reports = attempt.of(Progressed)
        assert [(event.phase, event.iteration, event.total) for event in reports] == [
            ("walking", 5, 10),
            ("walking", 10, 10),
            ("summing", 2, None),
        ]
        assert [(event.item_count, event.total_items) for event in reports] == [(10, 20), (20, 20), (2, None)]
        assert set(reports[0].metrics) == {"total", "nothing"}
        assert [event.item for event in attempt.of(ItemSkipped)] == ["item-5", "item-10"]
        commits = attempt.of(CheckpointCommitted)
        assert [(event.checkpoint, event.phase, event.iteration) for event in commits] == [
            (2, "walking", 4),
            (3, "walking", 8),
            (4, "walking", 10),
            (5, "summing", 2),
        ]
        assert commits[0].url == "memory-store://log/0000000002.json"
        assert all(event.size_bytes > 0 for event in commits)

    def test_a_phase_is_finished_only_once_it_is_durable(self) -> None:
        attempt = attempt_on(MemorySpace())
        attempt.walk(TASK)
        kinds = [type(event) for event in attempt.events if isinstance(event, CheckpointCommitted | PhaseFinished)]
        assert kinds[-1] is PhaseFinished
        assert all(kinds[at - 1] is CheckpointCommitted for at, kind in enumerate(kinds) if kind is PhaseFinished)

    def test_elapsed_is_measured_on_the_given_clock(self) -> None:
        clock = FakeClock()
        attempt = replace(attempt_on(MemorySpace()), clock=clock, events=[])
        attempt.walk(Walk(limit=10, on_step=lambda turn: clock.advance(2.0)))
        assert [event.elapsed for event in attempt.of(Progressed)][:2] == [10.0, 20.0]


def test_snapshots_are_copied_before_the_next_step() -> None:
    space, let_go = MemorySpace(), threading.Event()

    def slow(operation: str, key: str) -> None:
        if operation == "put" and key.startswith("blobs/"):
            assert let_go.wait(60)

    # Step 4 changes the vector while the save of step 3 has not even begun to be written.
    task = Walk(limit=10, on_step=lambda turn: let_go.set() if turn == 5 else None)
    attempt = Attempt(open_store=lambda: HookedStore(MemoryStore(space), slow))
    assert attempt.walk(task) == unbroken(TASK)
    Journal(MemoryStore(space)).load(2)
    store = MemoryStore(space)
    for key in [key for key in space.values if key.startswith("log/") and key > "log/0000000002.json"]:
        store.delete(key)
    assert attempt_on(space).walk(TASK) == unbroken(TASK)


def test_nothing_is_left_running() -> None:
    before = set(threading.enumerate())
    attempt_on(MemorySpace()).walk(TASK)
    with pytest.raises(InternalError):
        attempt_on(MemorySpace()).run(OnePhase(complete=False), {})
    assert set(threading.enumerate()) <= before


def test_nothing_is_ever_deleted_but_the_probe() -> None:
    space = MemorySpace()
    counted: list[CountingStore] = []

    def open_counting() -> CountingStore:
        counted.append(CountingStore(MemoryStore(space)))
        return counted[-1]

    attempt = Attempt(open_store=open_counting, policy=EveryIterations(iterations=1))
    attempt.walk(Walk(limit=80))
    deleted = [key for store in counted for key in store.deleted]
    assert len(deleted) == 1
    assert deleted[0].startswith("probe/")
