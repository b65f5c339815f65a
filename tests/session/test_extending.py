"""Going on from an end: raised limits, other inputs, and sessions that have nothing left to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlsession.errors import (
    IncompatibleParameters,
)
from mlsession.events import (
    PhaseStarted,
)
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import Kind
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.invariants import stored_bytes
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, attempt_on, facts_of, unbroken
from tests.session.stores import CountingStore

TASK = Walk(limit=10)


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
