"""Parts of a source: how many of each label, which, and that nothing but seed, keys and contents decides."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.data.contents import copies_of
from mlsession.data.index import ImageIndex
from mlsession.data.parts import check_proportions, fullest_part, part_counts, part_of_rows
from mlsession.data.sources.listed import index_listed_files
from mlsession.errors import InvalidParameter, KeyMissing
from mlsession.randomness import keyed_generator
from mlsession.store import Entry


def index_of(labels: dict[str, str], sizes: dict[str, int] | None = None) -> ImageIndex:
    listed = [Entry(key=key, size=(sizes or {}).get(key, 1), version="") for key in labels]
    return index_listed_files(listed, labels, "x", min_classes=1)


def of_classes(*amounts: int) -> ImageIndex:
    """So many images of class a, b, ..."""
    return index_of({f"{name}/{row}.jpg": name for name, amount in zip("abcdefgh", amounts) for row in range(amount)})  # noqa: B905


class_counts = st.lists(st.integers(1, 40), min_size=1, max_size=8)
proportions = (
    st.lists(st.integers(0, 10), min_size=1, max_size=5)
    .filter(any)
    .flatmap(lambda parts: st.integers(0, 10).map(lambda rest: [part / (sum(parts) + rest) for part in parts]))
)


@given(class_counts, proportions, st.integers(0, 9))
def test_counts_are_exact_shares_rounded(amounts: list[int], shares: list[float], seed: int) -> None:
    fullest = fullest_part(shares)
    counts = part_counts(np.array(amounts), shares, seed, fullest)
    assert counts.shape == (len(amounts), len(shares) + 1)
    assert counts.sum(axis=1).tolist() == amounts
    assert (counts[:, fullest] > 0).all()
    every = [*shares, 1 - math.fsum(shares)]
    for amount, row in zip(amounts, counts.tolist(), strict=True):
        for place, (share, count) in enumerate(zip(every, row, strict=True)):
            assert math.floor(amount * share + 1e-9) <= count <= max(math.ceil(amount * share - 1e-9), place == fullest)


def test_small_classes_even_out() -> None:
    """Of ten classes of four, a tenth is four images, though it is less than half an image of any."""
    counts = part_counts(np.full(10, 4), [0.9, 0.1], 0, 0)
    assert counts.sum(axis=0).tolist() == [36, 4, 0]
    assert counts[:, 1].max() == 1
    assert part_counts(np.full(10, 4), [0.9, 0.1], 1, 0).tolist() != counts.tolist()


def test_the_fullest_part_has_every_label() -> None:
    assert part_counts(np.array([1, 2]), [0.5, 0.5], 0, 0).tolist() == [[1, 0, 0], [1, 1, 0]]
    assert part_counts(np.array([1, 1]), [0.1, 0.9], 0, 1)[:, 1].tolist() == [1, 1]
    assert part_counts(np.array([1, 19]), [0.05, 0.95], 0, 0).tolist() == [[1, 0, 0], [1, 18, 0]]


def test_what_is_in_no_part() -> None:
    parts = part_of_rows(of_classes(20, 40), [0.1, 0.1], 0)
    assert [int((parts == place).sum()) for place in (0, 1, -1)] == [6, 6, 48]


@given(class_counts, proportions, st.integers(0, 9), st.integers(0, 9))
def test_parts_are_a_function_of_seed_and_keys(amounts: list[int], shares: list[float], seed: int, order: int) -> None:
    index = of_classes(*amounts)
    labels = {key: index.classes[label] for key, label in zip(index.keys, index.labels.tolist(), strict=True)}
    moved = [index.keys[row] for row in keyed_generator(order, "order").permutation(len(index))]
    again = index_of({key: labels[key] for key in moved})
    parts = part_of_rows(index, shares, seed)
    np.testing.assert_array_equal(parts, part_of_rows(again, shares, seed))
    counts = part_counts(index.class_counts, shares, seed, fullest_part(shares))
    for place in range(len(shares)):
        found = np.bincount(index.labels[parts == place], minlength=len(index.classes))
        np.testing.assert_array_equal(found, counts[:, place])


def test_another_seed_gives_other_parts() -> None:
    index = of_classes(30, 30)
    assert part_of_rows(index, [0.5, 0.5], 0).tolist() != part_of_rows(index, [0.5, 0.5], 1).tolist()


def test_parts_are_those_of_every_release() -> None:
    """Who splits again later, or elsewhere, must not get test images among the training images."""
    parts = part_of_rows(of_classes(6, 3), [0.6, 0.2, 0.2], 7)
    assert parts.tolist() == [0, 2, 0, 2, 1, 0, 0, 1, 0]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=60), st.integers(0, 9))
def test_copies_stay_together(found: list[tuple[str, int]], seed: int) -> None:
    contents = {f"{label}/{row}.jpg": content for row, (label, content) in enumerate(found)}
    index = index_of({key: key[0] for key in contents}, {key: content % 3 for key, content in contents.items()})
    read: list[str] = []

    def bytes_of(key: str) -> bytes:
        read.append(key)
        return bytes([contents[key]])

    copies = copies_of(index, bytes_of)
    parts = part_of_rows(index, [0.6, 0.25, 0.15], seed, copies=copies)
    sides = defaultdict(set)
    for key, part in zip(index.keys, parts.tolist(), strict=True):
        sides[contents[key]].add(part)
    assert all(len(side) == 1 for side in sides.values())
    counts = part_counts(index.class_counts, [0.6, 0.25, 0.15], seed, 0)
    for place in (1, 2):
        assert (np.bincount(index.labels[parts == place], minlength=len(index.classes)) <= counts[:, place]).all()
    assert set(parts.tolist()) <= {0, 1, 2}


def test_only_files_of_equal_size_are_read() -> None:
    index = index_of(dict.fromkeys(("a", "b", "c", "d"), "x"), {"a": 3, "b": 4, "c": 3, "d": 5})
    read: list[str] = []

    def bytes_of(key: str) -> bytes:
        read.append(key)
        return b"same"

    assert copies_of(index, bytes_of).tolist() == [0, 1, 0, 3]
    assert sorted(read) == ["a", "c"]


def test_what_reading_raises_is_raised() -> None:
    def missing(key: str) -> bytes:
        raise KeyMissing(key)

    with pytest.raises(KeyMissing):
        copies_of(of_classes(2), missing)


@pytest.mark.parametrize(
    "wrong",
    [[], [0, 0], [0.5, 0.6], [-0.1, 0.5], [1.2], [math.nan, 0.5], [math.inf], [True, 0.5], ["0.5", 0.5]],
)
def test_proportions_that_make_no_parts(wrong: list[float]) -> None:
    with pytest.raises(InvalidParameter, match="proportions="):
        check_proportions(wrong)


def test_proportions_may_sum_to_one_as_floats_do() -> None:
    for right in ([0.7, 0.2, 0.1], [1 / 3] * 3, [0.1] * 10, [1], [1.0, 0]):
        check_proportions(right)
