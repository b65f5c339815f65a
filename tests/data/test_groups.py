"""Groups in splits: none is divided, and proportions are as good as groups allow."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.data.groups import groups_of, joined
from mlsession.data.index import ImageIndex
from mlsession.data.parts import fullest_part, part_counts, part_of_groups
from mlsession.data.source import DataSource
from mlsession.errors import InvalidParameter
from tests.data.test_parts import index_of, proportions
from tests.data.test_source import make

KEYS = ("cat/p1_a.jpg", "cat/p1_b.jpg", "dog/p2_a.jpg", "dog/p10_a.jpg", "dog/x.jpg")


def test_what_groups_are() -> None:
    named = {key: key.partition("_")[0] for key in KEYS}
    assert groups_of(KEYS, r"/(p[0-9]+|x)").tolist() == [0, 0, 2, 3, 4]
    assert groups_of(KEYS, r"/(?:(p)[0-9]+|x)").tolist() == [0, 0, 0, 0, 4]
    assert groups_of(KEYS, named).tolist() == [0, 0, 2, 3, 4]
    assert groups_of(KEYS, lambda key: None if "x" in key else key[:3]).tolist() == [0, 0, 2, 2, 4]
    assert groups_of((), "(x)").tolist() == []


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ("(p[0-9]+)_", "does not match 'dog/x.jpg'; write one that matches every image"),
        ("p[0-9]+", "must have one group in parentheses"),
        ("(p)([0-9]+)", "must have one group in parentheses"),
        ("(p", "is no regular expression"),
        ({"cat/p1_a.jpg": "1"}, "groups='cat/p1_b.jpg': has no group in this mapping"),
        (lambda key: 3, "groups=3: is no group of 'cat/p1_a.jpg'; a group is text"),
        (3, "must be a regular expression, a mapping, or a function"),
    ],
)
def test_what_groups_are_not(groups: object, reason: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        groups_of(KEYS, groups)  # type: ignore[arg-type]
    assert reason in str(caught.value)


def test_what_can_be_done_about_a_key_that_is_missed_depends_on_who_asks() -> None:
    with pytest.raises(InvalidParameter, match=r"does not match 'dog/x.jpg'; rename it$"):
        groups_of(KEYS, "(p[0-9]+)_", "rename it")


def firsts(ties: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Of any numbers, equal ones as the first row of them."""
    return groups_of([str(each) for each in ties], lambda key: key)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=16))
def test_what_is_tied_through_others_is_tied(pairs: list[tuple[int, int]]) -> None:
    one, two = (firsts([pair[side] for pair in pairs]) for side in (0, 1))
    found = joined(one, two).tolist()
    reached = [{row} for row in range(len(pairs))]
    for _ in pairs:
        reached = [
            {
                other
                for near in rows
                for other in range(len(pairs))
                if one[near] == one[other] or two[near] == two[other]
            }
            for rows in reached
        ]
    assert found == [min(rows) for rows in reached]
    assert joined(one, None).tolist() == one.tolist()


grouped = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), min_size=1, max_size=25)
"""Groups: the label of each and how many images."""


def of_groups(groups: list[tuple[int, int]]) -> tuple[ImageIndex, list[int]]:
    labels = {f"{name}-{row}.jpg": "abcd"[label] for name, (label, count) in enumerate(groups) for row in range(count)}
    index = index_of(labels)
    return index, [int(key.partition("-")[0]) for key in index.keys]


@given(grouped, proportions, st.integers(0, 9))
def test_groups_of_one_label_keep_proportions_within_the_largest(
    groups: list[tuple[int, int]], shares: list[float], seed: int
) -> None:
    index, names = of_groups(groups)
    parts = part_of_groups(index, shares, seed, firsts(names))
    assert len({(name, part) for name, part in zip(names, parts.tolist(), strict=True)}) == len(groups)
    fullest = fullest_part(shares)
    wanted = part_counts(index.class_counts, shares, seed, fullest)
    num_parts = int((wanted > 0).any(axis=0).sum())
    for label, name in enumerate(index.classes):
        largest = max(count for which, count in groups if "abcd"[which] == name)
        counts = Counter(parts[index.labels == label].tolist())
        for part in range(len(shares) + 1):
            off = counts[part if part < len(shares) else -1] - int(wanted[label, part])
            assert off < largest
            assert off > -largest * max(num_parts - 1, 1)
        assert counts[fullest] > 0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60), proportions, st.integers(0, 9)
)
def test_groups_of_any_labels_are_never_divided(rows: list[tuple[int, int]], shares: list[float], seed: int) -> None:
    labels = {f"{row:03d}-{group}.jpg": "abcd"[label] for row, (label, group) in enumerate(rows)}
    index, ties = index_of(labels), firsts([group for _, group in rows])
    parts = part_of_groups(index, shares, seed, ties)
    assert len({(group, part) for (_, group), part in zip(rows, parts.tolist(), strict=True)}) == len(
        {group for _, group in rows}
    )
    assert set(index.labels[parts == fullest_part(shares)].tolist()) == set(index.labels.tolist())
    assert part_of_groups(index, shares, seed, ties).tolist() == parts.tolist()
    assert all(shares[part] > 0 for part in parts.tolist() if part >= 0)
    assert math.fsum(shares) < 1 - 1e-9 or (parts >= 0).all()


def test_groups_alone_are_split_as_images_are() -> None:
    index, names = of_groups([(label, 1) for label in (0, 1) for _ in range(50)])
    parts = part_of_groups(index, [0.8, 0.2], 0, firsts(names))
    assert np.bincount(index.labels * 2 + parts).tolist() == [40, 10, 40, 10]
    assert part_of_groups(index, [0.8, 0.2], 1, firsts(names)).tolist() != parts.tolist()


def test_a_source_is_split_by_groups_and_copies(tmp_path: Path) -> None:
    keys = [f"{label}/p{patient}_{row}.jpg" for label in ("cat", "dog") for patient in range(10) for row in range(3)]
    root = make(tmp_path, *keys)
    (root / "cat" / "p7_0.jpg").write_bytes((root / "cat" / "p3_1.jpg").read_bytes())

    def patients(source: DataSource) -> set[str]:
        return {key.partition("_")[0] for key in source.index().keys}

    source = DataSource.labeled_directories(root)
    train, test = source.stratified_split([0.7, 0.3], groups=r"/(p\d+)_")
    both = {key[4:] for key in patients(train)} & {key[4:] for key in patients(test)}
    assert both == set()
    assert (len(train.index()), len(test.index())) == (42, 18)
    assert test.index().class_counts.tolist() == [9, 9]
    for seed in range(8):
        one, two = source.stratified_split([0.5, 0.5], seed, by="content", groups=r"^(.*)_")
        assert {"cat/p3", "cat/p7"} <= patients(one) or {"cat/p3", "cat/p7"} <= patients(two)
        assert patients(one).isdisjoint(patients(two))
