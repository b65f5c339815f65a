"""The order of an epoch."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlsession.heads.perceptron.order import CHUNK, WINDOW, epoch_order


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(), epoch=st.integers(1, 10**6), rows=st.integers(1, 3 * WINDOW))
@example(seed=0, epoch=1, rows=WINDOW)
@example(seed=0, epoch=1, rows=WINDOW + 1)
@example(seed=0, epoch=1, rows=1)
def test_each_row_once_and_always_alike(seed: int, epoch: int, rows: int) -> None:
    order = epoch_order(seed, epoch, rows)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(rows))
    np.testing.assert_array_equal(order, epoch_order(seed, epoch, rows))


def test_seeds_and_epochs_differ() -> None:
    orders = {epoch_order(seed, epoch, 100).tobytes() for seed in range(3) for epoch in range(1, 4)}
    assert len(orders) == 9


def test_a_window_holds_whole_chunks_from_everywhere() -> None:
    rows = 8 * WINDOW
    window = epoch_order(0, 1, rows)[:WINDOW]
    chunks, counts = np.unique(window // CHUNK, return_counts=True)
    assert (counts == CHUNK).all()
    # Sorted by class, as a folder lists them: eight classes of equal size must meet in one window, and in its parts.
    for part in (window, window[:256]):
        shares = np.bincount(part // WINDOW, minlength=8) / len(part)
        assert (np.abs(shares - 1 / 8) < 0.08).all()
    assert len(chunks) == WINDOW // CHUNK


def test_rows_of_a_chunk_are_apart_within_a_window() -> None:
    order = epoch_order(0, 1, WINDOW)
    assert (np.abs(np.diff(order)) == 1).mean() < 0.01
