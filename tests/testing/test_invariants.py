"""The oracle notices what it is there to notice, on stores that tear as well."""

from __future__ import annotations

import pytest

from mlsession.errors import DamagedData
from mlsession.session.log.layout import record_key
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.faults import Fault, FaultyStore, Operation, Process, ProcessDied, only
from mlsession.testing.invariants import InvariantBroken, check_session
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, attempt_on


def torn_at(number: int) -> MemorySpace:
    """A session whose record `number` a kill left half-written, and that was finished then."""
    space = MemorySpace()
    process = Process(only(lambda call: Fault.CRASH_HALFWAY, {Operation.CREATE}, record_key(number)))
    with pytest.raises(ProcessDied):
        Attempt(open_store=lambda: FaultyStore(MemoryStore(space), process, tears=True)).walk(Walk(limit=6))
    attempt_on(space).walk(Walk(limit=6))
    return space


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_torn_records_are_borne_if_one_is_told_of_them(number: int) -> None:
    store = MemoryStore(torn_at(number))
    facts = check_session(store, torn={number})
    assert facts is not None
    assert number not in {record.number for record in facts.records}
    assert facts.records[-1].body["outcome"] == "finished"
    with pytest.raises(DamagedData):
        check_session(store)


def test_a_whole_record_is_not_torn() -> None:
    space = MemorySpace()
    attempt_on(space).walk(Walk(limit=6))
    with pytest.raises(InvariantBroken, match="record 2 should be torn, and is whole"):
        check_session(MemoryStore(space), torn={2})


def test_nothing_builds_on_a_torn_record() -> None:
    space = MemorySpace()
    attempt_on(space).walk(Walk(limit=6))
    store = MemoryStore(space)
    store.put(record_key(2), store.get(record_key(2))[:100])
    with pytest.raises(InvariantBroken):
        check_session(store, torn={2})


def test_a_log_of_torn_records_is_no_session() -> None:
    store = MemoryStore()
    store.put(record_key(0), b"{")
    assert check_session(store, torn={0}) is None
