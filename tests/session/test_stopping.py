"""Asked to stop at any step, the engine saves, stops in time, and goes on later as if it never had."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mlsession.errors import (
    Cancelled,
    Interrupted,
)
from mlsession.events import (
    CheckpointCommitted,
    JobStopping,
    PhaseStarted,
    SessionOpened,
)
from mlsession.session.identity import Identity
from mlsession.session.log.layout import stop_key
from mlsession.session.opening import OpenOptions, create_session, open_session
from mlsession.session.phase import PhaseState, Step
from mlsession.session.stop import StopFlag, StopKind
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import stored_bytes
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on, facts_of, outcome_of, unbroken
from tests.session.one_phase import OnePhase, a_step
from tests.session.stores import HookedStore

TASK = Walk(limit=10)


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

    def test_a_stop_ends_a_wait_for_a_save_that_hangs(self) -> None:
        space, forever, waiting = MemorySpace(), threading.Event(), threading.Event()
        attempt = attempt_on(space, interval=3)
        attempt.grace_seconds = 0.05

        def hang(operation: str, key: str) -> None:
            if operation == "put" and key.startswith("blobs/"):
                assert forever.wait(60)

        def ask() -> None:
            assert waiting.wait(60)
            attempt.stop.ask(StopKind.CANCELLED, "now", attempt.clock.monotonic())

        def on_step(turn: int) -> None:
            assert turn <= 6, "the phase did not wait for the save of step 3"
            if turn == 6:
                threading.Timer(0.05, waiting.set).start()

        asker = threading.Thread(target=ask)
        asker.start()
        attempt.open_store = lambda: HookedStore(MemoryStore(space), hang)
        with pytest.raises(Cancelled, match="now"):
            attempt.walk(Walk(limit=10, on_step=on_step))
        assert [event.reason for event in attempt.of(JobStopping)] == ["now"]
        asker.join(60)
        forever.set()
        assert attempt_on(space).walk(TASK) == unbroken(TASK)


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


def test_a_stop_while_waiting_for_an_earlier_writer_fences_nobody_out() -> None:
    store, stop = MemoryStore(), StopFlag()

    def interrupt(seconds: float) -> None:
        stop.ask(StopKind.INTERRUPTED, "signal", 0.0)

    clock = FakeClock(on_sleep=interrupt)
    create_session(store, clock, Identity(task="test"), {}, lambda event: None)
    open_session(store, clock, OpenOptions(), lambda event: None)
    before = stored_bytes(store)
    with pytest.raises(Interrupted, match="signal"):
        open_session(store, clock, OpenOptions(), lambda event: None, stop=stop)
    assert stored_bytes(store) == before
