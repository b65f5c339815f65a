"""Repairing a session: what can be made again is, to the bit; what is lost goes; what can be used stays usable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mlsession.errors import SessionInUse, UsageError
from mlsession.events import CheckpointSkipped, PhaseStarted
from mlsession.session.log.layout import heartbeat_key, record_key, record_of
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, open_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Past, PhaseRunner, PhaseState, Step
from mlsession.session.retention import Retention
from mlsession.session.session import TrainingSession
from mlsession.session.upkeep.integrity import Cure, Repair
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import stored_bytes
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on, facts_of, outcome_of, unbroken
from tests.session.log.test_journal import ignore, load
from tests.session.stores import Crash, Fate, MortalStore
from tests.session.test_branching import newest_state
from tests.session.test_damage import damage, index_keys
from tests.session.test_removal import anything, two_runs, view_of, walked
from tests.session.test_verification import blobs_of

TASK = Walk(limit=10)


def blobs(space: MemorySpace) -> dict[str, bytes]:
    return {key: value for key, value in stored_bytes(MemoryStore(space)).items() if key.startswith("blobs/")}


def counting(limit: int = 10) -> tuple[Walk, list[int]]:
    """The task, and the iterations that were done."""
    steps: list[int] = []
    return Walk(limit=limit, on_step=steps.append), steps


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_any_blob_is_mended(how: str) -> None:
    keys = blobs_of(walked(interval=3))
    expected = unbroken(TASK)
    for place in range(len(keys)):
        space = walked(interval=3)
        before, key = blobs(space), blobs_of(space)[place]
        damage(space, key, how)
        (problem,) = view_of(space).verify(deep=True).problems
        done = view_of(space).repair(TASK)
        after = blobs(space)
        if problem.cure is Cure.REMOVE:
            assert [checkpoint.number for checkpoint in done.removed] == [record_of(key)]
            assert after == {name: data for name, data in before.items() if name != key}
        else:
            assert (problem.cure, done.remade) == (Cure.REMAKE, (key,))
            assert after == before
        assert (done.left, done.went_back, done.reindexed) == ((), False, False)
        assert view_of(space).verify(deep=True).is_whole
        facts_of(space)
        again = attempt_on(space)
        assert again.walk(TASK) == expected
        assert again.events == [], "it is still finished"
        assert attempt_on(space).walk(Walk(limit=14)) == unbroken(Walk(limit=14))


def test_several_at_once() -> None:
    space = walked(interval=2)
    before = blobs(space)
    for key in blobs_of(space):
        damage(space, key, "flipped")
    done = view_of(space).repair(TASK)
    assert done.left == ()
    live = {checkpoint.number for checkpoint in view_of(space).checkpoints}
    assert {checkpoint.number for checkpoint in done.removed} == {2, 3, 4, 5}
    assert live == {6, 7}
    assert blobs(space) == {key: before[key] for key in blobs(space)}
    assert view_of(space).verify(deep=True).is_whole
    assert attempt_on(space).walk(Walk(limit=14)) == unbroken(Walk(limit=14))


def rows_of(space: MemorySpace, number: int) -> str:
    entry = next(e for e in facts_of(space).timeline if e.number == number)
    return str(entry.body["adds"][0]["key"])  # type: ignore[index, call-overload]


def test_only_the_steps_between_two_commits_are_done_again() -> None:
    space = walked(interval=2)
    damage(space, rows_of(space, 4), "flipped")  # Steps 5 and 6.
    task, steps = counting()
    checkpoints = view_of(space).checkpoints
    done = view_of(space).repair(task)
    assert steps == [5, 6]
    assert len(done.remade) == 1
    assert view_of(space).checkpoints == checkpoints


def test_without_the_state_before_it_begins_further_back() -> None:
    space = MemorySpace()
    attempt = attempt_on(space, 1)
    attempt.retention = Retention(keep_last=2)
    attempt.walk(TASK)
    before = blobs(space)
    damage(space, rows_of(space, 6), "missing")
    task, steps = counting()
    assert view_of(space).repair(task).left == ()
    assert steps == [1, 2, 3, 4, 5]
    assert blobs(space) == before


def test_the_task_of_another_session_is_refused() -> None:
    space = two_runs()
    damage(space, rows_of(space, 3), "flipped")
    problems = view_of(space).verify(deep=True).problems
    assert [(problem.checkpoint, problem.cure) for problem in problems] == [(3, Cure.REMAKE)]
    before = stored_bytes(MemoryStore(space))
    with pytest.raises(UsageError, match="is a session of task 'test', not 'walk'"):
        view_of(space).repair(TASK)
    assert stored_bytes(MemoryStore(space)) == before


class Drifting:
    """Rows that are not what they were."""

    def __init__(self, runner: PhaseRunner) -> None:
        self._runner = runner

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        for step in self._runner.run(state):
            yield replace(step, adds={name: array + 1 for name, array in step.adds.items()})


class Drifted(Walk):
    def runner(self, phase: str, past: Past) -> PhaseRunner:
        return Drifting(super().runner(phase, past))


def test_what_comes_out_otherwise_is_left_alone() -> None:
    space = walked(interval=2)
    key = rows_of(space, 4)
    damage(space, key, "flipped")
    before = blobs(space)
    done = view_of(space).repair(Drifted(limit=10))
    (left,) = done.left
    assert (left.key, left.cure) == (key, Cure.REMAKE)
    assert "it comes out otherwise today" in left.reason
    assert done.resumes_from is not None
    assert (done.resumes_from.number, done.resumes_from.iteration) == (3, 4)
    assert blobs(space) == before
    # The model can still be used, and a run that needs the rows goes back, as ever.
    assert attempt_on(space).walk(TASK) == unbroken(TASK)
    attempt = attempt_on(space)
    assert attempt.walk(Walk(limit=14)) == unbroken(Walk(limit=14))
    assert [event.key for event in attempt.of(CheckpointSkipped)] == [key]
    begins = [event.iteration for event in attempt.of(PhaseStarted) if event.phase == "walking"]
    assert begins[-1] == 4, "where the repair said"


def test_without_a_task_it_says_so() -> None:
    space = walked(interval=2)
    keys = {newest_state(space, "walking"), next(key for key in blobs_of(space) if record_of(key) == 3)}
    for key in keys:
        damage(space, key, "cut")
    done = view_of(space).repair(without_task="the disk with the images is not there")
    assert all("the disk with the images" in problem.reason for problem in done.left)
    assert len(done.left) + len(done.removed) == 2
    assert done.remade == ()


def test_a_task_that_cannot_read_its_data_harms_nothing() -> None:
    class Gone(Walk):
        def runner(self, phase: str, past: Past) -> PhaseRunner:
            raise UsageError("the images are gone")

    space = walked(interval=2)
    damage(space, rows_of(space, 4), "flipped")
    before = {number: load(MemoryStore(space)).timeline.newest[number].number for number in ("walking", "summing")}
    done = view_of(space).repair(Gone(limit=10))
    assert "the images are gone" in done.left[0].reason
    assert {n: load(MemoryStore(space)).timeline.newest[n].number for n in ("walking", "summing")} == before


def test_nothing_damaged_nothing_written() -> None:
    space = walked()
    before = stored_bytes(MemoryStore(space))
    done = view_of(space).repair(TASK)
    assert done == Repair(resumes_from=done.resumes_from)
    assert stored_bytes(MemoryStore(space)) == before


@pytest.mark.parametrize("which", ["summary", "pages", "all"])
def test_the_index_is_made_anew(which: str) -> None:
    space = walked(limit=70)
    tip = load(MemoryStore(space)).timeline.tip
    assert tip.index is not None
    chosen = {"summary": {tip.index.key}, "all": set(index_keys(space))}.get(
        which, set(index_keys(space)) - {tip.index.key}
    )
    checkpoints = view_of(space).checkpoints
    for key in chosen:
        damage(space, key, "flipped")
    found = view_of(space).verify()
    assert {problem.cure for problem in found.problems} == {Cure.REINDEX}
    done = view_of(space).repair(Walk(limit=70))
    assert (done.reindexed, done.left, done.removed, done.remade) == (True, (), (), ())
    facts_of(space)
    session = view_of(space)
    assert session.checkpoints == checkpoints
    assert session.verify(deep=True).is_whole
    assert session.timeline.tip.index is not None
    assert session.timeline.tip.index.key not in chosen
    assert attempt_on(space).walk(Walk(limit=70)) == unbroken(Walk(limit=70))
    attempt = attempt_on(space)
    assert attempt.walk(Walk(limit=75)) == unbroken(Walk(limit=75))
    assert attempt.of(CheckpointSkipped) == []


def test_an_index_made_anew_forgets_no_half_done_removal() -> None:
    space = walked(limit=70)
    fate = Fate(4, after=False)
    with pytest.raises(Crash):
        view_of(space, lambda: MortalStore(space, fate)).remove_checkpoints(lambda item: item.iteration < 5)
    named = [key for key in blobs_of(space) if 2 <= (record_of(key) or 0) <= 5]
    for page in load(MemoryStore(space)).timeline.checkpoint_pages:
        damage(space, page.blob.key, "flipped")
    assert view_of(space).repair(Walk(limit=70)).reindexed
    facts_of(space)
    states = [key for key in blobs_of(space) if 2 <= (record_of(key) or 0) <= 5]
    assert len(states) == len(named) - 3, "what the removal had named is gone; the rows stay"
    assert view_of(space).verify(deep=True).is_whole


@pytest.mark.parametrize("back", [0, 1, 3])
def test_damaged_records_are_gone_back_before(back: int) -> None:
    space = walked(interval=2)
    number = load(MemoryStore(space)).end - back
    damage(space, record_key(number), "flipped")
    found = view_of(space).verify()
    assert record_key(number) in {problem.key for problem in found.problems}
    done = view_of(space).repair(TASK)
    assert (done.went_back, done.left) == (True, ())
    after = view_of(space).verify(deep=True)
    assert (after.problems, after.given_up) == ((), (record_key(number),))
    assert outcome_of_tip(space) == Outcome.INTERRUPTED
    assert attempt_on(space).walk(TASK) == unbroken(TASK)


def outcome_of_tip(space: MemorySpace) -> Outcome:
    closed = load(MemoryStore(space)).timeline.closed
    assert closed is not None
    return Outcome(str(closed.body["outcome"]))


def test_an_old_checkpoint_whose_record_is_damaged_goes() -> None:
    space = walked(limit=70)
    damage(space, record_key(20), "flipped")
    (problem,) = view_of(space).verify().problems
    assert (problem.checkpoint, problem.cure) == (20, Cure.REMOVE)
    done = view_of(space).repair(Walk(limit=70))
    assert [checkpoint.number for checkpoint in done.removed] == [20]
    after = view_of(space).verify(deep=True)
    assert (after.problems, after.given_up) == ((), (record_key(20),))


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_call(after: bool) -> None:
    expected = unbroken(Walk(limit=14))

    def damaged() -> MemorySpace:
        space = walked(interval=2)
        for key in (rows_of(space, 4), newest_state(space, "walking"), next(iter(states(space)))):
            damage(space, key, "flipped")
        return space

    def states(space: MemorySpace) -> list[str]:
        return [entry.state.key for entry in facts_of(space).checkpoints]

    for number in range(1, 100):
        space, fate = damaged(), Fate(number, after)
        try:
            view_of(space, lambda space=space, fate=fate: MortalStore(space, fate)).repair(TASK)  # type: ignore[misc]
        except Crash:
            view_of(space).repair(TASK)
            facts_of(space)
            assert view_of(space).verify(deep=True).is_whole
            assert [checkpoint.number for checkpoint in view_of(space).checkpoints] == [3, 4, 5, 6, 7]
            assert attempt_on(space).walk(Walk(limit=14)) == expected
        else:
            assert number > 5
            return
    raise AssertionError("it never ended")


def test_a_living_writer_is_not_robbed() -> None:
    space = walked()
    damage(space, newest_state(space, "walking"), "cut")
    store = MemoryStore(space)
    writer, _ = open_session(store, FakeClock(), OpenOptions(), ignore)
    before = blobs(space)
    beats = 0

    def beat(seconds: float) -> None:
        nonlocal beats
        beats += 1
        store.put(heartbeat_key(writer.opening), str(beats).encode())

    session = TrainingSession(lambda: MemoryStore(space), SessionParameters("m"), FakeClock(on_sleep=beat))
    with pytest.raises(SessionInUse):
        session.repair(TASK)
    assert blobs(space) == before


def test_a_finished_session_stays_finished() -> None:
    space = walked()
    view_of(space).remove_checkpoints(anything)
    damage(space, newest_state(space, "summing"), "missing")
    assert view_of(space).repair(TASK).left == ()
    assert outcome_of(space) == ("finished", "")
    again = attempt_on(space)
    assert again.walk(TASK) == unbroken(TASK)
    assert again.events == []
