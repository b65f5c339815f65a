"""Driving a task: what is saved when, what a stop does, and that none of it changes a bit of the result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mlsession.errors import (
    Cancelled,
    IncompatibleParameters,
    InternalError,
    Interrupted,
    SessionTakenOver,
    StoreFull,
    StoreUnavailable,
)
from mlsession.events import (
    CheckpointCommitted,
    ItemSkipped,
    JobStopping,
    PhaseFinished,
    PhaseStarted,
    Progressed,
    SessionOpened,
    StoreRetried,
)
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import stop_key
from mlsession.session.log.records import Kind
from mlsession.session.opening import OpenOptions, open_session
from mlsession.session.phase import Arrays, Past, PhaseRunner, PhaseState, Step
from mlsession.session.policy import Automatic, EveryIterations, EverySeconds, SavePolicy
from mlsession.session.stop import StopFlag, StopKind
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.retrying import Backoff
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import Facts, check_session, stored_bytes
from tests.session.attempts import Attempt, attempt_on, unbroken
from tests.session.stores import CountingStore, HookedStore
from tests.session.walk import Walk

TASK = Walk(limit=10)


def facts_of(space: MemorySpace) -> Facts:
    facts = check_session(MemoryStore(space))
    assert facts is not None
    return facts


def outcome_of(space: MemorySpace) -> tuple[object, object]:
    body = facts_of(space).records[-1].body
    return body.get("outcome"), body.get("reason")


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

    def test_seconds_pass_between_saves(self) -> None:
        space, clock = MemorySpace(), FakeClock()
        committed = threading.Event()

        def watch(operation: str, key: str) -> None:
            if (operation, key) == ("create", "log/0000000002.json"):
                committed.set()

        def on_step(turn: int) -> None:
            clock.advance(1.0)
            assert turn < 9 or committed.wait(60)

        attempt = Attempt(
            open_store=lambda: HookedStore(MemoryStore(space), watch), policy=EverySeconds(seconds=7), clock=clock
        )
        attempt.walk(Walk(limit=30, on_step=on_step))
        saved = [entry.iteration for entry in facts_of(space).checkpoints if entry.phase == "walking"]
        # A save that is still being written when the next one is due puts that off, never the other way round.
        assert saved[0] == 7
        assert saved[-1] == 30
        assert all(later - earlier >= 7 for earlier, later in pairwise(saved[:-1]))

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
            # Rows of one step are at most 3 x (16 + 2) bytes; never more than the limit and one step are waiting.
            assert len(unsaved) <= 4

        attempt = Attempt(
            open_store=lambda: HookedStore(MemoryStore(space), commit),
            policy=EverySeconds(seconds=3600),
            held_bytes=54,
        )
        assert attempt.walk(Walk(limit=20, on_step=on_step)) == unbroken(Walk(limit=20))
        assert started == list(range(1, 21))
        assert len([entry for entry in facts_of(space).checkpoints if entry.phase == "walking"]) > 5


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


class TestStopping:
    @pytest.mark.parametrize("kind", list(StopKind))
    @pytest.mark.parametrize("at", range(1, 11))
    def test_a_stop_at_any_step_is_saved_and_resumed(self, kind: StopKind, at: int) -> None:
        space = MemorySpace()
        attempt = attempt_on(space, interval=100)

        def on_step(turn: int) -> None:
            if turn == at:
                assert attempt.stop.ask(kind, "the test", attempt.clock.monotonic())

        error = Interrupted if kind is StopKind.INTERRUPTED else Cancelled
        with pytest.raises(error, match="the test"):
            attempt.walk(Walk(limit=10, on_step=on_step))
        outcome = "interrupted" if kind is StopKind.INTERRUPTED else "paused"
        assert outcome_of(space) == (outcome, "the test")
        assert [event.reason for event in attempt.of(JobStopping)] == ["the test"]
        assert [(event.phase, event.iteration) for event in attempt.of(CheckpointCommitted)] == [("walking", at)]
        again = attempt_on(space, interval=100)
        assert again.walk(TASK) == unbroken(TASK)
        (opened,) = again.of(SessionOpened)
        assert (opened.phase, opened.iteration) == ("walking", at)
        assert again.of(PhaseStarted)[0].iteration == (at if at < 10 else 0)

    def test_stopping_at_every_single_step_in_turn(self) -> None:
        space, attempts = MemorySpace(), 0
        while True:
            attempt = attempt_on(space)
            task = Walk(
                limit=10,
                on_step=lambda turn, flag=attempt.stop: flag.ask(StopKind.CANCELLED, "", 0.0),  # type: ignore[misc]
            )
            attempt.grace_seconds = float("inf")
            attempts += 1
            try:
                assert attempt.walk(task) == unbroken(TASK)
                break
            except Cancelled:
                facts_of(space)
        assert attempts == 11

    def test_a_stop_before_the_first_step_does_no_work(self) -> None:
        space, steps = MemorySpace(), list[int]()
        attempt = attempt_on(space)
        attempt.stop.ask(StopKind.CANCELLED, "early", attempt.clock.monotonic())
        with pytest.raises(Cancelled):
            attempt.walk(Walk(on_step=steps.append))
        assert steps == []
        assert outcome_of(space) == ("paused", "early")

    def test_a_stop_in_the_very_last_step_comes_too_late(self) -> None:
        attempt = attempt_on(MemorySpace())
        task = OnePhase(lambda: attempt.stop.ask(StopKind.CANCELLED, "late", attempt.clock.monotonic()))
        assert attempt.run(task, {}) == "done"

    def test_another_process_can_ask_through_the_store(self) -> None:
        space = MemorySpace()
        MemoryStore(space).put(stop_key(1), b"")
        attempt = attempt_on(space)
        asked = threading.Event()
        flag = WatchedFlag(asked)
        attempt.stop = flag
        with pytest.raises(Cancelled, match="another process asked this job to stop"):
            attempt.walk(Walk(limit=10, on_step=lambda turn: flag.wait(turn)))
        assert outcome_of(space) == ("paused", "another process asked this job to stop")
        assert attempt_on(space).walk(TASK) == unbroken(TASK)

    @pytest.mark.parametrize("hangs", ["blobs/", "log/"])
    def test_a_store_that_hangs_does_not_keep_a_stop(self, hangs: str) -> None:
        space, forever = MemorySpace(), threading.Event()
        attempt = attempt_on(space)
        attempt.grace_seconds = 0.05
        asked = threading.Event()

        def hang(operation: str, key: str) -> None:
            if asked.is_set() and operation in ("put", "create") and key.startswith(hangs):
                assert forever.wait(60)

        def on_step(turn: int) -> None:
            if turn == 5:
                asked.set()
                attempt.stop.ask(StopKind.INTERRUPTED, "signal", attempt.clock.monotonic())

        attempt.open_store = lambda: HookedStore(MemoryStore(space), hang)
        with pytest.raises(Interrupted):
            attempt.walk(Walk(limit=10, on_step=on_step))
        # The save that was given up may end later; whoever opened the session meanwhile is not disturbed.
        again = attempt_on(space)
        assert again.walk(TASK) == unbroken(TASK)
        before = stored_bytes(MemoryStore(space))
        forever.set()
        for thread in threading.enumerate():
            if thread.name == "mlsession-saver":
                thread.join(60)
        after = stored_bytes(MemoryStore(space))
        assert {key for key in after if key.startswith("log/")} == {key for key in before if key.startswith("log/")}
        facts_of(space)

    def test_a_stop_gives_up_a_save_that_already_hangs(self) -> None:
        space, forever, hanging = MemorySpace(), threading.Event(), threading.Event()
        attempt = attempt_on(space, interval=3)
        attempt.grace_seconds = 0.05

        def hang(operation: str, key: str) -> None:
            if operation == "put" and key.startswith("blobs/"):
                hanging.set()
                assert forever.wait(60)

        def on_step(turn: int) -> None:
            if turn == 4:
                assert hanging.wait(60)
                attempt.stop.ask(StopKind.CANCELLED, "now", attempt.clock.monotonic())

        attempt.open_store = lambda: HookedStore(MemoryStore(space), hang)
        with pytest.raises(Cancelled, match="now"):
            attempt.walk(Walk(limit=10, on_step=on_step))
        forever.set()
        assert attempt_on(space).walk(TASK) == unbroken(TASK)


class WatchedFlag(StopFlag):
    """Says when it was set."""

    def __init__(self, asked: threading.Event) -> None:
        super().__init__()
        self._asked = asked

    def ask(self, kind: StopKind, reason: str, since: float) -> bool:
        first = super().ask(kind, reason, since)
        self._asked.set()
        return first

    def wait(self, turn: int) -> None:
        assert self._asked.wait(60)


@dataclass(frozen=True)
class OnePhase:
    """A task of one phase whose runner is made by `steps`."""

    on_step: Callable[[], object] = lambda: None
    steps: Callable[[], Iterator[Step]] | None = None
    complete: bool = True

    name = "one"
    phases = ("only",)

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        return self

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        if self.steps is not None:
            yield from self.steps()
            return
        self.on_step()
        yield a_step(1, last=True)

    def inputs(self, phase: str) -> str:
        return ""

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return self.complete

    def result(self, past: Past) -> str:
        return "done"


def a_step(iteration: int, last: bool = False, adds: Arrays | None = None) -> Step:
    return Step(iteration=iteration, total=None, snapshot=PhaseState, adds=adds or {}, last=last)


class TestExtending:
    def test_ten_and_ten_are_twenty(self) -> None:
        space = MemorySpace()
        assert attempt_on(space).walk(Walk(limit=10)) == unbroken(Walk(limit=10))
        more = attempt_on(space, interval=7)
        assert more.walk(Walk(limit=20)) == unbroken(Walk(limit=20))
        assert [(event.phase, event.iteration) for event in more.of(PhaseStarted)] == [("walking", 10), ("summing", 0)]
        facts_of(space)

    @pytest.mark.parametrize("limits", [(1, 20), (4, 5, 6, 20), (8, 16, 20), (20,)])
    def test_any_way_there_ends_in_the_same_place(self, limits: tuple[int, ...]) -> None:
        space = MemorySpace()
        results = [attempt_on(space).walk(Walk(limit=limit)) for limit in limits]
        assert results == [unbroken(Walk(limit=limit)) for limit in limits]

    def test_a_lower_limit_is_complete(self) -> None:
        space = MemorySpace()
        longer = attempt_on(space).walk(Walk(limit=20))
        before = stored_bytes(MemoryStore(space))
        assert attempt_on(space).walk(Walk(limit=10)) == longer
        assert stored_bytes(MemoryStore(space)) == before

    def test_other_inputs_run_only_their_phase_again(self) -> None:
        space, steps = MemorySpace(), list[int]()
        attempt_on(space).walk(Walk())
        again = attempt_on(space)
        assert again.walk(Walk(salt="other", on_step=steps.append)) == unbroken(Walk(salt="other"))
        assert steps == []
        assert [(event.phase, event.iteration) for event in again.of(PhaseStarted)] == [("summing", 0)]
        assert facts_of(space).checkpoints[-1].fresh

    def test_other_parameters_are_refused_and_change_nothing(self) -> None:
        space = MemorySpace()
        attempt_on(space).walk(Walk(seed=1))
        before = stored_bytes(MemoryStore(space))
        with pytest.raises(IncompatibleParameters, match=r"seed was 1 .* is 2 now"):
            attempt_on(space).walk(Walk(seed=2))
        assert stored_bytes(MemoryStore(space)) == before


class TestFinished:
    def test_a_finished_session_returns_at_once_and_writes_nothing(self, tmp_path: Path) -> None:
        attempt = Attempt(open_store=lambda: LocalStore(tmp_path))
        expected = attempt.walk(TASK)
        before = stored_bytes(LocalStore(tmp_path))
        steps: list[int] = []
        counted: list[CountingStore] = []

        def open_counting() -> CountingStore:
            counted.append(CountingStore(LocalStore(tmp_path)))
            return counted[-1]

        again = Attempt(open_store=open_counting)
        assert again.walk(Walk(on_step=steps.append)) == expected
        assert (steps, again.events) == ([], [])
        assert stored_bytes(LocalStore(tmp_path)) == before
        assert {operation for store in counted for operation in store.calls} == {"get", "list"}

    def test_a_session_that_was_done_but_not_closed_is_closed(self) -> None:
        space, steps = MemorySpace(), list[int]()
        expected = attempt_on(space).walk(TASK)
        store = MemoryStore(space)
        last = max(key for key in space.values if key.startswith("log/"))
        store.delete(last)
        assert attempt_on(space).walk(Walk(on_step=steps.append)) == expected
        assert steps == []
        assert [record.kind for record in facts_of(space).records[-2:]] == [Kind.OPENED, Kind.CLOSED]

    def test_many_commits_are_opened_in_bounded_calls(self) -> None:
        space = MemorySpace()
        task = Walk(limit=300)
        expected = attempt_on(space, interval=1).walk(task)
        counted = CountingStore(MemoryStore(space))
        # The rows of 300 commits lie in as many blobs, which the second phase reads; opening reads none of them.
        state = Journal(counted).load()
        assert state is not None
        assert counted.calls.total() < 80
        assert expected[0] == 300
        assert attempt_on(space, interval=1).walk(Walk(limit=301)) == unbroken(Walk(limit=301))
        facts_of(space)


class TestErrors:
    def test_an_error_of_a_phase_is_recorded_and_resumed(self) -> None:
        space = MemorySpace()

        def fail(turn: int) -> None:
            if turn == 8:
                raise ZeroDivisionError("in step 8")

        with pytest.raises(ZeroDivisionError, match="in step 8"):
            attempt_on(space).walk(Walk(on_step=fail))
        assert outcome_of(space) == ("failed", "ZeroDivisionError: in step 8")
        again = attempt_on(space)
        assert again.walk(TASK) == unbroken(TASK)
        assert again.of(PhaseStarted)[0].iteration == 6

    def test_an_error_beside_a_save_waits_for_it_and_is_recorded(self) -> None:
        space, let_go = MemorySpace(), threading.Event()

        def slow(operation: str, key: str) -> None:
            if operation == "put" and key.startswith("blobs/"):
                assert let_go.wait(60)

        def fail(turn: int) -> None:
            if turn == 4:
                threading.Timer(0.05, let_go.set).start()
                raise ValueError("beside a save")

        attempt = Attempt(open_store=lambda: HookedStore(MemoryStore(space), slow))
        with pytest.raises(ValueError, match="beside a save"):
            attempt.walk(Walk(on_step=fail))
        assert outcome_of(space) == ("failed", "ValueError: beside a save")
        assert [entry.iteration for entry in facts_of(space).checkpoints] == [3]

    def test_an_error_while_the_store_is_away_keeps_both(self) -> None:
        space = MemorySpace()
        away = threading.Event()

        def unreachable(operation: str, key: str) -> None:
            if away.is_set() and operation in ("put", "create"):
                raise StoreUnavailable("away", key)

        def fail(turn: int) -> None:
            if turn == 2:
                away.set()
                raise ValueError("the first error")

        attempt = Attempt(
            open_store=lambda: HookedStore(MemoryStore(space), unreachable),
            backoff=Backoff(first=0.001, longest=0.001, give_up_after=0),
        )
        with pytest.raises(ValueError, match="the first error") as raised:
            attempt.walk(Walk(on_step=fail))
        assert any("recording the outcome 'failed'" in note and "away" in note for note in raised.value.__notes__)
        assert attempt_on(space).walk(TASK) == unbroken(TASK)

    @pytest.mark.parametrize("iterations", [0, 2])
    def test_a_phase_without_a_last_step_is_our_bug(self, iterations: int) -> None:
        space = MemorySpace()
        task = OnePhase(steps=lambda: iter([a_step(number) for number in range(1, iterations + 1)]))
        with pytest.raises(InternalError, match="phase only ended without a last step"):
            attempt_on(space).run(task, {})
        assert outcome_of(space) == ("failed", "InternalError: phase only ended without a last step")

    def test_a_phase_that_is_never_complete_does_not_run_for_ever(self) -> None:
        with pytest.raises(InternalError, match="phase only has ended, and its task says that it is not complete"):
            attempt_on(MemorySpace()).run(OnePhase(complete=False), {})

    def test_output_of_changing_types_is_our_bug(self) -> None:
        steps = [a_step(1, adds={"x": np.zeros(1, np.float32)}), a_step(2, last=True, adds={"x": np.zeros(1)})]
        with pytest.raises(InternalError, match="additive output changed"):
            attempt_on(MemorySpace()).run(OnePhase(steps=lambda: iter(steps)), {})

    def test_a_full_store_stops_the_job_and_keeps_what_was_saved(self) -> None:
        space, full = MemorySpace(), threading.Event()

        def no_space(operation: str, key: str) -> None:
            if full.is_set() and operation in ("put", "create"):
                raise StoreFull("no space left: delete something", key)

        attempt = Attempt(open_store=lambda: HookedStore(MemoryStore(space), no_space))
        with pytest.raises(StoreFull, match="delete something"):
            attempt.walk(Walk(on_step=lambda turn: full.set() if turn == 5 else None))
        saved = {entry.iteration for entry in facts_of(space).checkpoints}
        assert saved <= {3}
        assert attempt_on(space).walk(TASK) == unbroken(TASK)

    def test_an_error_of_the_saver_surfaces_at_the_next_step(self) -> None:
        space, failed = MemorySpace(), threading.Event()

        def fail(operation: str, key: str) -> None:
            if operation == "put" and key.startswith("blobs/"):
                failed.set()
                raise StoreFull("no space left", key)

        steps: list[int] = []

        def on_step(turn: int) -> None:
            steps.append(turn)
            if turn > 500:
                assert failed.wait(60)
                threading.Event().wait(0.001)

        attempt = Attempt(
            open_store=lambda: HookedStore(MemoryStore(space), fail), policy=EveryIterations(iterations=500)
        )
        with pytest.raises(StoreFull):
            attempt.walk(Walk(limit=1_000, on_step=on_step))
        assert 500 < len(steps) < 1_000

    def test_an_outage_is_waited_out(self) -> None:
        space, clock = MemorySpace(), FakeClock()
        down = [40]

        def outage(operation: str, key: str) -> None:
            if operation == "put" and key.startswith("blobs/") and down[0]:
                down[0] -= 1
                raise StoreUnavailable("503", key)

        attempt = Attempt(
            open_store=lambda: HookedStore(MemoryStore(space), outage), clock=clock, backoff=Backoff(give_up_after=9e9)
        )
        assert attempt.walk(TASK) == unbroken(TASK)
        retries = attempt.of(StoreRetried)
        assert len(retries) == 40
        assert [event.attempt for event in retries[:3]] == [1, 2, 3]
        assert all(event.reason == "503" and event.operation.startswith("put blobs/") for event in retries)
        assert clock.monotonic() == pytest.approx(sum(event.delay for event in retries))

    def test_an_outage_without_end_is_an_error_that_says_so(self) -> None:
        space, clock = MemorySpace(), FakeClock()

        def outage(operation: str, key: str) -> None:
            if operation == "put" and key.startswith("blobs/"):
                raise StoreUnavailable("503", key)

        attempt = Attempt(
            open_store=lambda: HookedStore(MemoryStore(space), outage), clock=clock, backoff=Backoff(give_up_after=60)
        )
        with pytest.raises(StoreUnavailable, match=r"has not answered for \d+ s .*503.*can be resumed"):
            attempt.walk(TASK)
        assert 30 < clock.monotonic() <= 60
        assert attempt_on(space).walk(TASK) == unbroken(TASK)

    def test_a_writer_that_was_fenced_out_stops_and_writes_nothing_more(self) -> None:
        space = MemorySpace()

        def overtake(turn: int) -> None:
            if turn == 5:
                open_session(MemoryStore(space), FakeClock(), OpenOptions(take_over=True), lambda event: None)

        with pytest.raises(SessionTakenOver) as raised:
            attempt_on(space).walk(Walk(on_step=overtake))
        assert not hasattr(raised.value, "__notes__")  # It did not even try to say how it ended.
        records = facts_of(space).records
        assert records[-1].kind is Kind.OPENED
        assert attempt_on(space).walk(TASK) == unbroken(TASK)


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


def test_a_phase_that_is_left_half_way_is_closed() -> None:
    closed: list[str] = []
    attempt = attempt_on(MemorySpace())

    def steps() -> Iterator[Step]:
        try:
            attempt.stop.ask(StopKind.CANCELLED, "", attempt.clock.monotonic())
            yield a_step(1)
            yield a_step(2)
        finally:
            closed.append("closed")

    held = steps()  # So that only an explicit close ends it.

    class Held(OnePhase):
        def run(self, state: PhaseState | None) -> Iterator[Step]:
            return held

    with pytest.raises(Cancelled):
        attempt.run(Held(), {})
    assert closed == ["closed"]


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
