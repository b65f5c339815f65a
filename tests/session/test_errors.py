"""Errors of phases, of the saver and of the store: none is lost, and each can be resumed from."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from mlsession.errors import (
    InternalError,
    SessionTakenOver,
    StoreFull,
    StoreUnavailable,
)
from mlsession.events import (
    PhaseStarted,
    StoreRetried,
)
from mlsession.session.log.records import Kind
from mlsession.session.opening import OpenOptions, open_session
from mlsession.session.policy import EveryIterations
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.retrying import Backoff
from mlsession.testing.clock import FakeClock
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, attempt_on, facts_of, outcome_of, unbroken
from tests.session.one_phase import OnePhase, a_step
from tests.session.stores import HookedStore

TASK = Walk(limit=10)


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
