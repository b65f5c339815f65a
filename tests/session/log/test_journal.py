"""Reading a log back past damage, and appending to it against others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mlsession.errors import DamagedData, KeyMissing, NewerFormat, SessionTakenOver, StoreUnavailable
from mlsession.session.identity import Identity
from mlsession.session.log.canonical import canonical_json, parse_object, sha256
from mlsession.session.log.journal import Journal, LogState
from mlsession.session.log.layout import record_key, record_number
from mlsession.session.log.pages import TAIL
from mlsession.session.log.records import Kind, Outcome, Record
from mlsession.session.opening import OpenOptions, create_session, open_session
from mlsession.session.phase import Json, PhaseState
from mlsession.session.writer import SessionWriter, Stage
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Entry, Store
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import check_session
from tests.session.log.values import DATE
from tests.session.stores import CountingStore, HookedStore, LostReplyStore

IDENTITY = Identity(task="test", parameters={"seed": 1})


def ignore(event: object) -> None:
    return


def stage(iteration: int, rows: int = 1) -> Stage:
    return Stage(
        phase="training",
        iteration=iteration,
        item_count=iteration,
        metrics={},
        state=PhaseState({"iteration": np.array([iteration])}),
        adds=({"row": np.full(rows, iteration)},),
        fresh=iteration == 1,
        ended=False,
        inputs="",
    )


def writer_of(store: Store, take_over: bool = True) -> SessionWriter:
    """The writer of a session in `store`, which is made if need be."""
    clock = FakeClock()
    if Journal(store).load() is None:
        create_session(store, clock, IDENTITY, {}, ignore)
    return open_session(store, clock, OpenOptions(take_over=take_over), ignore)[0]


def session_of(commits: int) -> MemoryStore:
    """Records 0 created, 1 opened, 2... checkpoints."""
    store = MemoryStore()
    writer = writer_of(store)
    for iteration in range(1, commits + 1):
        writer.commit(stage(iteration))
    return store


def load(store: Store) -> LogState:
    state = Journal(store).load()
    assert state is not None
    return state


def damage(store: Store, key: str) -> None:
    data = store.get(key)
    store.put(key, data[:-2] + b"?}")


def test_an_empty_folder_has_no_log() -> None:
    store = MemoryStore()
    assert Journal(store).load() is None
    store.put("probe/x", b"")
    store.put("log/readme.txt", b"")
    assert Journal(store).load() is None


def test_the_newest_record_decides() -> None:
    state = load(session_of(5))
    assert (state.timeline.tip.number, state.end, state.damaged) == (6, 6, ())
    assert state.timeline.newest["training"].iteration == 5


def test_an_earlier_state_can_be_asked_for() -> None:
    store = session_of(5)
    earlier = Journal(store).load(4)
    assert earlier is not None
    assert (earlier.timeline.tip.number, earlier.end) == (4, 6)
    assert earlier.timeline.newest["training"].iteration == 3


def test_a_number_after_the_end_means_the_end() -> None:
    store = CountingStore(session_of(5))
    state = Journal(store).load(9_999_999_999)
    assert state is not None
    assert state.timeline.tip.number == 6
    assert store.calls.total() < 20


def test_a_stale_listing_does_not_hide_the_end() -> None:
    class StaleStore(HookedStore):
        def list(self, prefix: str = "") -> Iterator[Entry]:
            return (entry for entry in super().list(prefix) if (record_number(entry.key) or 0) < 3)

    state = load(StaleStore(session_of(5), lambda operation, key: None))
    assert state.end == 6


@pytest.mark.parametrize("broken", [6, 5, 3, 2])
@pytest.mark.parametrize("how", ["damaged", "missing", "empty"])
def test_damage_steps_back_to_before_it(broken: int, how: str) -> None:
    store = session_of(5)
    key = record_key(broken)
    if how == "damaged":
        damage(store, key)
    elif how == "missing":
        store.delete(key)
    else:
        store.put(key, b"")
    state = load(store)
    assert state.timeline.tip.number == broken - 1
    # A missing newest record is no damage that anyone could see: the log just ends earlier.
    seen = [] if (broken, how) == (6, "missing") else [key]
    assert [item.key for item in state.damaged] == seen


def test_a_gap_is_never_filled() -> None:
    store = session_of(5)
    store.delete(record_key(4))
    writer = writer_of(store)
    assert writer.opening == 7
    entry, _ = writer.commit(stage(3))
    assert (entry.number, entry.iteration) == (8, 3)
    with pytest.raises(KeyMissing):
        store.get(record_key(4))
    state = load(store)
    assert (state.timeline.tip.number, state.timeline.opened.parent) == (8, 3)
    assert state.damaged == ()


def test_record_0_may_be_damaged_once_it_was_opened() -> None:
    store = session_of(5)
    damage(store, record_key(0))
    state = load(store)
    assert state.timeline.newest["training"].iteration == 5
    assert [item.key for item in state.damaged] == [record_key(0)]
    assert Identity.from_record(state.timeline.opened) == IDENTITY
    writer = writer_of(store)
    assert writer.commit(stage(6))[0].iteration == 6


def test_record_0_alone_must_be_whole() -> None:
    store = MemoryStore()
    create_session(store, FakeClock(), IDENTITY, {}, ignore)
    damage(store, record_key(0))
    with pytest.raises(DamagedData, match="no record of this log gives a valid state"):
        Journal(store).load()


def test_an_opening_before_the_index_may_be_damaged() -> None:
    store = session_of(TAIL + 10)
    damage(store, record_key(1))
    state = load(store)
    assert state.timeline.newest["training"].iteration == TAIL + 10
    assert [item.key for item in state.damaged] == [record_key(1)]
    opened = state.timeline.opened
    assert (opened.number, opened.kind) == (1, Kind.OPENED)
    assert Identity.from_record(opened) == IDENTITY


@pytest.mark.parametrize("num_damaged", [1, 2])
def test_without_its_index_the_records_give_the_same_state(num_damaged: int) -> None:
    store = session_of(4 * TAIL + 20)
    whole = Journal(store).checkpoints(load(store).timeline)
    indexes = {key for number in range(4 * TAIL + 22) if (key := index_of(store, number)) is not None}
    damaged = sorted(indexes)[-num_damaged:]
    for key in damaged:
        store.put(key, b"{}")
    counted = CountingStore(store)
    state = load(counted)
    assert sorted(item.key for item in state.damaged) == damaged
    assert state.timeline.newest["training"].iteration == 4 * TAIL + 20
    # An older index is as good: only what came after it is read from the records, and twice, since it may be that
    # the damage happened on the way.
    assert counted.calls.total() < 2 * (3 * TAIL + 10)
    assert Journal(store).checkpoints(state.timeline) == whole
    assert [entry.iteration for entry in whole] == list(range(1, 4 * TAIL + 21))
    writer = writer_of(store)
    writer.commit(stage(4 * TAIL + 21))
    assert load(store).damaged == ()
    assert check_session(store) is not None


def index_of(store: Store, number: int) -> str | None:
    """The key of the index that a record names."""
    index = Journal(store).read(number).index
    return None if index is None else index.key


def resealed(store: Store, number: int, **members: Json) -> None:
    """Writes record `number` again with other members and a digest that fits."""
    content = {**parse_object(store.get(record_key(number)), "k"), **members}
    content.pop("digest")
    store.put(record_key(number), canonical_json({**content, "digest": sha256(canonical_json(content))}))


def test_a_record_that_the_next_one_was_not_written_after_is_passed_over() -> None:
    store = session_of(6)
    resealed(store, 5, writer="somebody else")
    state = load(store)
    assert [item.key for item in state.damaged] == [record_key(5)]
    assert state.timeline.tip.number == 4


def test_records_of_another_session_are_passed_over() -> None:
    store = session_of(6)
    resealed(store, 7, session="that other one")
    state = load(store)
    assert [item.key for item in state.damaged] == [record_key(7)]
    assert state.timeline.tip.number == 6
    writer = writer_of(store)
    assert writer.timeline.tip.number == 8
    writer.commit(stage(6))
    assert load(store).timeline.newest["training"].iteration == 6


@pytest.mark.parametrize("outcome", ["splendid", None, 1])
def test_an_unknown_outcome_is_damage(outcome: Json) -> None:
    store = session_of(2)
    writer_of(store).close(Outcome.PAUSED, "")
    resealed(store, 5, body={"outcome": outcome, "reason": ""})
    state = load(store)
    assert state.timeline.closed is None
    assert [item.key for item in state.damaged] == [record_key(5)]


@pytest.mark.parametrize("parent", [None, 6, 7, -1])
def test_a_record_must_lead_back_to_the_beginning(parent: int | None) -> None:
    store = session_of(3)
    bad = Record(number=5, kind=Kind.CLOSED, parent=parent, previous="", opening=1, writer="x", session="s", date=DATE)
    store.put(record_key(5), bad.encode())
    state = load(store)
    assert state.timeline.tip.number == 4
    assert [item.key for item in state.damaged] == [record_key(5)]


def test_a_newer_format_is_refused_and_nothing_is_written() -> None:
    store = session_of(2)
    members = parse_object(store.get(record_key(3)), "k")
    members.pop("digest")
    newer = {**members, "number": 4, "format": 2}
    store.put(record_key(4), canonical_json({**newer, "digest": sha256(canonical_json(newer))}))
    before = set(store.space.values)
    with pytest.raises(NewerFormat):
        writer_of(store)
    assert set(store.space.values) == before


def record(number: int, writer: str) -> Record:
    return Record(
        number=number,
        kind=Kind.CLOSED,
        parent=number - 1,
        previous="",
        opening=1,
        writer=writer,
        session="s",
        date=DATE,
    )


def test_a_lost_reply_to_our_own_record_is_success() -> None:
    inner = session_of(2)
    store = LostReplyStore(inner, lambda key: True)
    mine = record(4, "me")
    with pytest.raises(StoreUnavailable):
        Journal(store).append(mine)
    assert Journal(store).append(mine) == mine
    assert store.lost == [record_key(4)]


def test_an_earlier_try_of_ours_is_adopted_as_it_is_stored() -> None:
    store = session_of(2)
    first = record(4, "me")
    Journal(store).append(first)
    later = Record(number=4, kind=Kind.OPENED, parent=3, previous="", opening=4, writer="me", session="s", date=DATE)
    assert Journal(store).append(later) == first


def test_a_number_that_another_holds_means_fenced() -> None:
    store = session_of(2)
    Journal(store).append(record(4, "other"))
    data = store.get(record_key(4))
    with pytest.raises(SessionTakenOver, match=r"another writer has opened .* \(record 4 is its\)"):
        Journal(store).append(record(4, "me"))
    assert store.get(record_key(4)) == data


def test_a_number_that_holds_torn_bytes_is_anothers_and_they_stay() -> None:
    """On a disk where creating is not atomic, whoever writes there may not be done yet."""
    store = session_of(2)
    store.put(record_key(4), b"to")
    with pytest.raises(SessionTakenOver, match=r"another writer has opened .* \(record 4 is its\)"):
        Journal(store).append(record(4, "me"))
    assert store.get(record_key(4)) == b"to"
    assert writer_of(store).opening == 5


@pytest.mark.parametrize("commits", [0, 1, TAIL - 2, TAIL, 1_100])
def test_opening_takes_a_bounded_number_of_calls(commits: int) -> None:
    inner = session_of(commits)
    store = CountingStore(inner)
    state = load(store)
    assert state.end == commits + 1
    assert store.calls["list"] == 1
    assert store.calls.total() <= TAIL + 8
    assert set(store.calls) <= {"list", "get"}
    check_session(inner)


def test_every_record_is_small_and_continues_the_one_before() -> None:
    facts = check_session(session_of(TAIL * 2))
    assert facts is not None
    assert len(facts.records) == TAIL * 2 + 2
    assert max(len(item.encode()) for item in facts.records) < 5_000


def by_eight(work: Callable[[int], object]) -> list[object]:
    """Runs `work(0)` to `work(7)` at once; results or exceptions."""
    barrier = threading.Barrier(8)

    def run(number: int) -> object:
        barrier.wait()
        try:
            return work(number)
        except Exception as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(run, range(8)))


ROUNDS = pytest.mark.parametrize("attempt", range(10))
"""Races are run more than once."""


@ROUNDS
def test_of_eight_appenders_one_wins(attempt: int) -> None:
    space = session_of(1).space
    results = by_eight(lambda number: Journal(MemoryStore(space)).append(record(3, f"writer {number}")))
    winners = [item for item in results if isinstance(item, Record)]
    assert len(winners) == 1
    assert sum(isinstance(item, SessionTakenOver) for item in results) == 7
    assert Record.decode(MemoryStore(space).get(record_key(3)), 3) == winners[0]


@ROUNDS
def test_of_eight_creators_one_makes_record_0(attempt: int) -> None:
    space = MemorySpace()
    created: list[object] = []

    def create(number: int) -> LogState:
        identity = Identity(task="test", parameters={"seed": number})
        return create_session(MemoryStore(space), FakeClock(), identity, {"index": b"%d" % number}, created.append)

    states = [item for item in by_eight(create) if isinstance(item, LogState)]
    assert len(states) == 8
    assert len({state.timeline.tip.encode() for state in states}) == 1
    assert len(created) == 1
    assert [key for key in space.values if record_number(key) is not None] == [record_key(0)]


@ROUNDS
def test_eight_openers_at_once_make_one_line(attempt: int) -> None:
    space = session_of(3).space
    options = OpenOptions(take_over=True)
    results = by_eight(lambda number: open_session(MemoryStore(space), FakeClock(), options, ignore)[0])
    writers = [item for item in results if isinstance(item, SessionWriter)]
    assert len(writers) == 8, results
    assert sorted(writer.opening for writer in writers) == list(range(5, 13))
    check_session(MemoryStore(space))
    newest = max(writers, key=lambda writer: writer.opening)
    for writer in writers:
        if writer is newest:
            writer.commit(stage(4))
        else:
            with pytest.raises(SessionTakenOver):
                writer.commit(stage(4))
    facts = check_session(MemoryStore(space))
    assert facts is not None
    assert [item.kind for item in facts.records[5:]] == [Kind.OPENED] * 8 + [Kind.CHECKPOINT]


def test_who_loses_a_race_to_a_record_that_is_half_written_takes_the_next_number() -> None:
    """On a disk where creating is not atomic; the other one may still be writing it, or have died."""
    store = session_of(2)
    known = load(store)
    store.put(record_key(4), b'{"body":')
    writer, _ = open_session(store, FakeClock(), OpenOptions(take_over=True), ignore, known)
    assert writer.opening == 5
    writer.commit(stage(3))
    assert load(store).timeline.newest["training"].iteration == 3
