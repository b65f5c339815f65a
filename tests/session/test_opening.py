"""Creating a session, and who may write it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlsession.errors import (
    DamagedData,
    ForeignFiles,
    SessionInUse,
    SessionNotFound,
    SessionTakenOver,
    StoreUnavailable,
)
from mlsession.events import Event, SessionCreated, SessionOpened, Unprotected, WaitingForWriter
from mlsession.randomness import keyed_generator
from mlsession.session.identity import Identity
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.canonical import canonical_json
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import heartbeat_key, is_ours, record_key
from mlsession.session.log.records import Kind, Outcome
from mlsession.session.opening import OpenOptions, attach, create_session, find_session, open_session, require_session
from mlsession.session.upkeep.deletion import delete_session
from mlsession.session.watching.liveness import ProcessIdentity, start_time_of, this_process
from mlsession.session.writer import SessionWriter
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.store.retrying import Backoff, RetryingStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.faults import Fault, FaultyStore, Operation, Process, ProcessDied, only
from mlsession.testing.invariants import check_session, stored_bytes
from tests.session.log.test_journal import stage
from tests.session.stores import CountingStore, HookedStore, LostReplyStore, WrappedStore

IDENTITY = Identity(task="test", parameters={"seed": 1}, numerics={"threads": 2})
ELSEWHERE = ProcessIdentity(host="elsewhere", pid=77, boot_id="other", pid_namespace="x", start_time="1")


def created(store: Store) -> list[Event]:
    events: list[Event] = []
    create_session(store, FakeClock(), IDENTITY, {"index": b"rows"}, events.append)
    return events


def opened(
    store: Store, options: OpenOptions | None = None, clock: FakeClock | None = None
) -> tuple[SessionWriter, list[Event]]:
    events: list[Event] = []
    writer, _ = open_session(store, clock or FakeClock(), options or OpenOptions(stale_after=0), events.append)
    return writer, events


def opened_elsewhere(store: Store, process: ProcessIdentity = ELSEWHERE) -> SessionWriter:
    """A session that a process of another machine has open."""
    created(store)
    return opened_elsewhere_again(store, process)


def opened_elsewhere_again(store: Store, process: ProcessIdentity = ELSEWHERE) -> SessionWriter:
    """The same, of a session that is there."""
    writer, _ = opened(store)
    body = {**writer.timeline.opened.body, "process": process.to_json()}
    record = replace(writer.timeline.opened, body=body)
    store.put(record_key(record.number), record.encode())
    return SessionWriter(store, FakeClock(), require_session(store), record.writer)


class TestCreating:
    def test_record_0_says_what_the_session_is(self) -> None:
        store = MemoryStore()
        events = created(store)
        assert events == [SessionCreated(url=store.url)]
        state = require_session(store)
        identity = Identity.from_record(state.timeline.opened)
        assert identity.exclusive
        assert (identity.task, identity.parameters, identity.numerics) == ("test", {"seed": 1}, {"threads": 2})
        assert read_blob(store, identity.attachments["index"]) == b"rows"
        assert state.timeline.opened.kind is Kind.CREATED
        assert all(is_ours(key) for key in store.space.values)
        assert not any(key.startswith("probe/") for key in store.space.values)

    def test_a_missing_or_empty_folder_is_no_session(self, tmp_path: Path) -> None:
        for store in (MemoryStore(), LocalStore(tmp_path), LocalStore(tmp_path / "missing")):
            assert find_session(store) is None
            with pytest.raises(SessionNotFound, match=r"no session at .*; check the path, or start one"):
                require_session(store)
        assert not (tmp_path / "missing").exists()

    def test_foreign_files_are_refused_and_not_touched(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("years of work")
        (tmp_path / "log").mkdir()
        (tmp_path / "log" / "notes.txt").write_text("mine")
        store = CountingStore(LocalStore(tmp_path))
        for _ in range(2):
            with pytest.raises(ForeignFiles, match=r"holds (thesis\.tex|log/notes\.txt), .*nothing was touched"):
                find_session(store)
        assert set(store.calls) <= {"list", "get"}
        assert sorted(path.name for path in tmp_path.rglob("*.t*")) == ["notes.txt", "thesis.tex"]

    def test_foreign_files_beside_a_session_do_not_matter(self) -> None:
        store = MemoryStore()
        created(store)
        store.put("readme.txt", b"mine")
        opened(store)
        assert store.get("readme.txt") == b"mine"

    def test_a_folder_that_a_killed_creator_left_is_created_anew(self) -> None:
        store = MemoryStore()
        created(store)
        store.delete(record_key(0))
        store.put("probe/left-over", b"")
        assert find_session(store) is None
        assert created(store) == [SessionCreated(url=store.url)]
        assert store.get("probe/left-over") == b""

    def test_a_log_whose_beginning_is_lost_is_no_new_session(self) -> None:
        store = MemoryStore()
        created(store)
        opened(store)
        store.delete(record_key(0))
        store.delete(record_key(1))
        store.put(record_key(2), b"?")
        with pytest.raises(DamagedData, match="restore the folder from a copy"):
            find_session(store)

    def test_records_that_kills_cut_short_at_the_very_beginning_are_passed_over(self) -> None:
        """On a store that tears, a kill may leave record 0 half-written, and further kills what came in its place."""
        for crashes in range(1, 5):
            space, clock = MemorySpace(), FakeClock()
            for number in range(crashes):
                halfway = only(lambda call: Fault.CRASH_HALFWAY, {Operation.CREATE}, record_key(number))
                process = Process(halfway)
                with pytest.raises(ProcessDied):
                    created(FaultyStore(MemoryStore(space), process, tears=True))
            store = MemoryStore(space)
            torn = {record_key(number): store.get(record_key(number)) for number in range(crashes)}
            assert find_session(store) is None
            assert created(store) == [SessionCreated(url=store.url)]
            assert {key: store.get(key) for key in torn} == torn, "no number is written again"
            state = require_session(store)
            identity = Identity.from_record(state.timeline.opened)
            assert (identity.task, identity.parameters) == ("test", {"seed": 1})
            assert read_blob(store, identity.attachments["index"]) == b"rows"
            writer, state = open_session(store, clock, OpenOptions(), lambda event: None)
            assert clock.monotonic() == 0.0, "nobody can have it open"
            assert writer.opening == crashes + 2
            writer.commit(stage(1))
            assert require_session(store).timeline.newest["training"].iteration == 1

    def test_of_two_creators_after_a_cut_one_wins(self) -> None:
        space = MemorySpace()
        MemoryStore(space).put(record_key(0), b'{"format":1,')

        def race(operation: str, key: str) -> None:
            if (operation, key) == ("create", record_key(1)):
                created(MemoryStore(space))

        late: list[Event] = []
        other = replace(IDENTITY, parameters={"seed": 2})
        state = create_session(HookedStore(MemoryStore(space), race), FakeClock(), other, {}, late.append)
        assert late == []
        assert Identity.from_record(state.timeline.opened).parameters == {"seed": 1}

    def test_a_session_that_has_saved_something_is_never_made_anew(self) -> None:
        store = MemoryStore()
        created(store)
        opened(store)[0].commit(stage(1))
        for number in range(3):
            store.put(record_key(number), store.get(record_key(number))[:40])
        for _ in range(2):
            with pytest.raises(DamagedData, match="restore the folder from a copy"):
                find_session(store)
            with pytest.raises(DamagedData):
                created(store)
        assert len(list(store.list("log"))) == 3

    def test_a_lost_reply_to_record_0_is_success(self) -> None:
        inner = MemoryStore()
        store = RetryingStore(LostReplyStore(inner, lambda key: True), FakeClock(), Backoff(), lambda *arguments: None)
        assert created(store) == [SessionCreated(url=store.url)]
        check_session(inner)

    def test_the_second_creator_gets_the_session_of_the_first(self) -> None:
        space = MemorySpace()
        first = MemoryStore(space)

        def race(operation: str, key: str) -> None:
            if (operation, key) == ("create", record_key(0)):
                created(first)

        late: list[Event] = []
        other = replace(IDENTITY, parameters={"seed": 2})
        state = create_session(HookedStore(MemoryStore(space), race), FakeClock(), other, {}, late.append)
        assert late == []
        assert Identity.from_record(state.timeline.opened).parameters == {"seed": 1}

    def test_a_store_without_exclusive_create_is_used_with_a_warning(self) -> None:
        class CarelessStore(WrappedStore):
            def put_if_absent(self, key: str, data: bytes) -> None:
                self.inner.put(key, data)

        store = CarelessStore(MemoryStore())
        created(store)
        assert not Identity.from_record(require_session(store).timeline.opened).exclusive
        _, events = opened(store)
        assert Unprotected(url=store.url) in events
        assert Unprotected(url="memory-store://") not in opened_events_of_a_good_store()


def opened_events_of_a_good_store() -> list[Event]:
    store = MemoryStore()
    created(store)
    return opened(store)[1]


class TestOpening:
    def test_the_first_opening_needs_no_wait(self) -> None:
        store, clock = MemoryStore(), FakeClock()
        created(store)
        writer, events = opened(store, OpenOptions(settings={"limit": 3}), clock)
        assert clock.monotonic() == 0
        assert events == [SessionOpened(url=store.url, phase="initialized", iteration=0)]
        assert writer.opening == 1
        body = writer.timeline.opened.body
        assert Identity.from_record(writer.timeline.opened) == Identity.from_record(Journal(store).read(0))
        assert body["settings"] == {"limit": 3}
        assert ProcessIdentity.from_json(body["process"]) == this_process()

    def test_opening_what_is_not_there_fails(self) -> None:
        store = MemoryStore()
        with pytest.raises(SessionNotFound):
            opened(store)
        assert store.space.values == {}

    def test_it_says_where_it_goes_on(self) -> None:
        store = MemoryStore()
        created(store)
        opened(store)[0].commit(stage(1))
        _, events = opened(store)
        assert events[-1] == SessionOpened(url=store.url, phase="training", iteration=1)

    def test_a_moving_heartbeat_refuses_and_writes_nothing(self) -> None:
        store = MemoryStore()
        opened_elsewhere(store)
        before = stored_bytes(store)
        beats = iter(range(1_000))
        clock = FakeClock(on_sleep=lambda seconds: store.put(heartbeat_key(1), b"%d" % next(beats)))
        with pytest.raises(SessionInUse) as raised:
            opened(store, OpenOptions(), clock)
        assert (raised.value.host, raised.value.pid) == ("elsewhere", 77)
        assert "process 77 on elsewhere since 2026-01-01 00:00:00 UTC" in str(raised.value)
        assert f"`mlsession stop {store.url}`" in str(raised.value)
        assert "--take-over" in str(raised.value)
        with pytest.raises(SessionInUse) as raised:
            delete_session(store, clock, 20.0, lambda event: None)
        assert f"`mlsession stop {store.url}`" in str(raised.value)
        assert "--take-over" not in str(raised.value), "who deletes cannot"
        store.delete(heartbeat_key(1))
        assert stored_bytes(store) == before
        assert clock.monotonic() < 2

    def test_a_still_heartbeat_is_waited_for_on_our_own_clock(self) -> None:
        store, clock = MemoryStore(), FakeClock()
        opened_elsewhere(store)
        # Dated far in the future by a machine whose clock is wrong: only whether it moves counts.
        store.put(heartbeat_key(1), canonical_json({"date": "2999-01-01T00:00:00+00:00"}))
        writer, events = opened(store, OpenOptions(stale_after=20), clock)
        assert events[0] == WaitingForWriter(host="elsewhere", pid=77, seconds=20)
        assert 20 <= clock.monotonic() < 21
        assert writer.opening == 2
        check_session(store)

    @pytest.mark.parametrize("outcome", list(Outcome))
    def test_one_that_ends_meanwhile_is_not_waited_for_any_longer(self, outcome: Outcome) -> None:
        store = MemoryStore()
        older = opened_elsewhere(store)

        def end(seconds: float) -> None:
            if clock.monotonic() > 3 and older.timeline.closed is None:
                older.commit(stage(1))
                older.close(outcome, "")

        clock = FakeClock(on_sleep=end)
        writer, events = opened(store, OpenOptions(stale_after=20), clock)
        assert 3 < clock.monotonic() < 4
        assert [type(event) for event in events] == [WaitingForWriter, SessionOpened]
        assert (writer.opening, writer.timeline.newest["training"].iteration) == (4, 1)
        check_session(store)

    def test_one_that_commits_meanwhile_is_alive(self) -> None:
        store = MemoryStore()
        older = opened_elsewhere(store)

        def commit(seconds: float) -> None:
            if clock.monotonic() >= 3:
                older.commit(stage(1))

        clock = FakeClock(on_sleep=commit)
        with pytest.raises(SessionInUse):
            opened(store, OpenOptions(stale_after=20), clock)
        assert 3 <= clock.monotonic() < 4

    def test_what_happened_before_the_watch_is_no_sign_of_life(self) -> None:
        store, clock = MemoryStore(), FakeClock()
        older = opened_elsewhere(store)
        known = require_session(store)
        older.commit(stage(1))
        open_session(store, clock, OpenOptions(stale_after=20), lambda event: None, known)
        assert 20 <= clock.monotonic() < 21
        newer = opened_elsewhere_again(store)
        known = require_session(store)
        newer.close(Outcome.PAUSED, "")
        before = clock.monotonic()
        open_session(store, clock, OpenOptions(stale_after=20), lambda event: None, known)
        assert clock.monotonic() == before, "it had said by then that it ends"

    def test_another_one_that_opens_meanwhile_is_watched_in_its_turn(self) -> None:
        store = MemoryStore()
        opened_elsewhere(store)
        rivals: list[SessionWriter] = []

        def race(seconds: float) -> None:
            if clock.monotonic() > 3 and not rivals:
                rivals.append(opened(store, OpenOptions(take_over=True))[0])

        clock = FakeClock(on_sleep=race)
        writer, events = opened(store, OpenOptions(stale_after=20), clock)
        assert [type(event) for event in events] == [WaitingForWriter, WaitingForWriter, SessionOpened]
        assert (rivals[0].opening, writer.opening) == (2, 3)
        assert 23 < clock.monotonic() < 24.1

    def test_take_over_does_not_wait(self) -> None:
        store, clock = MemoryStore(), FakeClock()
        older = opened_elsewhere(store)
        writer, events = opened(store, OpenOptions(take_over=True), clock)
        assert clock.monotonic() == 0
        assert not [event for event in events if isinstance(event, WaitingForWriter)]
        with pytest.raises(SessionTakenOver):
            older.commit(stage(1))
        assert writer.commit(stage(1))[0].iteration == 1

    @pytest.mark.parametrize("outcome", list(Outcome))
    def test_a_closed_session_needs_no_wait(self, outcome: Outcome) -> None:
        store, clock = MemoryStore(), FakeClock()
        created(store)
        opened(store)[0].close(outcome, "")
        opened(store, OpenOptions(), clock)
        assert clock.monotonic() == 0

    @pytest.mark.skipif(not start_time_of(os.getpid()), reason="this system has no /proc")
    def test_a_killed_process_of_this_machine_needs_no_wait(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        process = replace(this_process(), pid=child.pid, start_time=start_time_of(child.pid) or "")
        child.kill()
        child.communicate()
        store, clock = MemoryStore(), FakeClock()
        opened_elsewhere(store, process)
        opened(store, OpenOptions(), clock)
        assert clock.monotonic() == 0

    @pytest.mark.skipif(not start_time_of(os.getpid()), reason="this system has no /proc")
    def test_this_very_process_is_alive(self) -> None:
        store, clock = MemoryStore(), FakeClock()
        created(store)
        opened(store)
        _, events = opened(store, OpenOptions(stale_after=20), clock)
        assert [type(event) for event in events] == [WaitingForWriter, SessionOpened]
        assert clock.monotonic() >= 20

    def test_losing_the_race_means_looking_again(self) -> None:
        space = MemorySpace()
        created(MemoryStore(space))
        rivals: list[SessionWriter] = []

        def race(operation: str, key: str) -> None:
            if operation == "create" and len(rivals) < 2:
                rivals.append(opened(MemoryStore(space))[0])

        beats = iter(range(1_000))
        clock = FakeClock(on_sleep=lambda seconds: MemoryStore(space).put(heartbeat_key(1), b"%d" % next(beats)))
        # The winner's heart beats, so the loser is refused ...
        with pytest.raises(SessionInUse):
            opened(HookedStore(MemoryStore(space), race), OpenOptions(stale_after=20), clock)
        # ... and with take_over it opens after the winner instead.
        writer, _ = opened(HookedStore(MemoryStore(space), race), OpenOptions(take_over=True), clock)
        assert [rival.opening for rival in rivals] == [1, 2]
        assert writer.opening == 3
        check_session(MemoryStore(space))

    def test_an_outdated_look_is_looked_at_again(self) -> None:
        store = MemoryStore()
        created(store)
        known = require_session(store)
        opened(store)[0].commit(stage(1))
        options = OpenOptions(take_over=True)
        writer, state = open_session(store, FakeClock(), options, lambda event: None, known)
        assert (writer.opening, state.timeline.newest["training"].iteration) == (3, 1)
        check_session(store)

    @pytest.mark.parametrize("commits", [3, 60, 63, 64, 200])
    def test_taking_over_from_a_writer_that_commits_without_a_pause(self, commits: int) -> None:
        """It commits with every 4 to 7 of our calls, as long as its own take (put, get, look, create)."""
        space, random = MemorySpace(), keyed_generator(commits, "hammer")
        created(MemoryStore(space))
        rival, _ = opened(MemoryStore(space))
        for iteration in range(1, commits + 1):
            rival.commit(stage(iteration))
        before, iterations, left = rival.timeline.tip.number, itertools.count(commits + 1), 4
        assert before == commits + 1

        def hammer(operation: str, key: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                left = int(random.integers(4, 8))
                rival.commit(stage(next(iterations)))

        writer, _ = opened(HookedStore(MemoryStore(space), hammer), OpenOptions(take_over=True))
        assert writer.opening > before + 1, "no race was lost, so this shows nothing"
        with pytest.raises(SessionTakenOver):
            rival.commit(stage(next(iterations)))
        facts = check_session(MemoryStore(space))
        assert facts is not None
        assert facts.checkpoints[-1].number == writer.opening - 1, "all that it committed is kept"

    def test_what_is_caught_up_with_is_what_reading_the_whole_log_gives(self) -> None:
        space = MemorySpace()
        created(MemoryStore(space))
        rival, _ = opened(MemoryStore(space))
        for iteration in range(1, 90):
            known = require_session(MemoryStore(space))
            for step in range(iteration % 3):
                rival.commit(stage(iteration * 3 + step))
            options = OpenOptions(take_over=True)
            writer, state = open_session(MemoryStore(space), FakeClock(), options, lambda event: None, known)
            assert writer.opening == state.end + 1
            whole = Journal(MemoryStore(space)).load(state.end)
            assert whole is not None
            assert replace(state.timeline, opened=whole.timeline.opened) == whole.timeline
            rival = writer
        check_session(MemoryStore(space))

    def test_a_lost_reply_to_opened_is_success(self) -> None:
        inner = MemoryStore()
        created(inner)
        lost = LostReplyStore(inner, lambda key: key.startswith("log/"))
        store = RetryingStore(lost, FakeClock(), Backoff(), lambda *arguments: None)
        writer, _ = opened(store)
        assert lost.lost == [record_key(1)]
        assert writer.opening == 1
        entry, _ = writer.commit(stage(1))
        assert (entry.number, lost.lost) == (2, [record_key(1), record_key(2)])
        facts = check_session(inner)
        assert facts is not None
        assert [record.kind for record in facts.records] == [Kind.CREATED, Kind.OPENED, Kind.CHECKPOINT]

    def test_a_lost_reply_to_a_record_that_another_made_is_fencing(self) -> None:
        inner = MemoryStore()
        created(inner)
        writer, _ = opened(inner)
        rivals: list[SessionWriter] = []

        def overtake(operation: str, key: str) -> None:
            if (operation, key) == ("create", record_key(2)) and not rivals:
                rivals.append(opened(inner, OpenOptions(take_over=True))[0])
                raise StoreUnavailable("no answer", key)

        store = RetryingStore(HookedStore(inner, overtake), FakeClock(), Backoff(), lambda *arguments: None)
        late = SessionWriter(store, FakeClock(), require_session(inner), writer.timeline.opened.writer)
        with pytest.raises(SessionTakenOver):
            late.commit(stage(1))
        assert rivals[0].commit(stage(1))[0].number == 3
        facts = check_session(inner)
        assert facts is not None
        assert [record.kind for record in facts.records[2:]] == [Kind.OPENED, Kind.CHECKPOINT]


class TestAttaching:
    def test_what_is_there_is_never_written_again(self) -> None:
        """On a store that tears, a kill in the midst of that would take what a session rests on."""
        store = MemoryStore()
        ref = attach(store, b"rows")

        def refuse(operation: str, key: str) -> None:
            assert operation == "get", f"{operation} {key}"

        assert attach(HookedStore(store, refuse), b"rows") == ref

    @pytest.mark.parametrize("left", [b"", b"ro", b"rowsrows", b"ROWS", None])
    def test_what_is_missing_or_torn_is(self, left: bytes | None) -> None:
        store = MemoryStore()
        ref = attach(store, b"rows")
        store.delete(ref.key)
        if left is not None:
            store.put(ref.key, left)
        assert attach(store, b"rows") == ref
        assert read_blob(store, ref) == b"rows"


class TestFencing:
    def test_an_older_writer_can_do_no_more_harm(self) -> None:
        space = MemorySpace()
        created(MemoryStore(space))
        older, _ = opened(MemoryStore(space))
        older.commit(stage(1))
        newer, _ = opened(MemoryStore(space))
        newer.commit(stage(2))
        before = {key: data for key, data in stored_bytes(MemoryStore(space)).items() if key.startswith("log/")}
        with pytest.raises(SessionTakenOver, match="this job writes nothing more, and what it had committed is kept"):
            older.commit(stage(2, rows=5))
        with pytest.raises(SessionTakenOver):
            older.close(Outcome.FINISHED, "")
        with pytest.raises(SessionTakenOver):
            older.step_back(2)
        after = {key: data for key, data in stored_bytes(MemoryStore(space)).items() if key.startswith("log/")}
        assert after == before
        newer.commit(stage(3))
        facts = check_session(MemoryStore(space))
        assert facts is not None
        assert [entry.iteration for entry in facts.checkpoints] == [1, 2, 3]

    def test_a_commit_that_wins_the_race_is_kept_by_the_newer_writer(self) -> None:
        space = MemorySpace()
        created(MemoryStore(space))
        older, _ = opened(MemoryStore(space))
        committed: list[int] = []

        def race(operation: str, key: str) -> None:
            if (operation, key) == ("create", record_key(2)):
                committed.append(older.commit(stage(1))[0].number)

        newer, _ = opened(HookedStore(MemoryStore(space), race), OpenOptions(take_over=True))
        assert committed == [2]
        assert newer.timeline.newest["training"].number == 2
        facts = check_session(MemoryStore(space))
        assert facts is not None
        assert [record.kind for record in facts.timeline[2:]] == [Kind.CHECKPOINT, Kind.OPENED]
