"""Several stored files damaged at once: the session is never stuck, and trains on to what an undisturbed run gives.

More of it: MLSESSION_DAMAGES=1000 pytest tests/session/test_many_damages.py
"""

from __future__ import annotations

import os

import pytest

from mlsession.events import CheckpointSkipped, PhaseStarted
from mlsession.randomness import keyed_generator
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import record_key, record_of
from mlsession.session.past import StoredPast
from mlsession.session.retention import Retention
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.walk import Walk
from tests.session.attempts import WalkResult, attempt_on, unbroken
from tests.session.test_damage import copied, damage, index_keys, keys_of
from tests.session.test_removal import view_of

CASES = int(os.environ.get("MLSESSION_DAMAGES", "10"))
"""How many; the same ones in every run."""
LIMIT = 78
"""Steps: enough for an index, and for records behind it."""


class Stopped(Exception):
    """What ends a run at some step."""


def stopped_at(last: int, keep_last: int | None = None) -> MemorySpace:
    """A session that failed at step `last`, or finished before it."""

    def on_step(turn: int) -> None:
        if turn == last:
            raise Stopped

    space = MemorySpace()
    attempt = attempt_on(space, interval=1)
    attempt.retention = Retention(keep_last=keep_last)
    try:
        attempt.walk(Walk(limit=LIMIT, on_step=on_step))
    except Stopped:
        pass
    return space


@pytest.fixture(scope="module")
def sessions() -> tuple[MemorySpace, ...]:
    """Half-way, half-way with most checkpoints removed, and finished; nobody may write to them."""
    return stopped_at(LIMIT - 4), stopped_at(LIMIT - 4, keep_last=2), stopped_at(LIMIT + 1)


@pytest.fixture(scope="module")
def expected() -> WalkResult:
    return unbroken(Walk(limit=LIMIT + 3))


@pytest.mark.parametrize("case", range(CASES))
def test_several_damages_leave_a_session_that_trains_on(
    sessions: tuple[MemorySpace, ...], expected: WalkResult, case: int
) -> None:
    """And `verify` says beforehand from where."""
    random = keyed_generator(0, "damages", case)
    place = case % len(sessions)
    space, keys = copied(sessions[place]), keys_of(sessions[place])
    for key in keys_of(space):
        # Whole records with their blobs as well as single files: each of the two may be what tells of the other.
        number = record_of(key) or 0
        if keyed_generator(case, "record", number).random() < 0.04 or random.random() < 1.5 / len(keys):
            damage(space, key, str(random.choice(["flipped", "missing"])))
    said = view_of(space).verify(deep=True).resumes_from
    attempt = attempt_on(space, interval=1)
    assert attempt.walk(Walk(limit=LIMIT + 3)) == expected
    began = [event.iteration for event in attempt.of(PhaseStarted) if event.phase == "walking"]
    if said is None or said.phase == "walking":
        assert min(began) == (0 if said is None else said.iteration)


def test_a_record_behind_the_index_and_what_it_committed(sessions: tuple[MemorySpace, ...]) -> None:
    """The blob leads to its record, which does not say any more what it was built on."""
    space, number = copied(sessions[0]), 10
    for key in keys_of(space):
        if record_of(key) == number:
            damage(space, key, "flipped")
    said = view_of(space).verify(deep=True).resumes_from
    assert said is not None
    attempt = attempt_on(space, interval=1)
    assert attempt.walk(Walk(limit=LIMIT)) == unbroken(Walk(limit=LIMIT))
    began = [event.iteration for event in attempt.of(PhaseStarted) if event.phase == "walking"]
    assert [said.iteration, began[-1]] == [8, 8]  # Checkpoint 9, the newest before it.


@pytest.mark.parametrize("last", [LIMIT - 4, LIMIT + 1])
def test_pages_of_the_index_that_the_records_tell_as_well_cost_nothing(last: int) -> None:
    space, steps = stopped_at(last), list[int]()
    pages = [key for key in index_keys(space) if b'{"items":' in space.values[key].data]
    assert len(pages) == 2
    for key in pages:
        damage(space, key, "missing")
    state = Journal(MemoryStore(space)).load()
    assert state is not None
    assert sum(len(rows["turn"]) for rows in StoredPast(MemoryStore(space), state.timeline).rows("walking")) > LIMIT
    attempt, limit = attempt_on(space, interval=1), LIMIT + 70
    assert attempt.walk(Walk(limit=limit, on_step=steps.append)) == unbroken(Walk(limit=limit))
    assert steps == list(range(min(last, LIMIT + 1), limit + 1))
    assert not attempt.of(CheckpointSkipped)
    # So long that it had a new index made in between, which is whole.
    assert view_of(space).verify(deep=True).is_whole


def test_a_page_whose_records_are_damaged_too_is_stepped_over(sessions: tuple[MemorySpace, ...]) -> None:
    space = copied(sessions[0])
    state = Journal(MemoryStore(space)).load()
    assert state is not None
    (page,) = state.timeline.adds["walking"].pages
    damage(space, page.blob.key, "empty")
    damage(space, record_key(10), "flipped")
    attempt = attempt_on(space, interval=1)
    assert attempt.walk(Walk(limit=LIMIT)) == unbroken(Walk(limit=LIMIT))
    assert (page.blob.key, state.timeline.start) in [
        (event.key, event.checkpoint) for event in attempt.of(CheckpointSkipped)
    ]
