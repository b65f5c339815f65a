"""Blocks are the same whatever batches the rows came in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import InternalError
from mlsession.heads.blocks import BLOCK_ROWS, fixed_blocks
from mlsession.session.phase import Array, Arrays


def test_the_block_is_the_one_that_the_design_states() -> None:
    assert BLOCK_ROWS == 4096


@settings(max_examples=100, deadline=None)
@given(batches=st.lists(st.integers(0, 20), max_size=8), block_rows=st.integers(1, 9))
def test_blocks_do_not_depend_on_batches(batches: list[int], block_rows: int) -> None:
    count = sum(batches)
    features = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    labels = np.arange(count, dtype=np.int64)

    def rows() -> Iterator[Arrays]:
        start = 0
        for batch in batches:
            yield {"features": features[start : start + batch], "labels": labels[start : start + batch]}
            start += batch

    sizes = []
    start = 0
    for block in fixed_blocks(rows, block_rows):
        sizes.append(len(block.labels))
        np.testing.assert_array_equal(block.features.numpy(), features[start : start + sizes[-1]])
        np.testing.assert_array_equal(block.labels.numpy(), labels[start : start + sizes[-1]])
        start += sizes[-1]
    assert start == count
    assert all(size == block_rows for size in sizes[:-1])
    assert all(0 < size <= block_rows for size in sizes)


def test_a_block_is_a_copy() -> None:
    features, labels = np.ones((2, 3), dtype=np.float32), np.zeros(2, dtype=np.int64)
    for block in fixed_blocks(lambda: iter([{"features": features, "labels": labels}])):
        block.features.zero_()
    assert features.all()


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (np.zeros((2, 3)), np.zeros(2, dtype=np.int64)),
        (np.zeros((2, 3), dtype=np.float32), np.zeros(2, dtype=np.int32)),
        (np.zeros((2, 3), dtype=np.float32), np.zeros(3, dtype=np.int64)),
        (np.zeros((2, 4), dtype=np.float32), np.zeros(2, dtype=np.int64)),
    ],
)
def test_refuses_other_rows(features: Array, labels: Array) -> None:
    good: Arrays = {"features": np.zeros((2, 3), dtype=np.float32), "labels": np.zeros(2, dtype=np.int64)}
    with pytest.raises(InternalError):
        list(fixed_blocks(lambda: iter([good, {"features": features, "labels": labels}])))
