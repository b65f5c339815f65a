from __future__ import annotations

from pathlib import Path

import pytest

from mlsession.errors import NoUsableCheckpoint, SessionNotFound
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, attach, open_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.session.watching.status import Status
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import stored_bytes
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on
from tests.session.log.test_journal import ignore, stage
from tests.session.test_opening import created


def view_of(space: MemorySpace) -> TrainingSession:
    return TrainingSession(lambda: MemoryStore(space), SessionParameters("memory-store://"), FakeClock())


def test_a_session_that_is_not_there(tmp_path: Path) -> None:
    closed: list[str] = []

    class Closing(LocalStore):
        def close(self) -> None:
            closed.append(self.url)

    with pytest.raises(SessionNotFound):
        TrainingSession(lambda: Closing(tmp_path / "x"), SessionParameters(tmp_path / "x"))
    assert closed == [str(tmp_path / "x")]


def test_a_new_session_has_nothing_yet() -> None:
    space = MemorySpace()
    created(MemoryStore(space))
    with view_of(space) as session:
        assert (session.phase, session.iteration, session.status) == ("initialized", 0, Status.NEW)
        assert session.checkpoints == ()
        assert session.history == {}
        assert session.identity.task == "test"
        assert session.attachment("index") == b"rows"
        assert session.settings == {}
        assert repr(session) == "TrainingSession('memory-store://', new, phase='initialized', iteration=0)"


def test_a_finished_session_shows_what_it_has() -> None:
    space = MemorySpace()
    attempt_on(space).walk(Walk(limit=10))
    before = stored_bytes(MemoryStore(space))
    with view_of(space) as session:
        assert (session.phase, session.iteration, session.status) == ("summing", 2, Status.FINISHED)
        assert [(item.phase, item.iteration) for item in session.checkpoints] == [
            ("walking", 3),
            ("walking", 6),
            ("walking", 9),
            ("walking", 10),
            ("summing", 2),
        ]
        assert session.checkpoints[0].url == "memory-store://log/0000000002.json"
        assert session.checkpoints[-1].date <= session.date
        assert int(session.past.state("walking").arrays["done"]) == 10
    assert stored_bytes(MemoryStore(space)) == before


def test_a_picture_is_of_one_moment() -> None:
    space = MemorySpace()
    attempt_on(space).walk(Walk(limit=10))
    session = view_of(space)
    attempt_on(space).walk(Walk(limit=12))
    assert session.checkpoints[-1].number == 6
    session.refresh()
    assert (session.checkpoints[-1].phase, session.checkpoints[-1].number) == ("summing", 10)


def test_what_was_committed_as_of_a_checkpoint() -> None:
    space = MemorySpace()
    attempt_on(space).walk(Walk(limit=10))
    session = view_of(space)
    for checkpoint in session.checkpoints[:4]:
        past = session.at_checkpoint(checkpoint.number)
        assert int(past.state("walking").arrays["done"]) == checkpoint.iteration
        assert sum(len(block["turn"]) for block in past.rows("walking")) == sum(
            turn % 4 for turn in range(checkpoint.iteration + 1)
        )


@pytest.mark.parametrize("number", [-1, 0, 1, 7, 8, 9_999_999_999])
def test_what_is_no_checkpoint(number: int) -> None:
    space = MemorySpace()
    attempt_on(space).walk(Walk(limit=10))
    with pytest.raises(
        NoUsableCheckpoint, match=rf"memory-store:// has no checkpoint {number}; `mlsession status` lists"
    ):
        view_of(space).at_checkpoint(number)


def test_settings_and_attachments_are_those_of_the_newest_attempt() -> None:
    space = MemorySpace()
    store = MemoryStore(space)
    created(store)
    options = OpenOptions(
        stale_after=0, settings={"iterations": 7}, attachments={"test": attach(store, b"test images")}
    )
    writer, _ = open_session(store, FakeClock(), options, ignore)
    writer.commit(stage(1))
    writer.close(Outcome.PAUSED, "")
    session = view_of(space)
    assert session.settings == {"iterations": 7}
    assert session.attachment("test") == b"test images"
    assert session.attachment("index") == b"rows"
    assert session.status is Status.PAUSED
    with pytest.raises(KeyError):
        session.attachment("other")
    open_session(store, FakeClock(), OpenOptions(), ignore)[0].close(Outcome.PAUSED, "")
    session.refresh()
    assert session.settings == {}
    with pytest.raises(KeyError):
        session.attachment("test")
