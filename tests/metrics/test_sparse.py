"""Sparse tables go round, and damage in them is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlsession.errors import InternalError
from mlsession.metrics.sparse import dense_table, sparse_arrays
from mlsession.session.phase import Array

Tables = arrays.arrays(np.int64, st.tuples(st.integers(0, 5), st.integers(0, 7)), elements=st.integers(0, 2**62))


@given(table=Tables)
def test_tables_go_round(table: Array) -> None:
    saved = sparse_arrays("t", table)
    assert len(saved["t.places"]) == len(saved["t.counts"]) == np.count_nonzero(table)
    np.testing.assert_array_equal(dense_table("t", saved, table.shape), table)


def test_refuses_another_table() -> None:
    saved = sparse_arrays("t", np.eye(3, dtype=np.int64))
    for name, shape in (("u", (3, 3)), ("t", (2, 2))):
        with pytest.raises(InternalError):
            dense_table(name, saved, shape)
    with pytest.raises(InternalError):
        dense_table("t", {**saved, "t.counts": saved["t.counts"][:1]}, (3, 3))
