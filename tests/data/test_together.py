"""Groups in the split of a session: none is divided, with a past or without one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.data.digests import DigestMap
from mlsession.data.resplit import split_with_past
from mlsession.data.split import validation_counts
from mlsession.data.together import split_ties, ties_of
from mlsession.errors import InvalidParameter
from tests.data.test_resplit import digests_of, sides_of

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 12)), min_size=1, max_size=60)
"""Label, content and group."""
ratios = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.6])
Table = tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray, np.ndarray[tuple[int], np.dtype[np.int64]]]


def table(found: list[tuple[int, int, int]]) -> Table:
    labels, contents, groups = zip(*found, strict=True)
    return np.array(labels), digests_of(list(contents)), np.array(groups)


def split(found: list[tuple[int, int, int]], ratio: float, seed: int, sides: DigestMap | None = None) -> np.ndarray:
    labels, digests, groups = table(found)
    return split_with_past(labels, digests, ratio, seed, sides_of({}) if sides is None else sides, groups)


@given(found=rows, ratio=ratios, seed=st.integers(0, 5))
def test_no_group_and_no_copy_lies_on_both_sides(found: list[tuple[int, int, int]], ratio: float, seed: int) -> None:
    chosen = split(found, ratio, seed)
    for place in (1, 2):
        held_out = {row[place] for row, side in zip(found, chosen, strict=True) if side}
        assert not held_out & {row[place] for row, side in zip(found, chosen, strict=True) if not side}
    labels = table(found)[0]
    assert set(labels.tolist()) == set(labels[~chosen].tolist()), "a class has no row left to train on"
    if ratio == 0:
        assert not chosen.any()


@given(found=rows, ratio=ratios, seed=st.integers(0, 5), order=st.randoms())
def test_the_order_of_the_rows_and_the_names_of_groups_do_not_matter(
    found: list[tuple[int, int, int]], ratio: float, seed: int, order: object
) -> None:
    sides = {row[:2]: bool(side) for row, side in zip(found, split(found, ratio, seed), strict=True)}
    mixed = [(label, content, 100 - group) for label, content, group in found]
    order.shuffle(mixed)  # type: ignore[attr-defined]
    assert {row[:2]: bool(side) for row, side in zip(mixed, split(mixed, ratio, seed), strict=True)} == sides


@given(sizes=st.lists(st.lists(st.integers(1, 6), min_size=2, max_size=12), min_size=1, max_size=4), ratio=ratios)
def test_a_class_has_at_most_twice_its_share(sizes: list[list[int]], ratio: float) -> None:
    found, group = list[tuple[int, int, int]](), 0
    for label, groups in enumerate(sizes):
        for size in groups:
            found += [(label, len(found) + each, group) for each in range(size)]
            group += 1
    labels, digests, groups_of_rows = table(found)
    chosen = split_ties(labels, digests, ties_of(groups_of_rows, digests), ratio, 0)
    held_out, counts = np.bincount(labels[chosen], minlength=len(sizes)), np.bincount(labels)
    most = 2 * validation_counts(counts, ratio, 0)
    alone = len(set(groups_of_rows[chosen].tolist())) == 1  # The smallest, where none was small enough.
    assert (alone and (2 * held_out <= counts).all()) or (held_out <= most).all()


def test_shares_are_met_where_groups_are_small() -> None:
    found = [(row % 4, row, row // 4) for row in range(4_000)]  # A thousand groups with an image of each class.
    labels = table(found)[0]
    assert np.bincount(labels[split(found, 0.1, 0)]).tolist() == [100, 100, 100, 100]


def test_where_groups_are_large_the_smallest_is_held_out_if_it_leaves_half() -> None:
    found = [(0, row, row // 20) for row in range(59)]  # Of 20, 20 and 19, and 3 are to be held out.
    assert split(found, 0.05, 0).nonzero()[0].tolist() == list(range(40, 59))
    assert not split(found[:39], 0.05, 0)[:20].any()
    assert not split([(0, row, 0) for row in range(50)], 0.1, 0).any(), "one group is all there is to train on"


def test_new_images_go_to_the_side_of_their_group_and_old_ones_stay() -> None:
    found = [(row % 2, row, row // 4) for row in range(80)]
    before = split(found, 0.25, 3)
    sides = {digest.tobytes(): bool(side) for digest, side in zip(table(found)[1], before, strict=True)}
    more = found + [(row % 2, 1_000 + row, row // 4) for row in range(120)]  # Of each group again, and ten new groups.
    after = split(more, 0.25, 3, sides_of(sides))
    assert after[:80].tolist() == before.tolist()
    assert after[80:160].tolist() == before.tolist()
    assert 0 < after[160:].sum() < 40
    both = [(0, 1_000, 7), (0, 1, 7), (0, 2, 7), (0, 3, 8)]  # By now one group, of which rows lie on both sides.
    mixed = {digest.tobytes(): bool(side) for digest, side in zip(digests_of([1, 2, 3]), (0, 1, 0), strict=True)}
    assert split(both, 0.5, 0, sides_of(mixed)).tolist() == [False, False, True, False]


def updated(found: list[tuple[int, int, int]], ratio: float, seed: int, chosen: np.ndarray) -> np.ndarray:
    """The split of `found`, whose first rows have been split as `chosen`."""
    digests = table(found)[1]
    sides = {digest.tobytes(): bool(side) for digest, side in zip(digests[: len(chosen)], chosen, strict=True)}
    return split(found, ratio, seed, sides_of(sides))


@given(
    sizes=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=30),
    cuts=st.lists(st.integers(1, 30), max_size=6),
    ratio=ratios,
    seed=st.integers(0, 5),
)
def test_however_often_groups_are_added_no_more_is_held_out_than_at_once(
    sizes: list[tuple[int, int]], cuts: list[int], ratio: float, seed: int
) -> None:
    chosen, most = np.zeros(0, dtype=np.bool_), np.zeros(3, dtype=np.int64)
    for stop in sorted({*(cut for cut in cuts if cut < len(sizes)), len(sizes)}):
        found = [
            (label, 100 * group + row, group) for group, (label, size) in enumerate(sizes[:stop]) for row in range(size)
        ]  # Groups of one class each; those of an update are new.
        before, chosen = chosen, updated(found, ratio, seed, chosen)
        assert chosen[: len(before)].tolist() == before.tolist()
        labels, _, groups = table(found)
        counts, held_out = (np.bincount(each, minlength=3) for each in (labels, labels[chosen]))
        assert (held_out < np.maximum(counts, 1)).all(), "a class has no row left to train on"
        # With other classes a rounded share may become less, and what is held out stays.
        most = np.maximum(most, 2 * validation_counts(counts, ratio, seed))
        if not before.any() and len(set(groups[chosen].tolist())) == 1:
            most = np.maximum(most, held_out)  # Of the smallest group, maybe, where all were too large.
        assert (held_out <= most).all()


def test_updates_with_large_groups_hold_out_no_more_than_the_share() -> None:
    found, chosen = list[tuple[int, int, int]](), np.zeros(0, dtype=np.bool_)
    for group in range(40):  # Of ten images, and four new groups an update.
        found += [(group % 2, 10 * group + row, group) for row in range(10)]
        if group % 4 == 3:
            chosen = updated(found, 0.05, 0, chosen)
            assert 10 <= chosen.sum() <= max(10, 2 * 0.05 * len(found))
    assert np.bincount(table(found)[0][chosen]).tolist() == [10, 10]


def test_where_nothing_is_held_out_yet_an_update_may_begin() -> None:
    found = [(0, row, 0) for row in range(30)]
    assert not split(found, 0.1, 0).any()
    more = found + [(0, 100 + row, 1) for row in range(20)]
    assert updated(more, 0.1, 0, np.zeros(30, dtype=np.bool_)).nonzero()[0].tolist() == list(range(30, 50))


def test_a_class_whose_trained_groups_are_gone_gets_the_held_out_ones_back() -> None:
    sides = sides_of({digest.tobytes(): True for digest in digests_of([1, 2, 3])})
    assert not split([(0, 1, 0), (0, 2, 0), (0, 3, 1)], 0.3, 0, sides).any()


def test_refuses_a_ratio() -> None:
    with pytest.raises(InvalidParameter, match="ratio"):
        split([(0, 1, 0)], 1.0, 0)
