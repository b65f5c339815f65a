"""Going back past damage when checkpoints were removed: never onto one that is gone, and what is gone stays so."""

from __future__ import annotations

import pytest

from mlsession.errors import DamagedData
from mlsession.events import CheckpointSkipped, PhaseStarted
from mlsession.randomness import keyed_generator
from mlsession.session.log.layout import record_key
from mlsession.session.log.records import Kind, Outcome
from mlsession.session.upkeep.removal import Remover
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on, facts_of, unbroken
from tests.session.log.test_journal import load, stage, writer_of
from tests.session.test_damage import damage
from tests.session.test_removal import anything, numbers, view_of, walked


def newest_state(space: MemorySpace, phase: str) -> str:
    return load(MemoryStore(space)).timeline.newest[phase].state.key


@pytest.mark.parametrize("limit", [10, 90])
def test_the_newest_checkpoint_that_is_left_is_gone_on_from(limit: int) -> None:
    space = walked(limit)
    session = view_of(space)
    # Steps 4 and 5 stay (records 5 and 6), and the newest.
    gone = session.remove_checkpoints(lambda item: item.phase == "walking" and item.iteration not in (4, 5))
    key = newest_state(space, "walking")
    damage(space, key, "flipped")
    attempt = attempt_on(space, 1)
    assert attempt.walk(Walk(limit=limit + 2)) == unbroken(Walk(limit=limit + 2))
    assert [event.key for event in attempt.of(CheckpointSkipped)] == [key]
    begins = [event.iteration for event in attempt.of(PhaseStarted) if event.phase == "walking"]
    assert begins == [5]
    facts = facts_of(space)
    left = [entry.number for entry in facts.checkpoints]
    assert left[:2] == [5, 6]
    assert not set(left) & set(numbers(gone))
    (branch,) = [record for record in facts.timeline if "removed" in record.body]
    assert (branch.kind, branch.parent, branch.body["removed"]) == (Kind.OPENED, 6, [2, 3, 4])
    assert view_of(space).verify(deep=True).is_whole


def test_with_nothing_left_to_go_back_to_the_phase_starts_anew() -> None:
    space = walked()
    view_of(space).remove_checkpoints(anything)
    damage(space, newest_state(space, "walking"), "missing")
    attempt = attempt_on(space)
    assert attempt.walk(Walk(limit=12)) == unbroken(Walk(limit=12))
    assert len(attempt.of(CheckpointSkipped)) == 1
    facts_of(space)
    assert view_of(space).verify(deep=True).is_whole


def test_an_old_evaluation_that_is_gone_costs_no_training() -> None:
    """It does not count any more, so going on never looks at its state."""
    space = walked(10)
    attempt_on(space, 1).walk(Walk(limit=14))
    session = view_of(space)
    session.remove_checkpoints(lambda item: item.phase == "summing")
    assert [item.iteration for item in session.checkpoints if item.phase == "walking"] == list(range(1, 15))
    damage(space, newest_state(space, "walking"), "flipped")
    attempt = attempt_on(space)
    assert attempt.walk(Walk(limit=14)) == unbroken(Walk(limit=14))
    begins = [event.iteration for event in attempt.of(PhaseStarted) if event.phase == "walking"]
    assert begins[-1] == 13
    facts_of(space)


@pytest.mark.parametrize("what", ["closed", "removed"])
def test_a_damaged_record_after_a_removal(what: str) -> None:
    space = walked()
    session = view_of(space)
    gone = session.remove_checkpoints(lambda item: item.phase == "walking" and item.iteration < 5)
    end = load(MemoryStore(space)).end
    number = {"closed": end, "removed": end - 1}[what]
    damage(space, record_key(number), "flipped")
    # Without the record of it the removal is forgotten, and the verification says what is missing.
    missing = numbers(gone) if what == "removed" else []
    problems = view_of(space).verify(deep=True).problems
    assert [problem.checkpoint for problem in problems if problem.reason == "it is missing"] == missing
    assert record_key(number) in {problem.key for problem in problems}
    attempt = attempt_on(space, 1)
    assert attempt.walk(Walk(limit=14)) == unbroken(Walk(limit=14))
    assert [event.checkpoint for event in attempt.of(CheckpointSkipped)] == [number]
    # What is listed and lost can be removed, and then all is well.
    view = view_of(space)
    view.remove_checkpoints(lambda item: item.phase == "walking" and item.iteration < 5)
    assert view.verify(deep=True).is_whole
    assert attempt_on(space).walk(Walk(limit=15)) == unbroken(Walk(limit=15))


def test_removals_of_an_abandoned_branch_still_hold() -> None:
    """A record is damaged, the removals after it can be read: what they removed is not listed again."""
    store = MemoryStore()
    writer = writer_of(store)
    for iteration in range(1, 6):
        writer.commit(stage(iteration))
    writer.close(Outcome.PAUSED, "")
    # 8 opened, 9 a checkpoint, 10 removed 2 and 3.
    writer = writer_of(store)
    writer.commit(stage(6))
    remover = Remover(store, writer)
    remover.plan(remover.live(), {2, 3})
    while remover.is_busy:
        remover.step()
    writer.close(Outcome.PAUSED, "")
    damage(store.space, record_key(9), "cut")
    assert load(store).timeline.tip.number == 8
    writer = writer_of(store)
    assert writer.timeline.opened.body["removed"] == [2, 3]
    assert writer.timeline.newest["training"].number == 6
    assert [entry.number for entry in Remover(store, writer).live()] == [4, 5, 6]
    # And the next opening of the same branch does not repeat it.
    assert "removed" not in writer_of(store).timeline.opened.body


def test_an_abandoned_branch_may_have_removed_what_the_state_before_it_rests_on() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    for iteration in range(1, 5):
        writer.commit(stage(iteration))
    # 5 was the newest; after 6 and 7 it is removed, and then the record of 6 is damaged.
    writer.commit(stage(5))
    writer.commit(stage(6))
    remover = Remover(store, writer)
    remover.plan(remover.live(), {4, 5})
    while remover.is_busy:
        remover.step()
    writer.close(Outcome.PAUSED, "")
    damage(store.space, record_key(6), "cut")
    assert load(store).timeline.newest["training"].number == 5
    writer = writer_of(store)
    assert writer.timeline.newest["training"].number == 3
    assert [entry.number for entry in Remover(store, writer).live()] == [2, 3]
    writer.commit(stage(3))
    assert view_of(store.space).at_checkpoint(3).state("training").arrays["iteration"].tolist() == [2]


def test_any_removal_and_any_damage_to_what_is_left() -> None:
    expected = unbroken(Walk(limit=16))
    random = keyed_generator(0, "removals and damage")
    for trial in range(12):
        space = walked(10)
        attempt_on(space, 2).walk(Walk(limit=14))
        session = view_of(space)
        chosen = set(random.choice(range(2, 30), size=int(random.integers(1, 20)), replace=False).tolist())
        gone = numbers(session.remove_checkpoints(lambda item, chosen=chosen: item.number in chosen))  # type: ignore[misc]
        blobs = sorted(key for key in space.values if key.startswith("blobs/"))
        keys = {blobs[int(random.integers(len(blobs)))], newest_state(space, "walking")}
        for key in keys:
            damage(space, key, "flipped")
        attempt = attempt_on(space, 3)
        assert attempt.walk(Walk(limit=16)) == expected, f"trial {trial}"
        assert {event.key for event in attempt.of(CheckpointSkipped)} <= keys
        view = view_of(space)
        assert not set(numbers(view.checkpoints)) & set(gone), f"trial {trial}: {gone}, {keys}"
        problems = {problem.key for problem in view.verify(deep=True).problems}
        assert problems <= keys, f"trial {trial}"
        if not problems:
            facts_of(space)


def test_a_session_of_which_nothing_can_be_read_is_not_opened() -> None:
    space = walked(4)
    for key in [key for key in space.values if key.startswith("log/")]:
        damage(space, key, "empty")
    with pytest.raises(DamagedData):
        view_of(space)
