"""A state that several processes share is as good as any: committed, resumed, indexed, removed, and stepped over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mlsession.events import CheckpointSkipped
from mlsession.session.log.blobs import encode_arrays, write_blob
from mlsession.session.log.layout import record_of
from mlsession.session.log.pages import TAIL
from mlsession.session.log.records import BlobRef
from mlsession.session.phase import Past, PhaseRunner, PhaseState, Step
from mlsession.session.policy import EveryIterations
from mlsession.session.upkeep.integrity import Cure
from mlsession.store import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.testing.invariants import stored_bytes
from mlsession.testing.matrix import SessionWatch, WatchedStore
from tests.docs.reader import SessionFolder
from tests.session.attempts import Attempt, attempt_on, facts_of
from tests.session.log.test_journal import load, stage, writer_of
from tests.session.test_damage import damage
from tests.session.test_removal import anything, view_of

PARTS = 3


@dataclass(frozen=True)
class Shared:
    """Each step adds its number to a vector of three elements, of which each part is saved by another process."""

    limit: int

    name = "shared"
    phases = ("only",)

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        return self

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        done, vector = 0, np.zeros(PARTS)
        if state is not None:
            assert len(state.shards) == PARTS
            assert "vector" not in state.arrays
            done, vector = int(str(state.data["done"])), np.concatenate([read()["vector"] for read in state.shards])
        for turn in range(done + 1, self.limit + 1):
            vector = vector + np.arange(PARTS) * turn
            yield Step(
                iteration=turn, total=self.limit, snapshot=partial(shared, turn, vector), last=turn == self.limit
            )

    def inputs(self, phase: str) -> str:
        return ""

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return state.data["done"] == self.limit

    def result(self, past: Past) -> list[float]:
        return [float(read()["vector"][0]) for read in past.state("only").shards]


def shared(turn: int, vector: np.ndarray[tuple[int], np.dtype[np.float64]]) -> PhaseState:
    kept = vector.copy()

    def write(store: Store, opening: int, record: int) -> Sequence[BlobRef]:
        parts = [encode_arrays({"vector": kept[place : place + 1]}) for place in range(PARTS)]
        return [write_blob(store, opening, record, part) for part in parts]

    return PhaseState(data={"done": turn}, write_shards=write)


def done(limit: int, space: MemorySpace | None = None) -> MemorySpace:
    """A session that has taken so many steps, a checkpoint after each."""
    space = space or MemorySpace()
    expected = limit * (limit + 1) / 2
    assert attempt_on(space, 1).run(Shared(limit), {}) == [0.0, expected, 2 * expected]
    return space


def shards_of(space: MemorySpace) -> dict[int, list[str]]:
    return {entry.number: [ref.key for ref in entry.shards] for entry in facts_of(space).checkpoints}


def test_it_goes_on_from_the_parts() -> None:
    space = done(3)
    assert shards_of(done(5, space)).keys() == {2, 3, 4, 7, 8}
    assert all([record_of(key) for key in keys] == [number] * PARTS for number, keys in shards_of(space).items())
    assert view_of(space).verify(deep=True).is_whole


def test_the_index_names_them() -> None:
    space = done(TAIL + 2)
    assert load(MemoryStore(space)).timeline.checkpoint_pages
    assert all(len(keys) == PARTS for keys in shards_of(space).values())
    done(TAIL + 4, space)


@pytest.mark.parametrize("place", range(PARTS))
def test_a_damaged_part_is_stepped_over(place: int) -> None:
    space = done(4)
    key = shards_of(space)[5][place]
    damage(space, key, "missing")
    found = view_of(space).verify()
    assert [(problem.checkpoint, problem.key, problem.cure) for problem in found.problems] == [(5, key, Cure.REMAKE)]
    assert found.resumes_from is not None
    assert found.resumes_from.number == 4
    attempt = attempt_on(space, 1)
    assert attempt.run(Shared(6), {}) == [0.0, 21.0, 42.0]
    assert [(event.checkpoint, event.key) for event in attempt.of(CheckpointSkipped)] == [(5, key)]


@pytest.mark.parametrize(("number", "resumes_from"), [(5, 4), (3, 5)])
def test_a_damaged_part_cannot_be_made_again_by_one_process(number: int, resumes_from: int) -> None:
    """What one process would write in its place is no part; all that goes on resting on other parts stays."""
    space = done(4)
    key = shards_of(space)[number][1]
    damage(space, key, "flipped")
    before = {name: data for name, data in stored_bytes(MemoryStore(space)).items() if name.startswith("blobs/")}
    repaired = view_of(space).repair(Shared(4))
    after = {name: data for name, data in stored_bytes(MemoryStore(space)).items() if name.startswith("blobs/")}
    assert repaired.resumes_from is not None
    assert repaired.resumes_from.number == resumes_from
    assert repaired.remade == ()
    if number == 5:
        assert [problem.key for problem in repaired.left] == [key]
        assert "several processes shared this state" in repaired.left[0].reason
        assert after == before
    else:
        assert [checkpoint.number for checkpoint in repaired.removed] == [number]
        assert not after.keys() & shards_of(space).get(number, [])
    assert attempt_on(space, 1).run(Shared(6), {}) == [0.0, 21.0, 42.0]


def test_a_watch_looks_at_the_parts() -> None:
    space = MemorySpace()
    watch = SessionWatch(MemoryStore(space))
    attempt = Attempt(open_store=lambda: WatchedStore(MemoryStore(space), watch), policy=EveryIterations(iterations=1))
    attempt.run(Shared(3), {})
    assert watch.broken == []
    shards = shards_of(space)
    WatchedStore(MemoryStore(space), watch).delete(shards[3][2])
    assert [shards[3][2] in line for line in watch.broken] == [True, True], "it was needed, and nothing said it may go"
    # A record may not name a part before it is there.
    later = SessionWatch(other := MemoryStore())
    for key in sorted(key for key in space.values if key.startswith("log/")):
        WatchedStore(other, later).put_if_absent(key, space.values[key].data)
    assert any(shards[2][0] in line and "missing" in line for line in later.broken)


def test_they_go_with_their_checkpoint() -> None:
    space = done(4)
    keys = shards_of(space)
    assert [each.number for each in view_of(space).remove_checkpoints(anything)] == [2, 3, 4]
    left = {key for key in space.values if key.startswith("blobs/")}
    assert set(keys[5]) < left
    assert not left & {key for number in (2, 3, 4) for key in keys[number]}
    facts_of(space)
    done(5, space)


def test_parts_without_a_record_are_garbage() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    writer.commit(stage(1))
    needed = set(store.space.values)

    def write_one_and_die(store: Store, opening: int, record: int) -> Sequence[BlobRef]:
        write_blob(store, opening, record, b"a part")
        raise ConnectionError("another process is gone")

    with pytest.raises(ConnectionError):
        writer.commit(replace(stage(2), state=PhaseState(write_shards=write_one_and_die)))
    (orphan,) = set(store.space.values) - needed
    assert record_of(orphan) == 3
    found = view_of(store.space).collect_garbage()
    assert set(found.sizes) == {orphan}
    assert orphan not in store.space.values


def test_the_documents_reader_finds_them(tmp_path: Path) -> None:
    attempt = Attempt(open_store=lambda: LocalStore(tmp_path), policy=EveryIterations(iterations=1))
    attempt.run(Shared(4), {})
    reader = SessionFolder(tmp_path)
    folded, damaged = reader.newest()
    assert not damaged
    assert [shard["vector"].tolist() for shard in reader.shards(folded, "only")] == [[0.0], [10.0], [20.0]]
    checked = set(reader.check(folded))
    assert {key for entry in reader.checkpoints(folded) for key in (ref["key"] for ref in entry["shards"])} <= checked
    assert len(checked) == 4 * (1 + PARTS) + folded.tip["number"] + 1
