"""Parts of images: nested, alike in their classes, copies together, and the same in any order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mlsession.curves.splits import FRACTIONS, Split, Turns, sample, splits, turns_for
from mlsession.data.folds import FOLDS
from mlsession.randomness import keyed_generator
from tests.curves.made import contents

ALL, ONE = Turns(4, FOLDS), Turns(1, FOLDS)


def keyed(found: Split, digests: np.ndarray) -> tuple[set[bytes], ...]:
    """A split by contents."""
    return tuple({digests[place].tobytes() for place in part} for part in (found.held_out, *found.parts))


def test_parts_are_nested_and_apart_from_what_is_held_out() -> None:
    labels, digests = np.arange(90) % 3, contents(90)
    found = list(splits(labels, digests, ALL, seed=7))
    assert len(found) == 4 * FOLDS
    for split in found:
        inside = [set(part.tolist()) for part in split.parts]
        assert all(small < large for small, large in pairwise(inside))
        assert inside[-1] | set(split.held_out.tolist()) == set(range(90))
        assert not inside[-1] & set(split.held_out.tolist())
        for fraction, part in zip(FRACTIONS, split.parts, strict=True):
            counts = np.bincount(labels[part], minlength=3)
            assert counts.tolist() == [int(np.ceil(fraction * 24 - 1e-9))] * 3
    for repeat in range(4):
        held = np.concatenate([split.held_out for split in found if split.repeat == repeat])
        assert sorted(held.tolist()) == list(range(90)), "each image is asked about once a repeat"
    assert any(set(a.parts[0]) != set(b.parts[0]) for a, b in zip(found[:5], found[5:10], strict=True))


def test_the_order_of_the_images_does_not_matter_and_the_seed_does() -> None:
    labels, digests = np.arange(40) % 2, contents(40)
    order = keyed_generator(0, "order").permutation(40)
    one = [keyed(split, digests) for split in splits(labels, digests, ONE, seed=1)]
    assert one == [keyed(split, digests[order]) for split in splits(labels[order], digests[order], ONE, seed=1)]
    assert one != [keyed(split, digests) for split in splits(labels, digests, ONE, seed=2)]


def test_copies_stay_together() -> None:
    digests = contents(30)[np.arange(60) % 30]
    labels = (np.arange(60) % 30) % 3
    for split in splits(labels, digests, ONE, seed=0):
        for part in (split.held_out, *split.parts):
            inside = set(part.tolist())
            assert inside == {(place + 30) % 60 for place in inside}


def test_images_that_belong_together_stay_together_whatever_their_order() -> None:
    """Fifteen groups of four images, a third of them of two labels."""
    ties = np.arange(60) // 4
    labels = np.where((ties % 3 == 0) & (np.arange(60) % 2 == 0), 1, ties % 2)
    digests, found = contents(60), []
    order = keyed_generator(0, "order of groups").permutation(60)
    for places in (np.arange(60), order):
        parts = list(splits(labels[places], digests[places], ONE, seed=3, ties=1_000 - ties[places]))
        for split in parts:
            held_out = set(ties[places][split.held_out].tolist())
            assert not held_out & set(ties[places][split.parts[-1]].tolist())
            for label in (0, 1):
                inside = [set(part[labels[places][part] == label].tolist()) for part in split.parts]
                every = np.flatnonzero(labels[places] == label)
                for part in inside:
                    whole = {place for place in every.tolist() if ties[places][place] in ties[places][list(part)]}
                    assert part == whole, "of a group all images of a label, or none"
        found.append([keyed(split, digests[places]) for split in parts])
    assert found[0] == found[1]
    assert found[0] != [keyed(split, digests) for split in splits(labels, digests, ONE, seed=3)]


def test_a_class_is_never_without_images() -> None:
    labels = np.r_[np.zeros(60, dtype=np.int64), [1, 1]]
    for split in splits(labels, contents(62), ONE, seed=0):
        assert all((labels[part] == 1).any() for part in split.parts)


def test_of_many_images_there_are_fewer_turns() -> None:
    assert [turns_for(count) for count in (100, 2_000, 4_000, 8_000, 16_000, 10**6)] == [
        *(ALL, ALL, Turns(2, FOLDS), ONE),
        *(Turns(1, 2), Turns(1, 2)),
    ]


def test_a_sample_keeps_the_shares_and_copies() -> None:
    labels = np.r_[np.zeros(600, dtype=np.int64), np.ones(300, dtype=np.int64), [2, 2, 2]]
    digests = contents(903)
    digests = np.concatenate([digests[:450], digests[:150], digests[600:]])
    places = sample(labels, digests, 90, seed=0)
    counts = np.bincount(labels[places])
    assert counts[1:].tolist() == [30, 2]
    assert 60 <= counts[0] <= 61
    chosen = {digests[place].tobytes() for place in places}
    assert all((digests[place].tobytes() in chosen) == (place in places) for place in range(903))
    assert sample(labels, digests, 903, seed=0).tolist() == list(range(903))
    assert sample(labels, digests, 90, seed=1).tolist() != places.tolist()
