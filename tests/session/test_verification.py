"""Verifying a session names exactly what is damaged, and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mlsession.session.log.layout import record_key, record_of
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, attach, open_session
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import stored_bytes
from tests.session.log.test_journal import ignore, load, stage, writer_of
from tests.session.stores import HookedStore
from tests.session.test_damage import damage, index_keys
from tests.session.test_opening import created
from tests.session.test_removal import anything, two_runs, view_of, walked


def blobs_of(space: MemorySpace) -> list[str]:
    return sorted(key for key in space.values if key.startswith("blobs/"))


@pytest.mark.parametrize("make", [walked, two_runs])
def test_a_whole_session(make: Callable[[], MemorySpace]) -> None:
    space = make()
    before = stored_bytes(MemoryStore(space))
    found = view_of(space).verify(deep=True)
    assert found.is_whole
    assert found.problems == ()
    assert found.checkpoints == len(view_of(space).checkpoints)
    assert found.blobs == len(blobs_of(space))
    assert found.size_bytes == sum(len(before[key]) for key in blobs_of(space))
    assert stored_bytes(MemoryStore(space)) == before


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_each_blob_is_read(how: str) -> None:
    space = two_runs()
    for key in blobs_of(space):
        space = two_runs()
        damage(space, key, how)
        (problem,) = view_of(space).verify(deep=True).problems
        assert (problem.key, problem.checkpoint) == (key, record_of(key))
        assert ("missing" in problem.reason) == (how == "missing")


def test_the_records_of_checkpoints_are_read() -> None:
    space = walked(limit=90)
    # So far back that opening the session does not need it.
    damage(space, record_key(20), "flipped")
    (problem,) = view_of(space).verify(deep=True).problems
    assert (problem.checkpoint, problem.key) == (20, record_key(20))


def test_inputs_are_read() -> None:
    store = MemoryStore()
    created(store)
    options = OpenOptions(stale_after=0, attachments={"test": attach(store, b"test images")})
    writer, _ = open_session(store, FakeClock(), options, ignore)
    writer.commit(stage(1))
    writer.close(Outcome.PAUSED, "")
    view = view_of(store.space)
    assert view.verify(deep=True).is_whole
    inputs = [key for key in blobs_of(store.space) if record_of(key) == 0]
    assert len(inputs) == 2
    for key in inputs:
        damage(store.space, key, "cut")
    found = view.verify(deep=True)
    assert {(problem.checkpoint, problem.key) for problem in found.problems} == {(None, key) for key in inputs}


def test_pages_of_the_index_are_read_and_done_without() -> None:
    space = walked(limit=90)
    whole = view_of(space).verify(deep=True)
    keys = index_keys(space)
    for key in keys:
        damage(space, key, "flipped")
    found = view_of(space).verify(deep=True)
    assert {problem.key for problem in found.problems} <= set(keys)
    assert found.problems
    # The records tell the same, so each checkpoint is still checked.
    assert found.checkpoints == whole.checkpoints
    state = load(MemoryStore(space)).timeline.newest["walking"].state.key
    damage(space, state, "flipped")
    assert state in {problem.key for problem in view_of(space).verify(deep=True).problems}


def test_what_was_removed_is_not_missed() -> None:
    space = two_runs()
    session = view_of(space)
    session.remove_checkpoints(anything)
    found = session.verify(deep=True)
    assert (found.checkpoints, found.blobs, found.is_whole) == (1, 4, True)


def test_a_job_that_removes_meanwhile_is_no_damage() -> None:
    space = walked()
    removed: list[object] = []

    def remove(operation: str, key: str) -> None:
        # Just before the first state would be read.
        if operation == "get" and key.startswith("blobs/") and not removed:
            removed.append(key)
            removed.extend(view_of(space).remove_checkpoints(anything))

    session = view_of(space, lambda: HookedStore(MemoryStore(space), remove))
    found = session.verify(deep=True)
    assert len(removed) == 11
    assert (found.is_whole, found.checkpoints) == (True, 2)


def test_it_is_json() -> None:
    space = two_runs()
    damage(space, blobs_of(space)[0], "missing")
    found = json.loads(json.dumps(view_of(space).verify(deep=True).to_json()))
    assert found.keys() == {
        "deep",
        "checkpoints",
        "records",
        "blobs",
        "size_bytes",
        "problems",
        "resumes_from",
        "given_up",
        "unreferenced",
        "unreferenced_bytes",
        "foreign",
    }
    assert found["problems"][0].keys() == {"checkpoint", "key", "reason", "cure"}


def test_a_new_session() -> None:
    store = MemoryStore()
    writer_of(store)
    found = view_of(store.space).verify(deep=True)
    assert (found.checkpoints, found.blobs, found.is_whole) == (0, 0, True)
