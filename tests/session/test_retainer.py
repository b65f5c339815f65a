"""Keeping to a rule while training: what stays, what it costs, and that no crash leaves a session without a way on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mlsession.errors import Cancelled, SessionTakenOver, StoreDenied, StoreFull
from mlsession.events import CheckpointSkipped, CheckpointsRemoved, RemovalFailed
from mlsession.randomness import keyed_generator
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.log.layout import record_key, record_of
from mlsession.session.log.records import Kind
from mlsession.session.opening import OpenOptions, open_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.policy import EveryIterations
from mlsession.session.retention import BATCH, Retention
from mlsession.session.stop import StopKind
from mlsession.session.upkeep.removal import leftover_keys
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, attempt_on, facts_of, unbroken
from tests.session.log.test_journal import ignore, load
from tests.session.stores import Crash, Fate, HookedStore, MortalStore, WrappedStore
from tests.session.test_damage import damage
from tests.session.test_removal import view_of

RULE = Retention(keep_last=3)


def keeping(space: MemorySpace, rule: Retention = RULE, interval: int = 1) -> Attempt:
    attempt = attempt_on(space, interval)
    attempt.retention = rule
    return attempt


def left(space: MemorySpace) -> list[tuple[str, int]]:
    return [(item.phase, item.iteration) for item in view_of(space).checkpoints]


def num_states(space: MemorySpace) -> int:
    """Checkpoints whose state is stored, whatever the log says."""
    return len({record_of(key) for key in space.values if key.startswith("blobs/")})


def test_a_finished_session_holds_what_the_rule_keeps() -> None:
    space = MemorySpace()
    attempt = keeping(space)
    assert attempt.walk(Walk(limit=40)) == unbroken(Walk(limit=40))
    steps = [("walking", 38), ("walking", 39), ("walking", 40)]
    assert left(space) == [*steps, ("summing", 6), ("summing", 7), ("summing", 8)]
    facts = facts_of(space)
    removals = [record for record in facts.records if record.kind is Kind.REMOVED]
    assert 2 <= len(removals) <= 48 // BATCH + 2
    told = [number for event in attempt.of(CheckpointsRemoved) for number in event.checkpoints]
    live = {entry.number for entry in facts.checkpoints}
    assert sorted(told) == [r.number for r in facts.records if r.kind is Kind.CHECKPOINT and r.number not in live]
    assert leftover_keys(MemoryStore(space), load(MemoryStore(space)).timeline) == ()
    assert view_of(space).verify(deep=True).is_whole


def test_a_session_with_an_index_keeps_to_it_too() -> None:
    space = MemorySpace()
    assert keeping(space).walk(Walk(limit=160)) == unbroken(Walk(limit=160))
    assert len(left(space)) == 6
    facts = facts_of(space)
    assert facts.records[-1].index is not None
    # A rule that comes later takes away what was kept before it.
    space = MemorySpace()
    attempt_on(space, 1).walk(Walk(limit=90))
    assert keeping(space).walk(Walk(limit=95)) == unbroken(Walk(limit=95))
    assert len(left(space)) == 6
    facts_of(space)


def test_without_a_rule_all_stay() -> None:
    space = MemorySpace()
    attempt = keeping(space, Retention())
    attempt.walk(Walk(limit=40))
    assert len(left(space)) == 40 + 8
    assert attempt.of(CheckpointsRemoved) == []
    assert all(record.kind is not Kind.REMOVED for record in facts_of(space).records)


def test_space_is_bounded_all_the_while() -> None:
    space = MemorySpace()
    most = 0

    def look(operation: str, key: str) -> None:
        nonlocal most
        if operation == "create":
            store = MemoryStore(space)
            most = max(most, sum(1 for entry in store.list("blobs") if store.get(entry.key)[8:9] == b"{"))

    attempt = keeping(space)
    attempt.open_store = lambda: HookedStore(MemoryStore(space), look)
    attempt.walk(Walk(limit=100))
    rows = sum(1 for turn in range(101) if turn % 4)
    # What the rule keeps, what waits for a record, and one batch that is being deleted.
    assert most - rows <= 3 + 2 * BATCH + 2


def test_a_stopped_session_is_left_at_once_and_tidied_up_later() -> None:
    space = MemorySpace()
    attempt = keeping(space)

    def stop(turn: int) -> None:
        if turn == 10:
            attempt.stop.ask(StopKind.CANCELLED, "enough", attempt.clock.monotonic())

    with pytest.raises(Cancelled):
        attempt.walk(Walk(limit=40, on_step=stop))
    assert left(space) == [("walking", turn) for turn in range(1, 11)]
    assert keeping(space).walk(Walk(limit=12)) == unbroken(Walk(limit=12))
    assert left(space)[:3] == [("walking", 10), ("walking", 11), ("walking", 12)]


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_call_leaves_a_way_on(after: bool) -> None:
    task = Walk(limit=30)
    expected = unbroken(task)
    random = keyed_generator(0, "crash while keeping", int(after))
    fate = Fate(at=-1, after=False)
    counted = MemorySpace()
    run_mortal(counted, fate, task)
    for at in random.choice(range(1, fate.calls + 1), size=15, replace=False).tolist():
        space, doom = MemorySpace(), Fate(at, after)
        with pytest.raises(Crash):
            run_mortal(space, doom, task)
        if any(key.startswith("log/") for key in space.values):
            facts = facts_of(space)
            commits = [record for record in facts.records if record.kind is Kind.CHECKPOINT]
            # After the first commit one verified checkpoint always exists.
            assert bool(facts.checkpoints) == bool(commits)
            assert view_of(space).verify(deep=True).is_whole
        assert keeping(space).walk(task) == expected, f"call {at}"
        assert len(left(space)) == 6
        timeline = load(MemoryStore(space)).timeline
        assert leftover_keys(MemoryStore(space), timeline) == ()
        facts_of(space)


def run_mortal(space: MemorySpace, fate: Fate, task: Walk) -> None:
    attempt = Attempt(open_store=lambda: MortalStore(space, fate), policy=EveryIterations(iterations=1), retention=RULE)
    attempt.walk(task)


def test_damage_to_the_newest_is_stepped_over_with_a_rule_too() -> None:
    for keys in (1, 2, 3):
        space = MemorySpace()
        keeping(space).walk(Walk(limit=30))
        entries = [entry for entry in facts_of(space).checkpoints if entry.phase == "walking"][-keys:]
        for entry in entries:
            damage(space, entry.state.key, "flipped")
        attempt = keeping(space)
        assert attempt.walk(Walk(limit=40)) == unbroken(Walk(limit=40))
        assert {event.key for event in attempt.of(CheckpointSkipped)} <= {entry.state.key for entry in entries}
        assert len(left(space)) == 6
        facts_of(space)


def test_a_damaged_page_of_the_index_is_done_without() -> None:
    space = MemorySpace()
    attempt_on(space, 1).walk(Walk(limit=90))
    (page,) = load(MemoryStore(space)).timeline.checkpoint_pages
    damage(space, page.blob.key, "flipped")
    attempt = keeping(space)
    assert attempt.walk(Walk(limit=95)) == unbroken(Walk(limit=95))
    assert (attempt.of(RemovalFailed), len(left(space))) == ([], 6)


def test_where_not_even_the_records_list_the_checkpoints_all_stay() -> None:
    space = MemorySpace()
    attempt_on(space, 1).walk(Walk(limit=90))
    (page,) = load(MemoryStore(space)).timeline.checkpoint_pages
    for key in (page.blob.key, record_key(20)):
        damage(space, key, "flipped")
    attempt = keeping(space)
    assert attempt.walk(Walk(limit=95)) == unbroken(Walk(limit=95))
    assert len(attempt.of(RemovalFailed)) == 1
    assert attempt.of(CheckpointsRemoved) == []


def test_a_store_that_refuses_to_delete_does_not_stop_the_training() -> None:
    space = MemorySpace()

    def refuse(operation: str, key: str) -> None:
        if operation == "delete":
            raise StoreDenied("deleting is not allowed", key)

    attempt = keeping(space)
    attempt.open_store = lambda: HookedStore(MemoryStore(space), refuse)
    assert attempt.walk(Walk(limit=60)) == unbroken(Walk(limit=60))
    (failed,) = attempt.of(RemovalFailed)
    assert failed.reason == "deleting is not allowed"
    # One batch was taken off the list before that showed; it goes when somebody may delete.
    assert len(attempt.of(CheckpointsRemoved)) == 1
    assert keeping(space).walk(Walk(limit=62)) == unbroken(Walk(limit=62))
    assert len(left(space)) == 6
    assert num_states(space) <= 6 + sum(1 for turn in range(63) if turn % 4)


def test_a_record_that_cannot_be_written_ends_the_job() -> None:
    """Its outcome is not clear, and the next number depends on it."""
    space, full = MemorySpace(), list[str]()

    class FullOnce(WrappedStore):
        def put_if_absent(self, key: str, data: bytes) -> None:
            if b'"kind":"removed"' in data and not full:
                full.append(key)
                raise StoreFull("no space left", key)
            super().put_if_absent(key, data)

    attempt = keeping(space)
    attempt.open_store = lambda: FullOnce(MemoryStore(space))
    with pytest.raises(StoreFull):
        attempt.walk(Walk(limit=60))
    assert attempt.of(RemovalFailed) == []
    assert keeping(space).walk(Walk(limit=60)) == unbroken(Walk(limit=60))
    facts_of(space)


def test_a_removal_that_is_fenced_ends_the_job() -> None:
    space = MemorySpace()
    taken: list[str] = []

    def take(operation: str, key: str) -> None:
        # The removal's record comes after what is kept and a batch of 16: right before it somebody else opens.
        if operation == "delete" and key.startswith("blobs/") and not taken:
            taken.append(key)
            open_session(MemoryStore(space), FakeClock(), OpenOptions(take_over=True), ignore)

    attempt = keeping(space)
    attempt.open_store = lambda: HookedStore(MemoryStore(space), take)
    with pytest.raises(SessionTakenOver):
        attempt.walk(Walk(limit=60))
    facts = facts_of(space)
    assert facts.records[-1].kind is Kind.OPENED
    assert view_of(space).verify(deep=True).is_whole
    assert keeping(space).walk(Walk(limit=60)) == unbroken(Walk(limit=60))


def test_on_a_disk(tmp_path: Path) -> None:
    attempt = keeping(MemorySpace(), Retention(keep_last=2))
    attempt.open_store = lambda: LocalStore(tmp_path)
    assert attempt.walk(Walk(limit=25)) == unbroken(Walk(limit=25))
    states = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and b'"state"' in path.read_bytes()]
    assert len(states) == 4


def test_parameters_name_the_rule() -> None:
    assert SessionParameters().retention == Retention()
    assert SessionParameters(keep_last=3, keep_best=2).retention == Retention(keep_last=3, keep_best=2)


def test_what_a_rule_would_not_keep_can_be_asked() -> None:
    space = MemorySpace()
    attempt_on(space, 1).walk(Walk(limit=10))
    session = view_of(space)
    gone = session.superseded_checkpoints(keep_last=4)
    assert [(item.phase, item.iteration) for item in gone] == [("walking", turn) for turn in range(1, 7)]
    assert session.remove_checkpoints(lambda item: item in gone) == gone
    assert session.superseded_checkpoints(keep_last=4) == ()
    metrics: list[Checkpoint] = list(session.checkpoints)
    assert all(math.isnan(item.metrics["nothing"]) for item in metrics if item.phase == "walking")
