from __future__ import annotations

import numpy as np
import pytest

from mlsession.randomness import keyed_generator
from mlsession.scanning import neighbours
from mlsession.scanning.neighbours import MOST_BITS, close_pairs, groups_of


def hashes_and_near_ones(count: int) -> np.ndarray:
    """Random hashes, each followed by one that differs in 0 to 12 bits, drawn from everywhere."""
    generator = keyed_generator(0, "test neighbours", count)
    hashes = generator.integers(0, 2**64, count, dtype=np.uint64)
    near = hashes.copy()
    for place in range(count):
        for bit in generator.choice(64, place % 13, replace=False):
            near[place] ^= np.uint64(1 << int(bit))
    return np.concatenate([hashes, near, near[:5]])


def compared_one_by_one(hashes: np.ndarray) -> list[list[int]]:
    values = [int(value) for value in hashes]
    return [
        [first, second]
        for first in range(len(values))
        for second in range(first + 1, len(values))
        if (values[first] ^ values[second]).bit_count() <= MOST_BITS
    ]


@pytest.mark.parametrize("at_once", [1, 17, 4_000_000])
def test_the_same_pairs_as_when_each_is_compared_with_each(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_PAIRS_AT_ONCE", at_once)
    hashes = hashes_and_near_ones(13 if at_once < 100 else 260)
    expected = compared_one_by_one(hashes)
    assert len(expected) > 10
    assert close_pairs(hashes).tolist() == expected


def test_hashes_that_are_all_alike_and_none() -> None:
    assert close_pairs(np.array([], dtype=np.uint64)).tolist() == []
    assert close_pairs(np.array([5], dtype=np.uint64)).tolist() == []
    assert close_pairs(np.full(4, 2**64 - 1, dtype=np.uint64)).tolist() == [
        [0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]
    ]  # fmt: skip


def test_groups_hold_what_is_connected() -> None:
    pairs = np.array([[4, 9], [1, 2], [7, 9], [2, 3], [5, 6]])
    assert sorted(group.tolist() for group in groups_of(pairs)) == [[1, 2, 3], [4, 7, 9], [5, 6]]
    assert groups_of(np.zeros((0, 2), dtype=np.int64)) == []
