from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mlsession.randomness import keyed_generator
from mlsession.scanning import neighbours
from mlsession.scanning.neighbours import MOST_BITS, Groups, close_pairs


def hashes_and_near_ones(count: int) -> np.ndarray:
    """Random hashes, each followed by one that differs in 0 to 12 bits, drawn from everywhere."""
    generator = keyed_generator(0, "test neighbours", count)
    hashes = generator.integers(0, 2**64, count, dtype=np.uint64)
    near = hashes.copy()
    for place in range(count):
        for bit in generator.choice(64, place % 13, replace=False):
            near[place] ^= np.uint64(1 << int(bit))
    return np.concatenate([hashes, near, near[:5]])


def all_close(hashes: np.ndarray) -> list[list[int]]:
    """Each pair once, ascending, and the two of it too."""
    found = np.concatenate([np.zeros((0, 2), dtype=np.int64), *close_pairs(hashes)])
    pairs: list[list[int]] = np.unique(np.sort(found, axis=1), axis=0).tolist()
    return pairs


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
    assert all_close(hashes) == expected


def test_hashes_that_are_all_alike_and_none() -> None:
    assert all_close(np.array([], dtype=np.uint64)) == []
    assert all_close(np.array([5], dtype=np.uint64)) == []
    assert all_close(np.full(4, 2**64 - 1, dtype=np.uint64)) == [
        [0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]
    ]  # fmt: skip


def test_groups_hold_what_is_connected() -> None:
    groups = Groups(10)
    assert groups.several() == []
    pairs = np.array([[4, 9], [1, 2], [7, 9], [2, 3], [5, 6]])
    groups.join(pairs[:3])
    assert groups.apart(np.array([[4, 7], [4, 1], [3, 2]])).tolist() == [False, True, True]
    groups.join(pairs[3:])
    groups.join(np.zeros((0, 2), dtype=np.int64))
    assert [group.tolist() for group in groups.several()] == [[1, 2, 3], [4, 7, 9], [5, 6]]


def test_groups_are_those_of_a_graph_search() -> None:
    pairs = keyed_generator(0, "test groups").integers(0, 300, (180, 2))
    groups = Groups(300)
    for some in np.split(pairs, 6):
        groups.join(some)
    linked = connected_components(coo_array((np.ones(180), (pairs[:, 0], pairs[:, 1])), shape=(300, 300)))[1]
    expected = [np.flatnonzero(linked == place).tolist() for place in range(linked.max() + 1)]
    assert [group.tolist() for group in groups.several()] == sorted(group for group in expected if len(group) > 1)
