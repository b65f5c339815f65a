"""Similar pictures: found by comparing all, and nearly as well in the leaves of trees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from mlsession.randomness import keyed_generator
from mlsession.reviewing import neighbours
from mlsession.reviewing.neighbours import NEAREST, similar_pairs
from mlsession.reviewing.rows import ReviewRows
from tests.reviewing.made import made_rows


def with_copies(count: int, seed: int, num_test: int = 0) -> tuple[ReviewRows, dict[int, int]]:
    """Rows of which some are nearly as an earlier one: by place, which."""
    generator = keyed_generator(seed, "copies")
    rows = made_rows(np.arange(count) % 5, seed, num_test=num_test)
    features = rows.features.astype(np.float32)
    places = generator.permutation(count)[: count // 10]
    copies = {int(max(pair)): int(min(pair)) for pair in places[: len(places) // 2 * 2].reshape(-1, 2)}
    for second, first in copies.items():
        features[second] = features[first] + 0.05 * generator.standard_normal(features.shape[1])
    return replace(rows, features=features.astype(np.float16)), copies


def by_hand(rows: ReviewRows, threshold: float) -> set[tuple[int, int]]:
    features = rows.features.astype(np.float64)
    training = features[: rows.num_training]
    deviation = training.std(axis=0)
    vectors = (features - training.mean(axis=0)) / (deviation + 0.1 * deviation.mean())
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = vectors @ vectors.T
    pairs = np.argwhere(np.triu(alike >= threshold, 1))
    return {(int(first), int(second)) for first, second in pairs if first < rows.num_training}


def found(rows: ReviewRows, threshold: float = 0.97, exact_rows: int = 10_000) -> set[tuple[int, int]]:
    pairs = similar_pairs(rows, threshold, exact_rows=exact_rows)
    assert (np.diff(pairs.second) >= 0).all()
    assert ((pairs.similarity >= np.float32(threshold)) & (pairs.similarity <= 1)).all()
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


@pytest.mark.parametrize("compared", [2_048, 64])
def test_all_are_compared(compared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "COMPARED", compared)
    rows, copies = with_copies(300, seed=1, num_test=60)
    expected = by_hand(rows, 0.97)
    assert found(rows) == expected
    # Copies within the test set are nobody's concern.
    assert {pair for pair in ((first, second) for second, first in copies.items()) if pair[0] < 240} <= expected
    assert any(second >= 240 for _, second in expected)


def test_trees_find_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "LEAF_ROWS", 64)
    rows, _ = with_copies(900, seed=2)
    expected = by_hand(rows, 0.97)
    in_trees = found(rows, exact_rows=500)
    assert in_trees <= expected
    assert len(in_trees) >= 0.97 * len(expected) > 40
    assert in_trees == found(rows, exact_rows=500)


def test_leaves_divide_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "LEAF_ROWS", 64)
    monkeypatch.setattr(neighbours, "TREES", 2)
    rows, _ = with_copies(500, seed=2)
    leaves: list[npt.NDArray[np.int64]] = list(neighbours._leaves(neighbours._Vectors(rows), seed=0))
    assert max(map(len, leaves)) <= 64
    assert sorted(np.concatenate(leaves).tolist()) == sorted([*range(500)] * 2)
    assert all((np.diff(leaf) > 0).all() for leaf in leaves)


def test_many_copies_of_one_picture_take_bounded_memory() -> None:
    rows, _ = with_copies(100, seed=1)
    features = rows.features.copy()
    features[20:80] = features[0]
    pairs = similar_pairs(replace(rows, features=features), 0.999)
    assert np.bincount(pairs.second).max() == NEAREST
    # Each is linked to the first.
    assert {
        second for first, second in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True) if first == 0
    } >= {*range(20, 80)}


def test_all_pictures_the_same_are_no_picture() -> None:
    rows = made_rows(np.zeros(10, dtype=np.int64), seed=1)
    assert len(similar_pairs(replace(rows, features=np.ones_like(rows.features)))) == 0
