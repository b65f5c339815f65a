"""Collecting garbage: all that nothing needs goes, nothing else ever does, whatever crashed before or meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import DamagedData, SessionInUse
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import heartbeat_key, opening_of, record_key, record_of
from mlsession.session.log.pages import TAIL, read_summary
from mlsession.session.log.records import Kind, Record
from mlsession.session.opening import OpenOptions, attach, open_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.session.upkeep.garbage import find_garbage
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import Facts, stored_bytes
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on, facts_of, outcome_of, unbroken
from tests.session.log.test_journal import ignore, load, stage, writer_of
from tests.session.log.values import blob
from tests.session.stores import CountingStore, Crash, Fate, HookedStore, MortalStore
from tests.session.test_branching import newest_state
from tests.session.test_damage import damage, index_keys
from tests.session.test_removal import anything, two_runs, view_of, walked
from tests.session.test_verification import blobs_of


def needed(space: MemorySpace, facts: Facts) -> set[str]:
    """What must be left, found from the records alone, without the code that collects."""
    store = MemoryStore(space)
    keys = {key for key in blobs_of(space) if opening_of(key) == 0}
    for entry in facts.checkpoints:
        keys.add(entry.state.key)
        for record in facts.timeline:
            body = record.body
            if record.kind is Kind.CHECKPOINT and body["phase"] == entry.phase and record.number <= entry.number:
                if body["fresh"]:
                    rows = set[str]()
                rows |= {ref["key"] for ref in body["adds"]}  # type: ignore[index, call-overload, union-attr, misc]
        keys |= rows
    for record in facts.records:
        keys |= _index(store, record)
    return keys


def _index(store: Store, record: Record) -> set[str]:
    if record.index is None:
        return set()
    summary = read_summary(record.index, lambda ref: read_blob(store, ref))
    pages = (*summary.checkpoints, *(page for pages in summary.adds.values() for page in pages))
    return {record.index.key, *(page.blob.key for page in pages)}


def dying(space: MemorySpace, number: int, after: bool) -> Callable[[], Store]:
    """The handles of a process that dies at its writing call `number`."""
    fate = Fate(number, after)
    return lambda: MortalStore(space, fate)


@cache
def _littered(limit: int) -> MemorySpace:
    space = walked(limit)
    damage(space, newest_state(space, "walking"), "cut")
    attempt_on(space, 1).walk(Walk(limit=limit + 2))
    with pytest.raises(Crash):
        # The record of the removal, and the first of its keys.
        view_of(space, dying(space, 3, after=True)).remove_checkpoints(lambda item: item.iteration in (3, 4))
    attempt = attempt_on(space, 1)
    attempt.open_store = dying(space, 30, after=True)
    with pytest.raises(Crash):
        attempt.walk(Walk(limit=90))
    return space


def littered(limit: int = 70) -> MemorySpace:
    """A session with all kinds of garbage: half a commit, a dead branch, half a removal, an abandoned index."""
    space = MemorySpace()
    space.values.update(_littered(limit).values)
    return space


def test_all_kinds_of_garbage_go_and_nothing_else() -> None:
    space = littered()
    before = set(blobs_of(space))
    session = view_of(space)
    foretold = session.collect_garbage(dry_run=True)
    assert set(blobs_of(space)) == before
    found = session.collect_garbage()
    # The last writer did not say how it ended: only who has opened the session knows that it is gone.
    assert foretold.sizes.items() < found.sizes.items()
    assert before - set(blobs_of(space)) == set(found.sizes)
    facts = facts_of(space)
    assert set(blobs_of(space)) == needed(space, facts)
    openings = {opening_of(key) for key in found.sizes}
    assert len(found.sizes) >= 4
    assert len(openings) >= 2
    assert session.verify(deep=True).is_whole
    stored = stored_bytes(MemoryStore(space))
    assert session.collect_garbage().sizes == {}
    assert stored_bytes(MemoryStore(space)) == stored
    assert attempt_on(space).walk(Walk(limit=95)) == unbroken(Walk(limit=95))


@pytest.mark.parametrize("make", [walked, two_runs])
def test_where_there_is_none_nothing_is_written(make: Callable[[], MemorySpace]) -> None:
    space = make()
    before = stored_bytes(MemoryStore(space))
    assert view_of(space).collect_garbage().sizes == {}
    assert stored_bytes(MemoryStore(space)) == before


def test_many_keys_go_with_few_requests() -> None:
    class Bulk(CountingStore):
        def delete_some(self, keys: Sequence[str]) -> int:
            self.calls["delete_some"] += 1
            for key in keys[:1_000]:
                self.inner.delete(key)
            return len(keys[:1_000])

    space = littered()
    store = Bulk(MemoryStore(space))
    assert len(view_of(space, lambda: store).collect_garbage().sizes) >= 4
    assert (store.calls["delete"], store.calls["delete_some"]) == (0, 1)


def steps() -> st.SearchStrategy[list[tuple[str, int, bool]]]:
    kinds = st.sampled_from(["walk", "walk", "remove", "damage", "collect"])
    return st.lists(st.tuples(kinds, st.integers(1, 60), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=15, deadline=None, print_blob=True)
@given(steps(), st.integers(1, 30), st.booleans())
def test_any_session_that_crashed(story: list[tuple[str, int, bool]], end: int, after: bool) -> None:
    """Whatever was interrupted before, and wherever collecting itself is."""
    space, limit = walked(limit=6, interval=2), 6
    for kind, number, late in story:
        attempt = attempt_on(space, 1 + number % 3)
        attempt.open_store = dying(space, number, late)
        session = view_of(space, attempt.open_store)
        try:
            if kind == "walk":
                limit += 2
                attempt.walk(Walk(limit=limit))
            elif kind == "remove":
                session.remove_checkpoints(lambda item: item.number % 3 == number % 3)  # noqa: B023
            elif kind == "collect":
                session.collect_garbage()
            else:
                damage(space, newest_state(space, "walking"), "flipped")
                limit += 1
                attempt_on(space, 2).walk(Walk(limit=limit))
        except Crash:
            pass
    live = facts_of(space).checkpoints
    try:
        view_of(space, dying(space, end, after)).collect_garbage()
    except Crash:
        assert facts_of(space).checkpoints == live
    session = view_of(space)
    session.collect_garbage()
    facts = facts_of(space)
    assert facts.checkpoints == live
    assert set(blobs_of(space)) == needed(space, facts)
    assert session.verify(deep=True).is_whole
    for checkpoint in session.checkpoints:
        assert session.at_checkpoint(checkpoint.number).state(checkpoint.phase)
    assert session.collect_garbage().sizes == {}
    assert attempt_on(space).walk(Walk(limit=limit + 1)) == unbroken(Walk(limit=limit + 1))


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_call(after: bool) -> None:
    whole = littered(6)
    view_of(whole).collect_garbage()
    expected = {key.split("-")[0] for key in blobs_of(whole)}
    for number in range(1, 100):
        space = littered(6)
        try:
            view_of(space, dying(space, number, after)).collect_garbage()
        except Crash:
            facts_of(space)
            view = view_of(space)
            assert view.verify().is_whole
            view.collect_garbage()
            assert {key.split("-")[0] for key in blobs_of(space)} == expected
        else:
            assert number > 6
            return
    raise AssertionError("it never ended")


def test_what_a_living_writer_has_in_flight_is_left_alone() -> None:
    space = walked()
    store = MemoryStore(space)
    writer, _ = open_session(store, FakeClock(), OpenOptions(), ignore)
    half = blob(writer.opening, writer.opening + 1, "in flight").key
    store.put(half, b"in flight")
    beats = 0

    def beat(seconds: float) -> None:
        nonlocal beats
        beats += 1
        store.put(heartbeat_key(writer.opening), str(beats).encode())

    session = TrainingSession(lambda: MemoryStore(space), SessionParameters("m"), FakeClock(on_sleep=beat))
    with pytest.raises(SessionInUse):
        session.collect_garbage()
    assert half in space.values
    assert half not in find_garbage(store, load(store), writer.opening).sizes
    assert session.verify().unreferenced == 0


def test_a_zombie_writer_comes_too_late_either_way() -> None:
    """It was stopped before its record; whether its blobs are gone by then makes no difference to anyone."""
    space = walked()
    zombie = writer_of(MemoryStore(space))
    half: list[str] = []

    def stop(operation: str, key: str) -> None:
        if operation == "create" and key.startswith("log/") and not half:
            half.extend(set(blobs_of(space)) - before)
            assert set(view_of(space).collect_garbage().sizes) == set(half)

    before = set(blobs_of(space))
    hooked = HookedStore(MemoryStore(space), stop)
    zombie._store, zombie._journal = hooked, Journal(hooked)
    with pytest.raises(Exception, match="another writer has opened"):
        zombie.commit(stage(1))
    assert half
    facts_of(space)
    assert view_of(space).verify(deep=True).is_whole
    assert set(blobs_of(space)) == before


def test_a_store_that_cannot_fence_keeps_what_may_still_be_committed() -> None:
    class Plain(MemoryStore):
        creates_exclusively = False

    space = walked()
    writer = writer_of(MemoryStore(space))
    tail = blob(writer.opening, writer.opening + 1, "tail").key
    old = blob(1, 3, "old").key
    for key in (tail, old):
        MemoryStore(space).put(key, b"left")
    assert set(view_of(space, lambda: Plain(space)).collect_garbage().sizes) == {old}
    assert set(view_of(space).collect_garbage().sizes) == {tail}


def test_inputs_foreign_files_and_other_keys_stay() -> None:
    space = walked()
    store = MemoryStore(space)
    unused = attach(store, b"a job that is about to open has put this")
    others = ("notes.txt", "blobs/readme", "blobs/0000000001/0000000003-short", "blobs/0000000001/sub/x", "log/x")
    for key in others:
        store.put(key, b"mine")
    garbage = blob(1, 4, "x").key
    store.put(garbage, b"x")
    assert set(view_of(space).collect_garbage().sizes) == {garbage}
    assert {unused.key, *others} <= set(space.values)
    assert view_of(space).verify().foreign == ("blobs/readme", "log/x", "notes.txt")


@pytest.mark.parametrize(
    "what", ["the record of the blob", "the newest record", "the index", "a page", "an old record"]
)
def test_damage_that_may_hide_a_need_stops_it(what: str) -> None:
    space = littered()
    before = load(MemoryStore(space))
    garbage = sorted(view_of(space).collect_garbage(dry_run=True).sizes)
    timeline = before.timeline
    assert timeline.tip.index is not None
    inside = next(record_of(key) or 0 for key in garbage if (record_of(key) or 0) < timeline.start)
    key = {
        "the record of the blob": record_key(inside),
        "the newest record": record_key(before.end),
        "the index": timeline.tip.index.key,
        "a page": timeline.checkpoint_pages[0].blob.key,
        "an old record": record_key(timeline.start + 1),
    }[what]
    damage(space, key, "flipped")
    stored = {key: value for key, value in stored_bytes(MemoryStore(space)).items() if key.startswith("blobs/")}
    for dry_run in (True, False):
        with pytest.raises(DamagedData, match="nothing was deleted"):
            view_of(space).collect_garbage(dry_run)
    after = stored_bytes(MemoryStore(space))
    assert {key: after[key] for key in stored} == stored
    assert view_of(space).verify().unreferenced is None


def test_an_old_index_stays_while_its_record_can_be_read() -> None:
    space = walked(limit=2 * TAIL + 20)
    pages = set(index_keys(space))
    assert len(pages) > 4
    assert view_of(space).collect_garbage().sizes == {}
    # One that cannot be read any more names nobody knows what: all that may be of it stays.
    old = Journal(MemoryStore(space)).read(TAIL + 5).index
    assert old is not None
    damage(space, old.key, "cut")
    assert not set(view_of(space).collect_garbage(dry_run=True).sizes) & pages


def test_half_written_files_of_a_folder_go_too(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    writer = writer_of(store)
    writer.commit(stage(1))
    store.put(blob(writer.opening, 9, "half").key, b"half")
    left = next((store._root / "blobs").iterdir()) / ".mlsession-temporary-0123456789abcdef"
    left.write_bytes(b"half")
    parameters = SessionParameters(tmp_path, stale_after=0)
    with TrainingSession(lambda: LocalStore(tmp_path), parameters, FakeClock()) as session:
        assert len(session.collect_garbage().sizes) == 1
        assert not left.exists(), "its writer did not say how it ended, and is fenced out"
        assert session.verify(deep=True).is_whole


def test_the_session_remains_what_it_was() -> None:
    space = littered()
    opened = load(MemoryStore(space)).timeline.opened
    view_of(space).collect_garbage()
    assert outcome_of(space) == ("interrupted", "")
    after = load(MemoryStore(space)).timeline.opened
    for what in ("identity", "settings", "attachments"):
        assert after.body[what] == opened.body[what]
    view_of(space).remove_checkpoints(anything)
    attempt_on(space).walk(Walk(limit=95))
    MemoryStore(space).put(blob(1, 3, "x").key, b"x")
    view_of(space).collect_garbage()
    assert outcome_of(space) == ("finished", "")
    assert attempt_on(space).walk(Walk(limit=95)) == unbroken(Walk(limit=95))


def test_it_is_json() -> None:
    found = view_of(littered()).collect_garbage(dry_run=True).to_json()
    assert found.keys() == {"keys", "size_bytes", "temporary_files"}
