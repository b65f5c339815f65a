"""A log that is made long in one go is one that a writer could have written."""

from __future__ import annotations

import pytest

from mlsession.errors import InvalidParameter
from mlsession.session.log.records import Kind
from mlsession.store import MemoryStore
from mlsession.testing.invariants import check_session
from mlsession.testing.long_log import lengthen_log
from tests.session.log.test_journal import session_of


def test_it_repeats_the_newest_checkpoint() -> None:
    store, written = session_of(2), list[str]()

    def put(key: str, data: bytes) -> None:
        written.append(key)
        store.put(key, data)

    lengthen_log(store, 70, put)
    facts = check_session(store)
    assert facts is not None
    assert [record.kind for record in facts.records[4:]] == [Kind.OPENED, *[Kind.CHECKPOINT] * 70, Kind.CLOSED]
    assert [entry.iteration for entry in facts.checkpoints] == list(range(1, 73))
    assert len({entry.metrics["accuracy"] for entry in facts.checkpoints[2:]}) == 70
    assert len({entry.state.sha256 for entry in facts.checkpoints[1:]}) == 1
    assert len(set(written)) == len(written)
    assert sum(key.startswith("log/") for key in written) == 72


def test_there_must_be_one() -> None:
    for store in (MemoryStore(), session_of(0)):
        with pytest.raises(InvalidParameter, match="no session with a checkpoint"):
            lengthen_log(store, 1)
