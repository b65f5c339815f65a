from __future__ import annotations

from pathlib import Path

import pytest

from mlsession.errors import ForeignFiles, SessionInUse, SessionNotFound
from mlsession.events import Event, WaitingForWriter
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import heartbeat_key, record_key
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, open_session
from mlsession.session.policy import EveryIterations
from mlsession.session.upkeep.deletion import delete_session, deletion_order
from mlsession.store.keys import temporary_name
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.testing.clock import FakeClock
from mlsession.testing.faults import Fault, FaultyStore, Operation, Process
from mlsession.testing.invariants import stored_bytes
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, attempt_on, unbroken
from tests.session.stores import Crash, Fate, MortalStore


def ignore(event: Event) -> None:
    return


def finished() -> MemorySpace:
    space = MemorySpace()
    attempt_on(space).walk(Walk())
    return space


def test_nothing_of_a_session_is_left() -> None:
    store = MemoryStore(finished())
    before = stored_bytes(store)
    deleted = delete_session(store, FakeClock(), 20.0, ignore)
    assert stored_bytes(store) == {}
    assert deleted.num_files == len(before) + 1  # and the record that kept others out
    assert deleted.size_bytes > sum(map(len, before.values()))
    assert deleted.kept == ()
    assert attempt_on(MemorySpace()).walk(Walk()) == unbroken(Walk())


def test_a_folder_can_be_used_again() -> None:
    space = finished()
    delete_session(MemoryStore(space), FakeClock(), 20.0, ignore)
    assert attempt_on(space).walk(Walk(seed=5)) == unbroken(Walk(seed=5))


def test_foreign_files_stay() -> None:
    store = MemoryStore(finished())
    mine = {"notes.txt": b"mine", "log/readme.md": b"mine", "logs/0000000001.json": b"mine"}
    for key, data in mine.items():
        store.put(key, data)
    deleted = delete_session(store, FakeClock(), 20.0, ignore)
    assert stored_bytes(store) == mine
    assert deleted.kept == tuple(sorted(mine))


def test_a_folder_without_a_session_is_left_alone() -> None:
    store = MemoryStore(MemorySpace())
    store.put("status.json", b"mine")
    with pytest.raises(SessionNotFound):
        delete_session(store, FakeClock(), 20.0, ignore)
    store.put("notes.txt", b"mine")
    with pytest.raises(ForeignFiles):
        delete_session(store, FakeClock(), 20.0, ignore)
    assert stored_bytes(store) == {"status.json": b"mine", "notes.txt": b"mine"}


def test_a_living_writer_is_not_robbed() -> None:
    store = MemoryStore(finished())
    writer, _ = open_session(store, FakeClock(), OpenOptions(), ignore)
    before = stored_bytes(store)
    beats = 0

    def beat(seconds: float) -> None:
        nonlocal beats
        beats += 1
        store.put(heartbeat_key(writer.opening), str(beats).encode())

    events: list[Event] = []
    with pytest.raises(SessionInUse):
        delete_session(store, FakeClock(on_sleep=beat), 20.0, events.append)
    assert [type(event) for event in events] == [WaitingForWriter]
    store.delete(heartbeat_key(writer.opening))
    assert {key: data for key, data in stored_bytes(store).items() if key in before} == before
    writer.close(Outcome.PAUSED, "")
    delete_session(store, FakeClock(), 20.0, ignore)
    assert stored_bytes(store) == {}


@pytest.mark.parametrize("after", [False, True])
def test_cut_short_anywhere_the_same_call_goes_on(after: bool) -> None:
    for at in range(1, 1000):
        space, fate = finished(), Fate(at, after)
        try:
            delete_session(MortalStore(space, fate), FakeClock(), 1.0, ignore)
        except Crash:
            store: Store = MemoryStore(space)
            if stored_bytes(store) == {}:
                continue  # It died after the very last call.
            assert Journal(store).load() is not None
            delete_session(store, FakeClock(), 1.0, ignore)
            assert stored_bytes(store) == {}
        else:
            assert at > 10
            return
    raise AssertionError("it never ended")


def test_a_session_with_an_index_is_deleted_from_any_point() -> None:
    space = MemorySpace()
    Attempt(open_store=lambda: MemoryStore(space), policy=EveryIterations(iterations=1)).walk(Walk(limit=90))
    fate = Fate(100, False)
    with pytest.raises(Crash):
        delete_session(MortalStore(space, fate), FakeClock(), 1.0, ignore)
    delete_session(MemoryStore(space), FakeClock(), 1.0, ignore)
    assert stored_bytes(MemoryStore(space)) == {}


def test_the_newest_records_go_first_and_record_0_last() -> None:
    keys = [record_key(number) for number in range(4)] + ["blobs/0000000001/x", "heartbeat/0000000001"]
    assert deletion_order(keys, 3) == (
        record_key(2),
        record_key(1),
        "blobs/0000000001/x",
        "heartbeat/0000000001",
        record_key(3),
        record_key(0),
    )


def test_a_listing_that_lags_behind_leaves_no_record() -> None:
    space = finished()
    process = Process(lambda call: Fault.STALE_LISTING if call.operation is Operation.LIST else None, stale_keys=7)
    delete_session(FaultyStore(MemoryStore(space), process), FakeClock(), 20.0, ignore)
    assert not [key for key in stored_bytes(MemoryStore(space)) if key.startswith("log/")]
    assert attempt_on(space).walk(Walk()) == unbroken(Walk())
    delete_session(MemoryStore(space), FakeClock(), 20.0, ignore)
    assert stored_bytes(MemoryStore(space)) == {}


def test_of_a_local_folder_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "parent" / "session"
    Attempt(open_store=lambda: LocalStore(folder)).walk(Walk())
    # What a killed writer leaves behind half-written.
    (folder / "log" / temporary_name(7)).write_bytes(b"half")
    (folder / "blobs" / "0000000009").mkdir()
    delete_session(LocalStore(folder), FakeClock(), 20.0, ignore)
    assert not folder.exists()
    assert folder.parent.exists()


def test_foreign_files_and_folders_keep_a_local_folder(tmp_path: Path) -> None:
    Attempt(open_store=lambda: LocalStore(tmp_path)).walk(Walk())
    (tmp_path / "log" / "readme.md").write_text("mine")
    (tmp_path / "empty").mkdir()
    delete_session(LocalStore(tmp_path), FakeClock(), 20.0, ignore)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["empty", "log", "log/readme.md"]
