"""What each fault does, and that without one the wrapped store is what it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings

from mlsession.errors import KeyExists, StoreDenied, StoreError, StoreFull, StoreUnavailable
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.probe import probe_exclusive
from mlsession.store.protocol import Store
from mlsession.testing.clock import FakeClock
from mlsession.testing.faults import (
    CRASHES,
    Fault,
    FaultyStore,
    Operation,
    Process,
    ProcessDied,
    at,
    can_befall,
    no_faults,
    only,
)
from mlsession.testing.store_contract import OpenHandle, StoreContract
from mlsession.testing.store_machine import StoreMachine

OLD, NEW = b"the bytes of before", b"and those that come in their place"
CALLS: dict[Operation, Callable[[Store], object]] = {
    Operation.GET: lambda store: store.get("log/1"),
    Operation.GET_RANGE: lambda store: store.get_range("log/1", 0, 10**6),
    Operation.PUT: lambda store: store.put("log/2", NEW),
    Operation.CREATE: lambda store: store.put_if_absent("log/3", NEW),
    Operation.LIST: lambda store: sorted(entry.key for entry in store.list("log")),
    Operation.DELETE: lambda store: store.delete("log/1"),
}
TOUCHED = {Operation.PUT: "log/2", Operation.CREATE: "log/3", Operation.DELETE: "log/1"}


class TestNothingPlanned(StoreContract):
    @pytest.fixture
    def open_handle(self) -> OpenHandle:
        space, process = MemorySpace(), Process()
        return lambda: FaultyStore(MemoryStore(space), process)


class NothingPlannedMachine(StoreMachine):
    def open_space(self) -> Callable[[], Store]:
        space, process = MemorySpace(), Process(no_faults)
        return lambda: FaultyStore(MemoryStore(space), process, tears=True)


TestNothingPlannedMachine = NothingPlannedMachine.TestCase
TestNothingPlannedMachine.settings = settings(max_examples=15)


def space_of_two() -> MemorySpace:
    space = MemorySpace()
    for key, data in (("log/1", OLD), ("log/2", OLD[::-1])):
        MemoryStore(space).put(key, data)
    return space


def contents(space: MemorySpace) -> dict[str, bytes]:
    return {key: value.data for key, value in space.values.items()}


def done(operation: Operation) -> dict[str, bytes]:
    """What lies in the space once the call was carried out."""
    space = space_of_two()
    CALLS[operation](MemoryStore(space))
    return contents(space)


def meet(operation: Operation, fault: Fault, *, tears: bool = False) -> tuple[object, dict[str, bytes], Process]:
    """The call's answer or error, what lies in the space then, and its process."""
    space, process = space_of_two(), Process(at(1, fault), clock=FakeClock())
    answer: object
    try:
        answer = CALLS[operation](FaultyStore(MemoryStore(space), process, tears=tears))
    except (StoreError, ProcessDied) as error:
        answer = error
    return answer, contents(space), process


@pytest.mark.parametrize("operation", Operation)
def test_a_crash_before_and_after(operation: Operation) -> None:
    for fault, expected in ((Fault.CRASH_BEFORE, contents(space_of_two())), (Fault.CRASH_AFTER, done(operation))):
        answer, left, process = meet(operation, fault)
        assert isinstance(answer, ProcessDied)
        assert process.is_dead
        assert left == expected


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("tears", [False, True])
def test_a_crash_halfway_tears_what_can_be_torn(operation: Operation, tears: bool) -> None:
    answer, left, process = meet(operation, Fault.CRASH_HALFWAY, tears=tears)
    assert isinstance(answer, ProcessDied)
    assert process.is_dead
    expected = contents(space_of_two())
    if tears and operation in (Operation.PUT, Operation.CREATE):
        expected[TOUCHED[operation]] = NEW[: len(NEW) // 2]
    assert left == expected


def test_what_exists_is_not_torn_by_a_create() -> None:
    space, process = space_of_two(), Process(at(1, Fault.CRASH_HALFWAY))
    with pytest.raises(ProcessDied):
        FaultyStore(MemoryStore(space), process, tears=True).put_if_absent("log/1", NEW)
    assert contents(space) == contents(space_of_two())


@pytest.mark.parametrize("operation", Operation)
def test_a_lost_reply(operation: Operation) -> None:
    answer, left, process = meet(operation, Fault.LOST_REPLY)
    assert isinstance(answer, StoreUnavailable)
    assert left == done(operation)
    assert not process.is_dead


def test_a_lost_refusal_is_lost_as_well() -> None:
    space, process = space_of_two(), Process(at(1, Fault.LOST_REPLY))
    with pytest.raises(StoreUnavailable):
        FaultyStore(MemoryStore(space), process).put_if_absent("log/1", NEW)
    assert contents(space) == contents(space_of_two())


def test_one_s_own_bytes_exist_already() -> None:
    answer, left, _ = meet(Operation.CREATE, Fault.EXISTS)
    assert isinstance(answer, KeyExists)
    assert answer.key == "log/3"
    assert left == done(Operation.CREATE)


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (Fault.CONFLICT, StoreUnavailable, "409"),
        (Fault.UNAVAILABLE, StoreUnavailable, "503"),
        (Fault.TIMED_OUT, StoreUnavailable, "timed out"),
        (Fault.EXPIRED, StoreError, "expired"),
        (Fault.DENIED, StoreDenied, "refused"),
        (Fault.NO_SPACE, StoreFull, "no space"),
    ],
)
@pytest.mark.parametrize("operation", Operation)
def test_refusals_do_nothing(operation: Operation, fault: Fault, error: type[StoreError], text: str) -> None:
    if not can_befall(fault, operation):
        pytest.skip("this call cannot meet that")
    answer, left, process = meet(operation, fault)
    assert isinstance(answer, error)
    assert text in str(answer)
    assert answer.key == process.calls[0].key
    assert left == contents(space_of_two())


@pytest.mark.parametrize("operation", [Operation.GET, Operation.GET_RANGE])
def test_damage_of_what_is_read(operation: Operation) -> None:
    flipped, left, _ = meet(operation, Fault.FLIPPED_BIT)
    assert isinstance(flipped, bytes)
    assert [(a ^ b).bit_count() for a, b in zip(flipped, OLD, strict=True) if a != b] == [1]
    assert left == contents(space_of_two()), "the stored bytes are as they were"
    assert meet(operation, Fault.TRUNCATED)[0] == OLD[: len(OLD) // 2]
    assert meet(operation, Fault.SWAPPED)[0] == OLD[::-1]


@pytest.mark.parametrize("operation", [Operation.PUT, Operation.CREATE])
def test_damage_of_what_is_stored(operation: Operation) -> None:
    answer, left, _ = meet(operation, Fault.FLIPPED_BIT)
    assert answer is None, "nobody says so"
    stored = left[TOUCHED[operation]]
    assert [(a ^ b).bit_count() for a, b in zip(stored, NEW, strict=True) if a != b] == [1]
    answer, left, _ = meet(operation, Fault.TRUNCATED)
    assert answer is None
    assert left[TOUCHED[operation]] == NEW[: len(NEW) // 2]


def test_the_seed_chooses_the_bit() -> None:
    def read(seed: int) -> bytes:
        store = FaultyStore(MemoryStore(space_of_two()), Process(at(1, Fault.FLIPPED_BIT), seed=seed))
        return store.get("log/1")

    assert read(1) == read(1)
    assert len({read(seed) for seed in range(20)}) > 5


def test_nothing_is_swapped_where_there_is_nothing_else() -> None:
    store = FaultyStore(MemoryStore(), Process(only(lambda call: Fault.SWAPPED, [Operation.GET])))
    store.put("log/1", OLD)
    store.put("blobs/1", NEW)
    assert store.get("log/1") == OLD


def test_a_listing_that_lags_behind() -> None:
    space = MemorySpace()
    process = Process(lambda call: Fault.STALE_LISTING if call.number > 1 else None, stale_keys=2)
    store, other = FaultyStore(MemoryStore(space), process), MemoryStore(space)
    for number in range(4):
        other.put(f"log/{number}", b"x")
    other.put("blobs/1", b"y")
    assert sorted(entry.key for entry in store.list("log")) == ["log/0", "log/1", "log/2", "log/3"]
    other.delete("log/1")
    for number in range(4, 8):
        other.put(f"log/{number}", b"x")
    shown = {"log/0", "log/1", "log/2", "log/3", "log/4", "log/5"}
    assert {entry.key for entry in store.list("log")} == shown, "what was shown stays, and the newest are left out"
    assert {entry.key for entry in store.list("blobs")} == set()
    assert store.get("log/7") == b"x", "reads by key are up to date"


def test_a_process_that_begins_may_see_nothing_of_the_newest() -> None:
    space = space_of_two()
    store = FaultyStore(MemoryStore(space), Process(at(1, Fault.STALE_LISTING), stale_keys=1))
    assert [entry.key for entry in store.list("log")] == ["log/1"]
    assert sorted(entry.key for entry in store.list("log")) == ["log/1", "log/2"]


@pytest.mark.parametrize("operation", Operation)
def test_a_delay(operation: Operation) -> None:
    clock = FakeClock()
    space, process = space_of_two(), Process(at(1, Fault.DELAY), clock=clock, delay_seconds=3.0)
    CALLS[operation](FaultyStore(MemoryStore(space), process))
    assert clock.monotonic() == 3.0
    assert contents(space) == done(operation)


@pytest.mark.parametrize("operation", Operation)
def test_what_cannot_befall_a_call_does_not(operation: Operation) -> None:
    plain = CALLS[operation](MemoryStore(space_of_two()))
    for fault in Fault:
        answer, left, process = meet(operation, fault)
        if can_befall(fault, operation):
            assert [met for _, met in process.met] == [fault]
        else:
            assert process.met == ()
            assert (answer, left) == (plain, done(operation))
    assert all(can_befall(fault, operation) for fault in CRASHES)


def test_it_says_what_the_store_behind_says_of_itself() -> None:
    class Unprotected(MemoryStore):
        creates_exclusively = False

    assert probe_exclusive(FaultyStore(MemoryStore(), Process()), "token")
    assert not probe_exclusive(FaultyStore(Unprotected(), Process()), "token")
    assert FaultyStore(MemoryStore(url="memory-store://x"), Process()).url == "memory-store://x"
