"""Which images are validated on: sizes, strata, duplicates, and independence of the rows' order."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.data.source import DataSource
from mlsession.data.split import split_rows, validation_counts
from mlsession.data.validation import Validation, automatic_ratio
from mlsession.errors import InvalidParameter
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array, Json


def digests_of(contents: list[int]) -> Array:
    joined = b"".join(hashlib.sha256(str(content).encode()).digest() for content in contents)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(contents), 32)


# Rows of few contents, so that many are duplicates, within a class and across.
rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), min_size=1, max_size=80)
ratios = st.floats(0, 0.95)


@settings(max_examples=200, deadline=None)
@given(rows, ratios, st.integers(0, 99), st.integers(0, 99))
def test_split_is_a_function_of_contents(found: list[tuple[int, int]], ratio: float, seed: int, order: int) -> None:
    labels = np.array([label for label, _ in found])
    digests = digests_of([content for _, content in found])
    chosen = split_rows(labels, digests, ratio, seed)
    moved = keyed_generator(order, "order").permutation(len(labels))
    np.testing.assert_array_equal(split_rows(labels[moved], digests[moved], ratio, seed), chosen[moved])


@settings(max_examples=200, deadline=None)
@given(rows, ratios, st.integers(0, 99))
def test_strata_and_duplicates(found: list[tuple[int, int]], ratio: float, seed: int) -> None:
    labels = np.array([label for label, _ in found])
    chosen = split_rows(labels, digests_of([content for _, content in found]), ratio, seed)
    assert chosen.dtype == np.bool_
    sides = {
        content: {bool(chosen[row]) for row, (_, other) in enumerate(found) if other == content} for _, content in found
    }
    assert all(len(side) == 1 for side in sides.values())
    counts = np.bincount(labels)
    room = validation_counts(counts, ratio, seed) - np.bincount(labels[chosen], minlength=len(counts))
    assert (room >= 0).all()
    assert (counts[counts > 0] > np.bincount(labels[chosen], minlength=len(counts))[counts > 0]).all()
    for content in (content for content, side in sides.items() if side == {False}):
        copies = Counter(label for label, other in found if other == content)
        assert any(amount > room[label] for label, amount in copies.items()), "there was room for this content"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=20), ratios, st.integers(0, 99))
def test_counts_are_as_near_to_the_ratio_as_whole_images_allow(sizes: list[int], ratio: float, seed: int) -> None:
    sizes_array = np.array(sizes)
    counts = validation_counts(sizes_array, ratio, seed)
    assert (np.abs(counts - ratio * sizes_array) < 1 + 1e-6).all()
    assert (counts <= np.maximum(sizes_array - 1, 0)).all()
    assert counts.sum() <= ratio * sum(sizes) + 0.5 + 1e-6
    # Short of the rounded total only where no class could give another image.
    if counts.sum() < ratio * sum(sizes) - 0.5 - 1e-6:
        assert all(count + 1 >= size or count >= ratio * size - 1e-6 for count, size in zip(counts, sizes, strict=True))


def test_without_duplicates_the_counts_are_met_exactly() -> None:
    labels = np.repeat(np.arange(4), [100, 50, 30, 1])
    chosen = split_rows(labels, digests_of(list(range(181))), 0.1, 0)
    assert np.bincount(labels[chosen], minlength=4).tolist() == [10, 5, 3, 0]


def test_small_classes_share_the_total_by_chance() -> None:
    sizes = np.full(100, 10)
    first, second = (validation_counts(sizes, 0.05, seed) for seed in (0, 1))
    assert first.sum() == second.sum() == 50
    assert (first != second).any()
    assert 10 < first[:50].sum() < 40


def test_seeds_choose_differently_and_the_same_seed_alike() -> None:
    labels, digests = np.zeros(200, dtype=np.int32), digests_of(list(range(200)))
    first, again, other = (split_rows(labels, digests, 0.1, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_split_is_the_published_one() -> None:
    """Sessions record their split, but another release should make the same one."""
    chosen = split_rows(np.repeat([0, 1], 10), digests_of(list(range(20))), 0.2, 0)
    assert np.flatnonzero(chosen).tolist() == [4, 6, 18, 19]


@pytest.mark.parametrize("ratio", [-0.1, 1.0, math.nan])
def test_refuses_a_ratio(ratio: float) -> None:
    with pytest.raises(InvalidParameter, match="ratio"):
        split_rows(np.zeros(2, dtype=np.int32), digests_of([0, 1]), ratio, 0)


def test_refuses_digests_of_another_shape() -> None:
    with pytest.raises(InvalidParameter, match="digests"):
        split_rows(np.zeros(3, dtype=np.int32), digests_of([0, 1]), 0.5, 0)


@pytest.mark.parametrize(("count", "ratio"), [(0, 0), (49, 0), (50, 0.1), (199, 0.1), (200, 0.05), (10**6, 0.05)])
def test_automatic_ratio(count: int, ratio: float) -> None:
    assert automatic_ratio(count) == ratio
    assert Validation.automatic().ratio_for(count) == ratio


def test_ratio_for() -> None:
    assert Validation.split(0.25).ratio_for(10) == 0.25
    assert Validation.none().ratio_for(1000) == 0
    assert Validation.data(DataSource.labeled_directories("s3://b/x")).ratio_for(1000) == 0


@pytest.mark.parametrize(
    "validation",
    [
        Validation.automatic(),
        Validation.automatic(seed=7),
        Validation.split(0.25, seed=3),
        Validation.data(DataSource.labeled_directories("s3://bucket/test")),
        Validation.none(),
    ],
)
def test_stored_form_goes_round(validation: Validation) -> None:
    assert Validation.from_json(json.loads(json.dumps(validation.to_json()))) == validation


def test_stored_form_of_data_has_no_options() -> None:
    validation = Validation.data(DataSource.labeled_directories("s3://bucket/test", {"secret": "HIDDEN"}))
    assert validation.to_json() == {
        "kind": "data",
        "source": {"kind": "labeled_directories", "url": "s3://bucket/test"},
    }


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_refuses_a_split(ratio: float) -> None:
    with pytest.raises(InvalidParameter, match="ratio"):
        Validation.split(ratio)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "other"},
        {"kind": "split", "seed": 0},
        {"kind": "data"},
        {"kind": "automatic", "seed": "0"},
        {"kind": []},
    ],
)
def test_refuses_another_stored_form(data: dict[str, Json]) -> None:
    with pytest.raises(InvalidParameter):
        Validation.from_json(data)
