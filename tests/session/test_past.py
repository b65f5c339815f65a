from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import DamagedData, InternalError
from mlsession.session.past import StoredPast
from mlsession.store.memory import MemoryStore
from tests.session.log.test_journal import load, session_of, stage, writer_of


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 12))
def test_blocks_do_not_depend_on_where_saves_fell(sizes: list[int], block: int) -> None:
    store = MemoryStore()
    writer = writer_of(store)
    total = sum(sizes)
    values, at = np.arange(2 * total, dtype=np.int32).reshape(total, 2), 0
    for number, size in enumerate(sizes, start=1):
        writer.commit(replace(stage(number), adds=({"row": values[at : at + size]},)))
        at += size
    blocks = [item["row"] for item in StoredPast(store, load(store).timeline).rows("training", block)]
    assert [len(item) for item in blocks] == [min(block, total - start) for start in range(0, total, block)]
    assert all(item.dtype == np.int32 for item in blocks)
    if blocks:
        assert np.array_equal(np.concatenate(blocks), values)


def test_a_phase_that_added_nothing_has_no_rows() -> None:
    past = StoredPast(MemoryStore(), load(session_of(0)).timeline)
    assert list(past.rows("training")) == []
    with pytest.raises(InternalError, match="phase training has committed nothing yet"):
        past.state("training")


def test_the_state_is_the_newest() -> None:
    store = session_of(4)
    assert StoredPast(store, load(store).timeline).state("training").arrays["iteration"].tolist() == [4]


def test_a_fresh_run_of_a_phase_forgets_the_rows_of_the_one_before() -> None:
    store = session_of(3)
    writer = writer_of(store)
    writer.commit(replace(stage(1), adds=({"row": np.array([70])},)))
    writer.commit(replace(stage(2), adds=({"row": np.array([71])},)))
    (rows,) = StoredPast(store, load(store).timeline).rows("training")
    assert rows["row"].tolist() == [70, 71]


def test_damage_is_found_while_reading() -> None:
    store = session_of(3)
    timeline = load(store).timeline
    key = timeline.recent[1].adds[0].key
    store.put(key, b"?" * len(store.get(key)))
    with pytest.raises(DamagedData, match=key):
        list(StoredPast(store, timeline).rows("training"))
