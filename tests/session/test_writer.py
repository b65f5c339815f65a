from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from mlsession.errors import DamagedData, InternalError, SessionTakenOver, StoreError, StoreUnavailable
from mlsession.session.log.blobs import decode_arrays, decode_state, read_blob
from mlsession.session.log.canonical import sha256
from mlsession.session.log.layout import record_key
from mlsession.session.log.pages import TAIL
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, open_session
from mlsession.session.phase import Arrays
from mlsession.session.writer import QUICK_BYTES
from mlsession.store.bulk import get_many, put_many
from mlsession.store.memory import MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import check_session, stored_bytes
from tests.session.log.test_journal import ignore, load, session_of, stage, writer_of
from tests.session.stores import CountingStore, LostReplyStore


def test_a_commit_names_all_that_it_wrote() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    several = replace(stage(1), adds=({"row": np.arange(2)}, {}, {"row": np.arange(3)}), metrics={"loss": float("nan")})
    entry, size = writer.commit(several)
    assert decode_state(read_blob(store, entry.state), "k").arrays["iteration"].tolist() == [1]
    (adds,) = entry.adds
    assert decode_arrays(read_blob(store, adds), "k")["row"].tolist() == [0, 1, 0, 1, 2]
    assert size == entry.state.size + adds.size
    assert (entry.number, entry.parent, entry.date) == (2, 1, writer.timeline.tip.date)
    assert load(store).timeline.newest["training"] == replace(
        entry, metrics=load(store).timeline.newest["training"].metrics
    )


class Bucket(CountingStore):
    """One that answers several requests at once, as a bucket does."""

    def get_many(self, limits: Mapping[str, int]) -> dict[str, bytes]:
        self.calls["get_many"] += 1
        return get_many(self.inner, limits)

    def put_many(self, values: Mapping[str, bytes]) -> None:
        self.calls["put_many"] += 1
        put_many(self.inner, values)


def test_a_commit_waits_for_a_bucket_three_times() -> None:
    store = Bucket(MemoryStore())
    writer = writer_of(store)
    store.calls.clear()
    writer.commit(replace(stage(1), adds=({"row": np.arange(2)},)))
    assert store.calls == {"put_many": 1, "get_many": 1, "create": 1}


def test_a_long_commit_looks_again_before_it_creates_its_record() -> None:
    store = Bucket(MemoryStore())
    writer = writer_of(store)
    store.calls.clear()
    writer.commit(replace(stage(1), adds=({"row": np.zeros(QUICK_BYTES, np.uint8)},)))
    assert store.calls == {"put_many": 1, "get_many": 1, "get": 1, "create": 1}


def test_the_writer_knows_what_a_reader_would_see() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    for iteration in range(1, 2 * TAIL + 5):
        writer.commit(stage(iteration))
        read = load(store).timeline
        known = writer.timeline
        assert (known.tip, known.newest, known.recent, known.adds) == (read.tip, read.newest, read.recent, read.adds)
        assert (known.checkpoint_pages, known.start) == (read.checkpoint_pages, read.start)
    check_session(store)


@pytest.mark.parametrize(
    ("adds", "message"),
    [
        (({"a": np.zeros(1)}, {"b": np.zeros(1)}), "changed from"),
        (({"a": np.zeros(1)}, {"a": np.zeros(1, np.float32)}), r"changed from .*float64.* to .*float32"),
        (({"a": np.zeros((1, 2))}, {"a": np.zeros((1, 3))}), "changed from"),
        (({"a": np.zeros(1), "b": np.zeros(2)},), "equally many rows"),
        (({"a": np.array(1.0)},), "equally many rows"),
    ],
)
def test_additive_output_that_depends_on_the_saves_is_our_bug(adds: tuple[Arrays, ...], message: str) -> None:
    store = MemoryStore()
    writer = writer_of(store)
    with pytest.raises(InternalError, match=message):
        writer.commit(replace(stage(1), adds=adds))
    assert load(store).end == 1


def test_a_long_reason_is_cut() -> None:
    store = MemoryStore()
    writer_of(store).close(Outcome.FAILED, "x" * 3_000_000)
    closed = load(store).timeline.closed
    assert closed is not None
    assert closed.body == {"outcome": "failed", "reason": "x" * 2_000}


def test_metrics_that_do_not_fit_are_refused_before_anything_is_committed() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    with pytest.raises(InternalError, match="not in metrics or settings"):
        writer.commit(replace(stage(1), metrics={f"metric {number}": 0.1 for number in range(60_000)}))
    assert load(store).end == 1
    assert writer.commit(stage(1))[0].number == 2


def test_stepping_back_opens_a_branch_and_deletes_nothing() -> None:
    store = session_of(5)
    writer = writer_of(store)
    assert writer.opening == 7
    before = dict(store.space.values)
    writer.step_back(5)
    assert writer.opening == 8
    assert writer.timeline.newest["training"].iteration == 3
    entry, _ = writer.commit(stage(3))
    assert (entry.number, entry.parent) == (9, 8)
    facts = check_session(store)
    assert facts is not None
    assert [record.number for record in facts.timeline] == [0, 1, 2, 3, 4, 8, 9]
    assert all(store.space.values[key] == value for key, value in before.items())


def test_stepping_back_repeats_what_the_opening_said() -> None:
    writer = writer_of(session_of(3))
    body = writer.timeline.opened.body
    writer.step_back(3)
    assert writer.timeline.opened.body == body
    assert writer.timeline.closed is None


def test_there_is_nothing_before_record_0() -> None:
    writer = writer_of(session_of(1))
    with pytest.raises(InternalError, match="nothing before it"):
        writer.step_back(0)


def test_each_record_continues_the_stored_bytes_of_the_one_before() -> None:
    store = session_of(3)
    damaged = store.get(record_key(4)) + b" "
    store.put(record_key(4), damaged)
    writer = writer_of(store)
    assert writer.timeline.tip.previous == sha256(damaged)
    assert writer.timeline.tip.parent == 3


def test_what_an_earlier_try_has_left_is_not_taken_for_another_record() -> None:
    """Only the same record is: another one's caller would be told that something is saved which is not."""
    clock, store = FakeClock(), MemoryStore()
    losing = LostReplyStore(store, lambda key: key == record_key(4))
    writer_of(store)
    writer, _ = open_session(losing, clock, OpenOptions(take_over=True), ignore)
    writer.commit(stage(1))
    with pytest.raises(StoreUnavailable):
        writer.commit(stage(2))
    before = stored_bytes(store)
    for other in (lambda: writer.commit(stage(3)), lambda: writer.close(Outcome.PAUSED, "")):
        with pytest.raises(StoreError, match=r"record 4 holds what this job tried to write before"):
            other()
    assert before.items() <= stored_bytes(store).items()
    clock.sleep(5.0)
    assert writer.commit(stage(2))[0].iteration == 2
    assert writer.commit(stage(3))[0].number == 5
    check_session(store)


def test_who_wakes_up_in_a_session_that_was_made_anew_is_told_and_harms_nothing() -> None:
    """It was stopped, its session deleted, and another one made in the folder, which has as many records by now."""
    store = session_of(2)
    ghost = writer_of(store)
    ghost.commit(stage(3))
    for key in list(store.space.values):
        store.delete(key)
    living = writer_of(store)
    for iteration in range(1, 5):
        living.commit(stage(iteration))
    assert living.end == ghost.end
    log = {key: data for key, data in stored_bytes(store).items() if key.startswith("log/")}
    for act in (
        lambda: ghost.commit(stage(4)),
        lambda: ghost.close(Outcome.PAUSED, ""),
        lambda: ghost.remove((2,), ()),
        lambda: ghost.step_back(3),
    ):
        with pytest.raises(SessionTakenOver):
            act()
    assert {key: data for key, data in stored_bytes(store).items() if key.startswith("log/")} == log
    assert living.commit(stage(5))[0].iteration == 5
    check_session(store)


def test_who_finds_its_newest_record_damaged_builds_nothing_on_it() -> None:
    store = session_of(2)
    writer = writer_of(store)
    writer.commit(stage(3))
    store.put(record_key(5), b"?" + store.get(record_key(5))[1:])
    with pytest.raises(DamagedData, match=r"log/0000000005\.json"):
        writer.commit(stage(4))
    assert load(store).end == 5
