"""Removing checkpoints: what goes, what stays, and that a crash at any point harms neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mlsession.errors import DamagedData, NoUsableCheckpoint, SessionInUse, SessionTakenOver, StoreDenied
from mlsession.events import Event, WaitingForWriter
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import heartbeat_key, record_key, record_of
from mlsession.session.log.records import CheckpointEntry, Kind, Outcome
from mlsession.session.opening import OpenOptions, open_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.session.upkeep.removal import MOST_CHECKPOINTS, MOST_KEYS, Remover, leftover_keys, plan_removals
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import check_session, stored_bytes
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on, facts_of, outcome_of, unbroken
from tests.session.log.test_journal import ignore, load, stage, writer_of
from tests.session.log.values import blob
from tests.session.stores import Crash, Fate, HookedStore, LostReplyStore, MortalStore
from tests.session.test_retention import commit

Predicate = Callable[[Checkpoint], bool]


def anything(checkpoint: Checkpoint) -> bool:
    return True


def view_of(space: MemorySpace, open_store: Callable[[], Store] | None = None) -> TrainingSession:
    return TrainingSession(open_store or (lambda: MemoryStore(space)), SessionParameters("m"), FakeClock())


def walked(limit: int = 10, interval: int = 1) -> MemorySpace:
    space = MemorySpace()
    attempt_on(space, interval).walk(Walk(limit=limit))
    return space


def two_runs() -> MemorySpace:
    """Records 2 to 5 are a run of four checkpoints with rows each, 6 to 8 one that started over; paused."""
    store = MemoryStore()
    writer = writer_of(store)
    for iteration in (1, 2, 3, 4, 1, 2, 3):
        writer.commit(stage(iteration))
    writer.close(Outcome.PAUSED, "enough")
    return store.space


def numbers(checkpoints: tuple[Checkpoint, ...]) -> list[int]:
    return [checkpoint.number for checkpoint in checkpoints]


def blob_numbers(space: MemorySpace) -> list[int]:
    """The records that the blobs were written for, once for each blob."""
    return sorted(record_of(key) or 0 for key in space.values if key.startswith("blobs/"))


def test_all_that_can_go() -> None:
    space = walked()
    session = view_of(space)
    before = session.checkpoints
    gone = session.remove_checkpoints(anything)
    # Walking saved after each of 10 steps, summing after each of 2; what was put out is still built upon.
    assert numbers(gone) == [*range(2, 11), 12]
    assert [(item.phase, item.iteration) for item in session.checkpoints] == [("walking", 10), ("summing", 2)]
    assert session.checkpoints == tuple(item for item in before if item not in gone)
    assert sum(len(block["turn"]) for block in session.past.rows("walking")) == sum(n % 4 for n in range(11))
    assert session.verify(deep=True).is_whole
    assert session.remove_checkpoints(anything) == ()


def test_what_was_extracted_stays_while_a_checkpoint_builds_on_it() -> None:
    space = two_runs()
    session = view_of(space)
    assert blob_numbers(space) == sorted([2, 3, 4, 5, 6, 7, 8] * 2)
    assert numbers(session.remove_checkpoints(lambda item: item.number == 5)) == [5]
    assert blob_numbers(space) == sorted([2, 3, 4, 6, 7, 8] * 2)
    assert numbers(session.remove_checkpoints(lambda item: item.number == 3)) == [3]
    assert blob_numbers(space) == sorted([2, 4, 6, 7, 8] * 2 + [3])
    rows = [row for block in session.at_checkpoint(4).rows("training") for row in block["row"].tolist()]
    assert rows == [1, 2, 3]
    assert numbers(session.remove_checkpoints(lambda item: item.number in (4, 6))) == [4, 6]
    assert blob_numbers(space) == sorted([2, 7, 8] * 2 + [6])
    assert numbers(session.remove_checkpoints(anything)) == [2, 7]
    assert blob_numbers(space) == [6, 7, 8, 8]
    facts_of(space)
    assert session.verify(deep=True).is_whole


def test_at_once_it_comes_to_the_same() -> None:
    space = two_runs()
    assert numbers(view_of(space).remove_checkpoints(anything)) == [2, 3, 4, 5, 6, 7]
    assert blob_numbers(space) == [6, 7, 8, 8]
    facts_of(space)


def test_a_finished_session_still_has_its_result() -> None:
    space = walked()
    view_of(space).remove_checkpoints(anything)
    before = stored_bytes(MemoryStore(space))
    again = attempt_on(space)
    assert again.walk(Walk(limit=10)) == unbroken(Walk(limit=10))
    assert (again.events, stored_bytes(MemoryStore(space))) == ([], before)
    assert attempt_on(space).walk(Walk(limit=14)) == unbroken(Walk(limit=14))
    facts_of(space)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_session_remains_what_it_was(outcome: Outcome) -> None:
    store = MemoryStore()
    writer = writer_of(store)
    for iteration in range(1, 5):
        writer.commit(stage(iteration))
    writer.close(outcome, "as it was")
    opened = load(store).timeline.opened
    assert len(view_of(store.space).remove_checkpoints(anything)) == 3
    assert outcome_of(store.space) == (outcome.value, "as it was")
    after = load(store).timeline.opened
    assert after.number > opened.number
    for what in ("identity", "settings", "attachments"):
        assert after.body[what] == opened.body[what]


def test_one_that_crashed_counts_as_interrupted() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    for iteration in range(1, 4):
        writer.commit(stage(iteration))
    view_of(store.space).remove_checkpoints(anything)
    assert outcome_of(store.space) == ("interrupted", "")


def test_nothing_to_remove_writes_nothing() -> None:
    space = walked()
    before = stored_bytes(MemoryStore(space))
    session = view_of(space)
    newest = session.timeline.newest["walking"].number
    assert session.remove_checkpoints(lambda item: False) == ()
    assert session.remove_checkpoints(lambda item: item.number == newest) == ()
    assert stored_bytes(MemoryStore(space)) == before


def test_a_predicate_that_fails_changes_nothing() -> None:
    space = walked()
    before = stored_bytes(MemoryStore(space))
    with pytest.raises(ZeroDivisionError):
        view_of(space).remove_checkpoints(lambda item: item.iteration // 0 > 1)
    assert stored_bytes(MemoryStore(space)) == before


def test_a_living_writer_is_not_robbed() -> None:
    space = walked()
    store = MemoryStore(space)
    writer, _ = open_session(store, FakeClock(), OpenOptions(), ignore)
    records = {key for key in stored_bytes(store) if key.startswith(("log/", "blobs/"))}
    beats = 0

    def beat(seconds: float) -> None:
        nonlocal beats
        beats += 1
        store.put(heartbeat_key(writer.opening), str(beats).encode())

    events: list[Event] = []
    session = TrainingSession(lambda: MemoryStore(space), SessionParameters("m"), FakeClock(on_sleep=beat))
    with pytest.raises(SessionInUse):
        session.remove_checkpoints(anything, events.append)
    assert [type(event) for event in events] == [WaitingForWriter]
    assert {key for key in stored_bytes(store) if key.startswith(("log/", "blobs/"))} == records


def test_a_removal_that_is_overtaken_stops() -> None:
    space = walked()
    overtaken: list[str] = []

    def overtake(operation: str, key: str) -> None:
        if operation == "delete" and key.startswith("blobs/") and len(overtaken) < 3:
            overtaken.append(key)
            if len(overtaken) == 3:
                open_session(MemoryStore(space), FakeClock(), OpenOptions(take_over=True), ignore)

    with pytest.raises(SessionTakenOver):
        view_of(space, lambda: HookedStore(MemoryStore(space), overtake)).remove_checkpoints(anything)
    facts = facts_of(space)
    assert [entry.number for entry in facts.checkpoints] == [11, 13]
    assert facts.records[-1].kind is Kind.OPENED


def test_only_what_a_record_names_is_deleted_and_only_after_it() -> None:
    space = two_runs()
    deleted: list[str] = []

    def watch(operation: str, key: str) -> None:
        if operation == "delete":
            assert space.values[record_key(11)].data
            deleted.append(key)

    view_of(space, lambda: HookedStore(MemoryStore(space), watch)).remove_checkpoints(anything)
    record = Journal(MemoryStore(space)).read(11)
    assert record.kind is Kind.REMOVED
    assert deleted == record.body["keys"]


def test_a_lost_reply_is_no_failure() -> None:
    space = two_runs()
    lossy = LostReplyStore(MemoryStore(space), lambda key: key.startswith("log/"))
    assert len(view_of(space, lambda: lossy).remove_checkpoints(anything)) == 6
    assert len(lossy.lost) == 3
    assert blob_numbers(space) == [6, 7, 8, 8]
    facts_of(space)


def test_a_store_that_refuses_to_delete_is_said_and_what_is_left_goes_later() -> None:
    space = two_runs()

    def refuse(operation: str, key: str) -> None:
        if operation == "delete":
            raise StoreDenied("no", key)

    with pytest.raises(StoreDenied):
        view_of(space, lambda: HookedStore(MemoryStore(space), refuse)).remove_checkpoints(anything)
    session = view_of(space)
    assert numbers(session.checkpoints) == [8]
    assert len(leftover_keys(MemoryStore(space), session.timeline)) == 10
    facts_of(space)
    # Nothing more can go, and still what was left goes.
    assert session.remove_checkpoints(anything) == ()
    assert blob_numbers(space) == [6, 7, 8, 8]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("make", [two_runs, walked])
def test_crash_at_every_call(make: Callable[[], MemorySpace], after: bool) -> None:
    whole = make()
    gone = numbers(view_of(whole).remove_checkpoints(anything))
    expected = blob_numbers(whole)
    for at in range(1, 100):
        space, fate = make(), Fate(at, after)
        try:
            view_of(space, lambda space=space, fate=fate: MortalStore(space, fate)).remove_checkpoints(anything)  # type: ignore[misc]
        except Crash:
            facts = facts_of(space)
            assert [e.number for e in facts.checkpoints][-1] == [e.number for e in facts_of(whole).checkpoints][-1]
            session = view_of(space)
            assert session.verify(deep=True).is_whole, f"call {at}"
            if set(gone) & set(numbers(session.checkpoints)):
                assert numbers(session.remove_checkpoints(anything)) == gone
            else:
                assert session.remove_checkpoints(anything) == ()
            assert blob_numbers(space) == expected, f"call {at}"
            facts_of(space)
        else:
            assert at > len(gone)
            return
    raise AssertionError("it never ended")


@pytest.mark.parametrize("after", [False, True])
def test_after_a_crash_training_goes_on_to_the_same_result(after: bool) -> None:
    expected = unbroken(Walk(limit=14))
    for at in range(1, 14):
        space, fate = walked(), Fate(at, after)
        with pytest.raises(Crash):
            view_of(space, lambda space=space, fate=fate: MortalStore(space, fate)).remove_checkpoints(anything)  # type: ignore[misc]
        assert attempt_on(space).walk(Walk(limit=14)) == expected
        facts_of(space)


def test_a_removed_checkpoint_gives_no_past() -> None:
    space = walked()
    session, stale = view_of(space), view_of(space)
    session.remove_checkpoints(lambda item: item.iteration == 4)
    for view in (session, view_of(space)):
        with pytest.raises(NoUsableCheckpoint, match=r"checkpoint 5 of memory-store:// was removed"):
            view.at_checkpoint(5)
    assert int(session.at_checkpoint(6).state("walking").arrays["done"]) == 5
    # A picture from before the removal says what is missing.
    with pytest.raises(DamagedData, match="missing"):
        stale.at_checkpoint(5).state("walking")


def test_a_checkpoint_that_is_newer_than_the_picture() -> None:
    space = walked()
    session = view_of(space)
    attempt_on(space).walk(Walk(limit=12))
    newest = view_of(space).timeline.newest["walking"].number
    assert int(session.at_checkpoint(newest).state("walking").arrays["done"]) == 12


def test_checkpoints_that_lie_in_pages_of_the_index() -> None:
    space = walked(limit=90)
    session = view_of(space)
    assert session.timeline.checkpoint_pages
    odd = session.remove_checkpoints(lambda item: item.number % 2 == 1)
    assert len(odd) > 40
    facts_of(space)
    with pytest.raises(NoUsableCheckpoint, match="was removed"):
        session.at_checkpoint(odd[0].number)
    # Then the index is rolled, and its new pages leave out what was removed.
    attempt_on(space, 1).walk(Walk(limit=170))
    session.refresh()
    assert not session.timeline.removed
    facts = facts_of(space)
    assert not {item.number for item in odd} & {entry.number for entry in facts.checkpoints}
    with pytest.raises(NoUsableCheckpoint, match="was removed"):
        session.at_checkpoint(odd[0].number)
    session.remove_checkpoints(anything)
    assert session.verify(deep=True).is_whole
    assert attempt_on(space).walk(Walk(limit=175)) == unbroken(Walk(limit=175))
    facts_of(space)


def test_many_checkpoints_take_several_records() -> None:
    """Each small enough to be a record, together all that goes, every key once."""
    live = [commit(number, "training") for number in range(2, 2_503)]
    timeline = replace(load(two_runs_store()).timeline, newest={"training": live[-1]})
    plan = plan_removals(live, live[:-1], timeline, no_rows)
    assert [len(removal.checkpoints) for removal in plan] == [MOST_CHECKPOINTS, MOST_CHECKPOINTS, 500]
    assert [number for removal in plan for number in removal.checkpoints] == [entry.number for entry in live[:-1]]
    assert [key for removal in plan for key in removal.keys] == [entry.state.key for entry in live[:-1]]


def test_the_rows_of_a_long_run_take_several_records() -> None:
    old, new = commit(2, "training"), commit(9_000, "training", 9_000)
    rows = [blob(1, number, "rows") for number in range(2, 2 + 2 * MOST_KEYS)]
    timeline = replace(load(two_runs_store()).timeline, newest={"training": new})
    plan = plan_removals([old, new], [old], timeline, lambda entry: rows)
    assert [removal.checkpoints for removal in plan] == [(2,), (), ()]
    assert max(len(removal.keys) for removal in plan) == MOST_KEYS
    keys = [key for removal in plan for key in removal.keys]
    assert sorted(keys) == sorted([old.state.key, *(ref.key for ref in rows)])


def two_runs_store() -> MemoryStore:
    return MemoryStore(two_runs())


def no_rows(entry: CheckpointEntry) -> tuple[()]:
    raise AssertionError("the present run's rows stay")


def test_the_largest_record_is_still_one() -> None:
    store = two_runs_store()
    writer = writer_of(store)
    keys = tuple(blob(9_999_999_999, number, "x").key for number in range(MOST_KEYS))
    writer.remove(tuple(range(9_999_999_000, 9_999_999_000 + MOST_CHECKPOINTS)), keys)
    assert 300_000 < len(store.get(record_key(writer.timeline.tip.number))) < 900_000


def test_what_damage_has_cut_off_is_not_removed() -> None:
    space = two_runs()
    store = MemoryStore(space)
    store.put(record_key(3), b"{}")
    with pytest.raises(DamagedData):
        check_session(store)
    writer = writer_of(store)
    remover = Remover(store, writer)
    assert [entry.number for entry in remover.live()] == [2]
    assert remover.plan(remover.live(), {2, 3, 4, 5, 6, 7, 8}) == ()


def test_leftovers_are_only_blobs_that_a_removal_named() -> None:
    """Whatever a record says, no record and nothing of the future is deleted."""
    space = two_runs()
    store = MemoryStore(space)
    writer = writer_of(store)
    inputs = blob(0, 0, "index").key
    store.put(inputs, b"index")
    state = writer.timeline.newest["training"].state.key
    later = blob(writer.opening, 999, "later").key
    store.put(later, b"later")
    writer.remove((), (record_key(0), inputs, "heartbeat/0000000001", later, "../x", state))
    assert leftover_keys(store, writer.timeline) == (state,)
