"""Damage any stored byte: it is noticed, said, stepped over, and the result is that of an undisturbed run."""

from __future__ import annotations

import threading

import pytest

from mlsession.errors import DamagedData
from mlsession.events import CheckpointSkipped, PhaseStarted
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import heartbeat_key, record_key, record_number, record_of
from mlsession.session.log.records import Kind
from mlsession.session.phase import Past
from mlsession.session.policy import EveryIterations
from mlsession.session.stop import StopFlag
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.faults import WRITES, Fault, FaultyStore, Process, at, can_befall
from mlsession.testing.invariants import check_session
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, WalkResult, attempt_on, unbroken
from tests.session.one_phase import OnePhase
from tests.session.stores import HookedStore

HOW = pytest.mark.parametrize("how", ["flipped", "cut", "empty", "missing"])


def damage(space: MemorySpace, key: str, how: str) -> None:
    store = MemoryStore(space)
    data = store.get(key)
    match how:
        case "flipped":
            middle = len(data) // 2
            store.put(key, data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :])
        case "cut":
            store.put(key, data[:-1])
        case "empty":
            store.put(key, b"")
        case _:
            store.delete(key)


def session_of(task: Walk, interval: int = 3) -> MemorySpace:
    space = MemorySpace()
    attempt_on(space, interval).walk(task)
    return space


def copied(space: MemorySpace) -> MemorySpace:
    other = MemorySpace()
    for key, value in space.values.items():
        MemoryStore(other).put(key, value.data)
    return other


def keys_of(space: MemorySpace) -> list[str]:
    """Records and blobs, in order."""
    return sorted(key for key in space.values if key.startswith(("log/", "blobs/")))


def skipped(attempt: Attempt) -> set[str]:
    return {event.key for event in attempt.of(CheckpointSkipped)}


@HOW
def test_any_key_of_a_session_may_be_damaged(how: str) -> None:
    """Then the session is extended, which needs every record, the newest state, and all additive output."""
    expected, rows = unbroken(Walk(limit=14)), set[str]()
    for key in keys_of(session_of(Walk(limit=10))):
        space = session_of(Walk(limit=10))
        damage(space, key, how)
        attempt = attempt_on(space)
        assert attempt.walk(Walk(limit=14)) == expected, key
        events = attempt.of(CheckpointSkipped)
        assert [(event.key, event.checkpoint) for event in events] in ([], [(key, record_of(key))])
        assert all(event.reason for event in events)
        rows |= {key for event in events if "`mlsession checkpoints repair memory-store://`" in event.reason}
    state = Journal(MemoryStore(session_of(Walk(limit=10)))).load()
    assert state is not None
    assert {record_of(key) for key in rows} == {record_of(ref.key) for ref in state.timeline.adds["walking"].recent}


@HOW
def test_any_key_of_a_finished_session_may_be_damaged(how: str) -> None:
    task = Walk(limit=10)
    expected = unbroken(task)
    for number in range(len(keys_of(session_of(task)))):
        space = session_of(task)
        damage(space, keys_of(space)[number], how)
        assert attempt_on(space).walk(task) == expected
        # What was mended stays mended: the next call finds a finished session.
        again = attempt_on(space)
        assert again.walk(task) == expected
        assert again.events == []


def key_of(space: MemorySpace, what: str) -> str:
    """The key of one part of a session that walked 10 steps, saving at 3, 6, 9 and 10 (records 2 to 5)."""
    state = Journal(MemoryStore(space)).load()
    assert state is not None
    entries = {entry.iteration: entry for entry in state.timeline.recent if entry.phase == "walking"}
    return {
        "record 0": record_key(0),
        "the opening": record_key(1),
        "an old record": record_key(3),
        "the newest commit's record": record_key(6),
        "the newest record": record_key(state.end),
        "the newest state": entries[10].state.key,
        "an old state": entries[3].state.key,
        "the newest rows": entries[10].adds[0].key,
        "old rows": entries[6].adds[0].key,
        "the last phase's state": state.timeline.newest["summing"].state.key,
    }[what]


@pytest.mark.parametrize(
    ("what", "goes_on_from"),
    [
        ("record 0", 10),
        ("the opening", 0),
        ("an old record", 3),
        ("the newest commit's record", 10),
        ("the newest record", 10),
        ("the newest state", 9),
        ("the newest rows", 9),
        ("old rows", 3),
        ("the last phase's state", 10),
    ],
)
def test_the_state_before_the_damage_is_used(what: str, goes_on_from: int) -> None:
    space = session_of(Walk(limit=10))
    key = key_of(space, what)
    damage(space, key, "flipped")
    steps: list[int] = []
    attempt = attempt_on(space)
    assert attempt.walk(Walk(limit=14, on_step=steps.append)) == unbroken(Walk(limit=14))
    if what == "the last phase's state":
        assert skipped(attempt) == set()  # Walking on makes it start over anyway.
    else:
        assert skipped(attempt) == {key}
    # Damaged rows show only when the last phase reads them, after walking went on from 10.
    begins = [event.iteration for event in attempt.of(PhaseStarted) if event.phase == "walking"]
    assert begins[-1] == goes_on_from
    assert steps[-(14 - goes_on_from) :] == list(range(goes_on_from + 1, 15))


def test_an_old_state_is_not_even_read() -> None:
    space = session_of(Walk(limit=10))
    damage(space, key_of(space, "an old state"), "flipped")
    attempt = attempt_on(space)
    assert attempt.walk(Walk(limit=14)) == unbroken(Walk(limit=14))
    assert skipped(attempt) == set()


def test_several_damages_at_once() -> None:
    space = session_of(Walk(limit=10))
    targets = {key_of(space, what) for what in ("record 0", "the newest state", "old rows", "the newest record")}
    for key in targets:
        damage(space, key, "cut")
    attempt = attempt_on(space)
    assert attempt.walk(Walk(limit=14)) == unbroken(Walk(limit=14))
    assert skipped(attempt) <= targets
    assert key_of(session_of(Walk(limit=10)), "the newest record") in skipped(attempt)


def long_session() -> tuple[MemorySpace, WalkResult]:
    """A session with an index, and what extending it must give."""
    return session_of(Walk(limit=70), interval=1), unbroken(Walk(limit=73))


def index_keys(space: MemorySpace) -> list[str]:
    return [key for key in keys_of(space) if key.startswith("blobs/") and space.values[key].data[:1] == b"{"]


def test_any_blob_of_the_index_may_be_damaged() -> None:
    space, expected = long_session()
    names = index_keys(space)
    # Summary, page of checkpoints, page of rows.
    assert len(names) == 3
    for key in names:
        space, _ = long_session()
        target = index_keys(space)[names.index(key)]  # Its dates, and so its hash, are those of this run.
        damage(space, target, "flipped")
        attempt = attempt_on(space, interval=1)
        assert attempt.walk(Walk(limit=73)) == expected
        assert skipped(attempt) <= {target}


def test_damaged_pages_are_mended_even_if_all_are() -> None:
    space, expected = long_session()
    for key in index_keys(space):
        damage(space, key, "missing")
    attempt = attempt_on(space, interval=1)
    assert attempt.walk(Walk(limit=73)) == expected
    assert skipped(attempt)


def test_damage_that_the_result_meets_is_mended_too() -> None:
    class Reading(OnePhase):
        def result(self, past: Past) -> str:
            return str(past.state("only").data)

    space = MemorySpace()
    attempt_on(space).run(Reading(), {})
    state = Journal(MemoryStore(space)).load()
    assert state is not None
    damage(space, state.timeline.newest["only"].state.key, "flipped")
    attempt = attempt_on(space)
    assert attempt.run(Reading(), {}) == "{}"
    assert [event.checkpoint for event in attempt.of(CheckpointSkipped)] == [2]


@pytest.mark.parametrize("fault", [Fault.FLIPPED_BIT, Fault.TRUNCATED, Fault.SWAPPED])
def test_damage_on_the_way_costs_nothing(fault: Fault) -> None:
    """What is read wrong once is read again, before any checkpoint is passed over."""
    whole = session_of(Walk(limit=10))
    expected, undisturbed = unbroken(Walk(limit=14)), Process()
    extended(copied(whole), undisturbed)
    reads = [call for call in undisturbed.calls if can_befall(fault, call.operation) and call.operation not in WRITES]
    assert len(reads) > 20
    for call in reads[::3]:
        space, process = copied(whole), Process(at(call.number, fault))
        attempt, result, steps = extended(space, process)
        assert process.met
        assert result == expected, call
        assert not attempt.of(CheckpointSkipped), call
        assert steps == [11, 12, 13, 14], call
        check_session(MemoryStore(space))


def extended(space: MemorySpace, process: Process) -> tuple[Attempt, WalkResult, list[int]]:
    """A session taken on to 14 steps by a process, and the steps that this took."""
    steps: list[int] = []
    attempt = Attempt(open_store=lambda: FaultyStore(MemoryStore(space), process))
    return attempt, attempt.walk(Walk(limit=14, on_step=steps.append)), steps


def test_damage_of_something_else_is_not_taken_for_ours() -> None:
    class Elsewhere(OnePhase):
        def result(self, past: Past) -> str:
            # Another session's blob, written for a record whose number we have, too.
            raise DamagedData("blobs/0000000001/0000000002-" + 64 * "0", "it is missing")

    space = MemorySpace()
    attempt = attempt_on(space)
    with pytest.raises(DamagedData, match="0000000002-000"):
        attempt.run(Elsewhere(), {})
    assert skipped(attempt) == set()
    facts = check_session(MemoryStore(space))
    assert facts is not None
    assert [record.kind for record in facts.records[1:]] == [Kind.OPENED, Kind.CHECKPOINT, Kind.CLOSED]


def test_the_heart_beats_for_the_opening_after_stepping_back() -> None:
    """Else another process would take the session for abandoned, and nobody could ask it to stop."""
    space = session_of(Walk(limit=10))
    damage(space, key_of(space, "the newest state"), "flipped")
    before = max(number for key in space.values if (number := record_number(key)) is not None)
    beaten = threading.Event()

    def watch(operation: str, key: str) -> None:
        if key == heartbeat_key(before + 2):
            beaten.set()

    def on_step(turn: int) -> None:
        if turn == 12:
            assert beaten.wait(60)

    attempt = Attempt(
        open_store=lambda: HookedStore(MemoryStore(space), watch),
        policy=EveryIterations(iterations=3),
        stop=StopFlag(),
    )
    assert attempt.walk(Walk(limit=14, on_step=on_step)) == unbroken(Walk(limit=14))
    assert len(skipped(attempt)) == 1
