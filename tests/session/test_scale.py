"""A very long log: what it asks of a store to open it, to count, to list and to remove its checkpoints."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

import pytest

from mlsession.errors import KeyMissing
from mlsession.randomness import keyed_generator
from mlsession.session.branching import branch_from
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import record_key, record_number
from mlsession.session.log.numbers import FAN, last_number, listed_numbers
from mlsession.session.log.pages import PAGE, TAIL
from mlsession.session.log.records import MOST_NUMBER, Kind
from mlsession.session.opening import OpenOptions, open_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.store import bulk
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Entry, Store
from mlsession.testing.clock import FakeClock
from mlsession.testing.faults import CRASHES, FaultyStore, Process, ProcessDied, at
from mlsession.testing.invariants import check_session
from mlsession.testing.long_log import lengthen_log
from tests.session.log.test_journal import ignore, session_of, stage
from tests.session.stores import CountingStore

MOST_WAITS = 9
"""Requests that an opener of any log waits for one after the other: pages of the listing among them."""
MOST_VALUES = 2 * TAIL + 5 * FAN
"""Records, pieces of the index and places in the log that it asks for in these, several at once."""


class Bucket(CountingStore):
    """A store as far away as a bucket: what is asked for at once is waited for once."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.num_values = 0

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        self.num_values += 1
        return super().get_range(key, start, stop)

    def get_many(self, limits: Mapping[str, int]) -> dict[str, bytes]:
        self.calls["get"] += 1
        self.num_values += len(limits)
        return bulk.get_many(self.inner, limits)

    def list_page(self, prefix: str, after: str, count: int) -> tuple[Entry, ...] | None:
        self.calls["page"] += 1
        return bulk.list_page(self.inner, prefix, after, count)


@pytest.fixture(scope="module")
def long_session() -> MemoryStore:
    """Three pages of checkpoints and more, of two openings; nobody may write to it."""
    store = session_of(3)
    lengthen_log(store, 300)
    lengthen_log(store, 3 * PAGE + 77)
    return store


def copy_of(store: MemoryStore) -> MemorySpace:
    space = MemorySpace()
    space.values = dict(store.space.values)
    return space


def test_a_long_log_is_a_session_like_any_other() -> None:
    store = session_of(3)
    lengthen_log(store, PAGE + 2 * TAIL)
    facts = check_session(store)
    assert facts is not None
    assert [entry.iteration for entry in facts.checkpoints] == [*range(1, 4), *range(4, PAGE + 2 * TAIL + 4)]
    writer, _ = open_session(store, FakeClock(), OpenOptions(), ignore)
    writer.commit(stage(PAGE + 2 * TAIL + 4))
    assert check_session(store) is not None


class Numbers(MemoryStore):
    """Holds nothing but the keys of records, of these numbers in ascending order."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__()
        self._numbers = numbers

    def list(self, prefix: str = "") -> Iterator[Entry]:
        return (_entry(number) for number in self._numbers)

    def list_page(self, prefix: str, after: str, count: int) -> tuple[Entry, ...]:
        last = record_number(after)
        first = 0 if last is None else bisect.bisect_right(self._numbers, last)
        return tuple(map(_entry, self._numbers[first : first + count]))

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        number = record_number(key)
        assert number is not None
        place = bisect.bisect_left(self._numbers, number)
        if place == len(self._numbers) or self._numbers[place] != number:
            raise KeyMissing("there is none", key)
        return b"{"[start:stop]


def _entry(number: int) -> Entry:
    return Entry(key=record_key(number), size=1, version="")


@pytest.mark.parametrize("count", [0, 1, 7, 999, 1_000, 1_001, 1_999, 8_000, 99_999, 100_000, 1_000_000])
def test_the_end_of_a_log_is_found_without_listing_it(count: int) -> None:
    store = Bucket(Numbers(range(count)))
    assert last_number(store) == (count - 1 if count else None)
    assert store.calls["list"] == 0
    assert store.calls["page"] <= 3
    assert store.calls.total() <= 8
    assert store.num_values <= 5 * FAN


@pytest.mark.parametrize("seed", range(6))
def test_gaps_do_not_hide_the_end(seed: int) -> None:
    draw = keyed_generator(seed, "gaps")
    whole = int(draw.integers(1_500, 20_000))
    gone = set[int]()
    for _ in range(int(draw.integers(1, 6))):
        first = int(draw.integers(whole))
        gone.update(range(first, first + int(draw.choice([1, 10, 3_000]))))
    numbers = [number for number in range(whole) if number not in gone]
    for present in (numbers, numbers[-1:], [*numbers, MOST_NUMBER]):
        store = Bucket(Numbers(present))
        assert last_number(store) == max(present, default=None)
        first = int(draw.integers(whole))
        assert sorted(listed_numbers(store, first)) == [number for number in present if number >= first]
        assert last_number(CountingStore(Numbers(present))) == max(present, default=None)


def test_opening_asks_for_little_however_long_the_log_is(long_session: MemoryStore) -> None:
    store = Bucket(long_session)
    state = Journal(store).load()
    assert state is not None
    assert state.timeline.tip.kind is Kind.CLOSED
    assert (state.end, state.damaged) == (5 + 302 + 3 * PAGE + 79 - 1, ())
    assert store.calls["list"] == 0
    assert store.calls.total() <= MOST_WAITS
    assert store.num_values <= MOST_VALUES
    asked = store.calls.total()
    assert Journal(store).count_checkpoints(state.timeline) == 3 + 300 + 3 * PAGE + 77
    assert store.calls.total() == asked, "counting reads no page of the index"
    assert len(Journal(store).checkpoints(state.timeline)) == 3 + 300 + 3 * PAGE + 77
    assert store.calls.total() <= asked + 1, "all pages are asked for at once"


def test_a_store_that_can_only_list_is_listed_once(long_session: MemoryStore) -> None:
    store = CountingStore(long_session)
    assert Journal(store).load() == Journal(Bucket(long_session)).load()
    assert store.calls["list"] == 1
    assert store.calls["get"] <= 2 * TAIL + 5


def test_a_commit_costs_the_same_in_a_long_log(long_session: MemoryStore) -> None:
    asked = []
    for space in (session_of(3).space, copy_of(long_session)):
        store = Bucket(MemoryStore(space))
        writer, _ = open_session(store, FakeClock(), OpenOptions(), ignore)
        writer.commit(stage(1))  # Sums up the tail, if it is long.
        before = store.calls.copy()
        writer.commit(stage(2))
        asked.append(store.calls - before)
    assert asked[0] == asked[1]


def remove_before(number: int, open_store: Callable[[], Store]) -> list[int]:
    """Removes the checkpoints before one; the numbers of those that are left."""
    parameters = SessionParameters("m", stale_after=0.001)
    with closing(TrainingSession(open_store, parameters, FakeClock())) as session:
        session.remove_checkpoints(lambda checkpoint: checkpoint.number < number)
        return [checkpoint.number for checkpoint in session.checkpoints]


def test_a_mass_removal_that_is_killed_goes_on(long_session: MemoryStore) -> None:
    space = MemorySpace()
    store = MemoryStore(space)
    space.values = dict(session_of(3).space.values)
    lengthen_log(store, PAGE + 100)
    newest = Journal(store).load()
    assert newest is not None
    kept = newest.timeline.last_commit
    assert kept is not None
    kills = []
    for number, fault in zip((400, 700, 60), sorted(CRASHES), strict=True):
        process = Process(at(number, fault))
        with pytest.raises(ProcessDied):
            remove_before(kept.number, partial(FaultyStore, store, process))
        kills.append(process.met)
    assert all(kills)
    check_session(store)
    assert remove_before(kept.number, lambda: store) == [kept.number]
    facts = check_session(store)
    assert facts is not None
    blobs = {key for key in space.values if key.startswith("blobs/")}
    removed = {str(key) for record in facts.records if record.kind is Kind.REMOVED for key in record.body["keys"]}  # type: ignore[union-attr]
    assert len(removed) == PAGE + 102
    assert not blobs & removed


def test_going_back_reads_what_lies_between_many_at_once(long_session: MemoryStore) -> None:
    """For what was removed there stays removed."""
    store = Bucket(long_session)
    early, end = Journal(store).load(5), Journal(store).load()
    assert early is not None
    assert end is not None
    store.calls.clear()
    assert branch_from(store, early.timeline, end.end).removed == ()
    assert store.calls.total() <= end.end / 64 + 1 + MOST_WAITS
