"""Blocks are the same whatever batches the rows came in."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import InternalError
from mlsession.heads.blocks import BLOCK_ROWS, Block, fixed_blocks, widened, worked_blocks
from mlsession.randomness import keyed_generator
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


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(st.integers(0, 20), max_size=8), block_rows=st.integers(1, 9), workers=st.integers(1, 4))
def test_workers_get_the_same_blocks_in_order(batches: list[int], block_rows: int, workers: int) -> None:
    ends = np.cumsum([0, *batches])
    features = np.random.default_rng(0).random((int(ends[-1]), 3)).astype(np.float32)
    labels = np.arange(len(features), dtype=np.int64)

    def rows() -> Iterator[Arrays]:
        for start, end in itertools.pairwise(ends.tolist()):
            yield {"features": features[start:end], "labels": labels[start:end]}

    def copied(block: Block) -> tuple[bytes, bytes]:
        return block.features.numpy().tobytes(), block.labels.numpy().tobytes()

    alone = [copied(block) for block in fixed_blocks(rows, block_rows)]
    assert list(worked_blocks(rows, copied, workers, block_rows)) == alone


def test_what_a_worker_raises_comes_in_its_turn() -> None:
    def work(block: Block) -> int:
        first = int(block.labels[0])
        if first == 4:
            raise ArithmeticError("the third block")
        return first

    labels = np.arange(10, dtype=np.int64)
    found = worked_blocks(lambda: iter([{"features": np.zeros((10, 1), np.float32), "labels": labels}]), work, 2, 2)
    assert [next(found), next(found)] == [0, 2]
    with pytest.raises(ArithmeticError, match="the third block"):
        next(found)


def test_workers_have_as_many_torch_threads_as_who_asks_for_the_work() -> None:
    """Not as many as another job of the process has set meanwhile: that would change bits."""
    before = torch.get_num_threads()
    try:
        other = threading.Thread(target=torch.set_num_threads, args=(before + 2,))
        other.start()
        other.join()
        rows: Arrays = {"features": np.zeros((10, 1), np.float32), "labels": np.zeros(10, dtype=np.int64)}
        assert list(worked_blocks(lambda: iter([rows]), lambda block: torch.get_num_threads(), 2, 2)) == [before] * 5
    finally:
        torch.set_num_threads(before)


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


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("writeable", [True, False])
def test_widened_features_are_the_same_numbers_in_memory_of_their_own(dtype: str, writeable: bool) -> None:
    features = keyed_generator(0, "widened").normal(size=(5, 7)).astype(dtype)
    features[0, :3] = (np.inf, np.nan, 0.0)
    features.flags.writeable = writeable
    wide = widened(features)
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(wide, features.astype(np.float32))
    wide[0, 0] = 1
    assert features[0, 0] == np.inf
